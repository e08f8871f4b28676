//! A long queue, made by the library in big groups.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use local_vault::facts::{Digest, random_id};
use local_vault::spool::{ContentId, NewEvent, SpoolReader, State};
use rustix::fs::statvfs;

use crate::payload::payload;
use crate::{STREAMS, fill};

/// Events a transaction.
const GROUP: u64 = 4_000;
/// What the disk needs for an event, with the log of a transaction and some room.
const BYTES_EACH: u64 = 900;
const ROOM: u64 = 1 << 30;

pub(crate) fn spool(folder: &Path) -> PathBuf {
    folder.join("spool.sqlite3")
}

/// There is no room for the queue.
#[derive(Debug)]
pub(crate) struct NoRoom {
    folder: PathBuf,
    needed: u64,
    free: u64,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, needed, free } = self;
        let (needed, free) = (needed >> 20, free >> 20);
        write!(f, "{} needs {needed} MiB free and has {free}: name another in LOCAL_VAULT_BENCH_DIR.", folder.display())
    }
}

/// Fills the queue up to so many events, and keeps what is there.
pub(crate) fn fill(folder: &Path, events: u64) -> Result<(), NoRoom> {
    fs::create_dir_all(folder).unwrap();
    let path = spool(folder);
    let missing = events.saturating_sub(queued(&path));
    let (needed, disk) = (missing * BYTES_EACH + ROOM, statvfs(folder).unwrap());
    let free = disk.f_bavail * disk.f_frsize;
    if free < needed {
        return Err(NoRoom { folder: folder.to_owned(), needed, free });
    }
    let spool = fill::open(&path);
    let payload = payload(300);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (start, mut done) = (Instant::now(), 0);
    while done < missing {
        let group = GROUP.min(missing - done);
        let new = (0..group).map(|n| NewEvent {
            stream_id: format!("stream-{}", (done + n) % STREAMS),
            source_ref: random_id("r"),
            payload: payload.clone().into(),
            content: ContentId::payload(Digest::of(&payload)),
            allow_ref_reuse: true,
        });
        let enqueued = runtime.block_on(spool.enqueue_all(new.collect())).unwrap();
        assert!(enqueued.iter().all(Result::is_ok));
        done += group;
        if done % (events / 20).next_multiple_of(GROUP) == 0 {
            println!("  filling: {done} of {missing}, {:.0} events/s", done as f64 / start.elapsed().as_secs_f64());
        }
    }
    Ok(())
}

fn queued(path: &Path) -> u64 {
    let Ok(reader) = SpoolReader::open(path) else { return 0 };
    let totals = reader.totals().unwrap();
    totals.iter().filter(|totals| totals.state == State::Queued).map(|totals| totals.events).sum()
}
