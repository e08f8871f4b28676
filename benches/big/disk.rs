//! What an event takes of the disk: while it is queued, when it is settled, and in the audit log.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::STREAMS;
use crate::fill::fill;
use crate::payload::payload;
use crate::receiver::Receiver;

const EVENTS: usize = 50_000;

/// Bytes of a spool and its WAL.
pub(crate) fn spool(folder: &Path) -> f64 {
    let path = crate::backlog::spool(folder);
    let wal = path.with_extension("sqlite3-wal");
    [path, wal].iter().filter_map(|path| fs::metadata(path).ok()).map(|meta| meta.len() as f64).sum()
}

/// Drains a queue, and shows what is left of it.
pub(crate) fn of_settled() {
    let receiver = Receiver::start();
    let folder = tempfile::tempdir().unwrap();
    let path = crate::backlog::spool(folder.path());
    fill(&path, EVENTS, STREAMS as usize, &payload(300));
    let queued = self::spool(folder.path());
    let config = receiver.config(folder.path(), &path, STREAMS as usize);
    let mut command = receiver.command();
    command.arg("--config").arg(config).args(["relay", "drain"]).stdout(Stdio::null());
    assert!(command.status().unwrap().success());
    let settled = self::spool(folder.path());
    let audit: u64 = fs::read_dir(folder.path().join("spool.sqlite3.audit"))
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    let each = |bytes: f64| bytes / EVENTS as f64;
    println!(
        "{EVENTS} events: {:.0} bytes of disk each while queued, {:.0} settled, with content and receipt; \
         {:.0} in the audit log, of relaying alone",
        each(queued),
        each(settled),
        each(audit as f64)
    );
}
