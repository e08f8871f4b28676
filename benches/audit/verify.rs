use std::path::Path;
use std::time::Instant;

use local_vault::audit::{self, Event};

use crate::{key_used, open, request};

const ENTRIES: usize = 1_000_000;
const EVERY: usize = 2_000;

pub(crate) fn run() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit");
    write(&log);
    println!("{ENTRIES} entries verified on one core, with a signed head every {EVERY}");
    for _ in 0..3 {
        let mut bytes = 0;
        let start = Instant::now();
        let verified = audit::verify(&log, &[], &[], &mut |read| bytes += read).unwrap();
        let seconds = start.elapsed().as_secs_f64();
        let (rate, megabytes) = (verified.last as f64 / seconds, bytes as f64 / seconds / 1e6);
        println!("  {rate:.0}/s, {megabytes:.0} MB/s (target: 200000/s)");
    }
}

/// Half of it before a key was used, half after an answer came.
fn write(log: &Path) {
    let audit = open(log);
    for n in (0..ENTRIES).step_by(EVERY) {
        let sends = (n..n + EVERY / 2).map(request);
        let events = sends.flat_map(|request| [key_used(&request), Event::receipted(&request, Some(200))]);
        audit.record_blocking(events.collect()).unwrap();
        assert!(audit.sign_head_blocking());
    }
}
