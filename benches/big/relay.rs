//! A relay that is started on a queue, and asked to end after a number of events.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::STREAMS;
use crate::backlog::spool;
use crate::receiver::Receiver;

pub(crate) struct Drained {
    /// From the start of the process to the line of its first event.
    pub(crate) first_ms: f64,
    /// Events a second from then on.
    pub(crate) rate: f64,
}

/// Relays most of `events`: at the end of a short queue some streams are empty before others.
pub(crate) fn drain(receiver: &Receiver, folder: &Path, events: u64) -> Drained {
    let config = receiver.config(folder, &spool(folder), STREAMS as usize);
    let mut command = receiver.command();
    command.arg("--config").arg(config).args(["relay", "drain", "--json"]);
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let is_receipted = |line: &String| line.contains("\"state\": \"receipted\"");
    assert!(lines.next().as_ref().is_some_and(is_receipted));
    let first = start.elapsed();
    let most = events * 9 / 10;
    assert_eq!(lines.by_ref().take(most as usize).filter(is_receipted).count() as u64, most);
    let took = start.elapsed() - first;
    // What is in flight is settled before it ends. A short queue may be at its end already.
    let _ = kill_process(Pid::from_child(&child), Signal::TERM);
    lines.for_each(drop);
    child.wait().unwrap();
    Drained { first_ms: first.as_secs_f64() * 1e3, rate: most as f64 / took.as_secs_f64() }
}
