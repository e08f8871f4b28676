//! Bytes that are not what was written: a torn log, and a flipped bit anywhere in the file. Never a wrong payload, never
//! a crash: the store is refused, an event is set aside, or it did not matter.

use std::collections::BTreeMap;

use local_vault::spool::{Leased, Settlement, SpoolError};
use local_vault::store::StoreError;
use rusqlite::Connection;

use super::disk::{Disk, Files};
use super::oracle::{check, is_offered};
use super::place::{Place, SPOOL, WAL, answer};
use super::random::{Random, seed, setting};
use super::work::{History, Work};

/// A spool that has seen some work, as it lies there while it is open.
async fn worked(seed: u64, steps: usize) -> (Files, History) {
    let place = Place::new();
    let disk = Disk::watch(place.folder());
    let mut work = Work::new(&place, &disk, seed);
    let mut files = Files::new();
    // Closing moves the log into the database: what is looked at is the disk before that.
    work.run_and(steps, || files = disk.now()).await.unwrap();
    disk.release();
    (files, work.history)
}

/// The place of a frame in the log, and its size: SQLite's file format, section 4.1.
const HEADER: usize = 32;
const FRAME: usize = 24 + 4096;
const SECTOR: usize = 512;

/// What may have become of the end of a log.
fn torn(log: &[u8], random: &mut Random) -> Vec<Vec<u8>> {
    let mut torn = Vec::new();
    // The last transactions, and the header that all hangs on.
    let tail = HEADER + (log.len() - HEADER) / FRAME * FRAME;
    let first = tail.saturating_sub(8 * FRAME) / SECTOR * SECTOR;
    for at in (first..log.len()).step_by(SECTOR).chain([0]) {
        torn.push(log[..at].to_vec());
        let end = log.len().min(at + SECTOR);
        for most in [1, 256] {
            let mut garbled = log.to_vec();
            garbled[at..end].fill_with(|| u8::try_from(random.below(most)).unwrap());
            torn.push(garbled);
        }
    }
    let frames = (log.len() - HEADER) / FRAME;
    for _ in 0..40 {
        let (one, other) = (random.below(frames), random.below(frames));
        let mut swapped = log.to_vec();
        for n in 0..FRAME {
            swapped.swap(HEADER + one * FRAME + n, HEADER + other * FRAME + n);
        }
        torn.push(swapped);
    }
    torn
}

#[tokio::test]
async fn a_torn_log_loses_its_end_and_no_more() {
    let (mut count, mut random) = (0, Random::new(seed("torn logs")));
    let mut looked_at = 0;
    for seed in 20.. {
        let (mut files, history) = worked(seed, 12).await;
        let log = files.get(WAL).cloned().unwrap_or_default();
        if log.len() < 20 * FRAME {
            // It was checkpointed just before.
            continue;
        }
        for torn in torn(&log, &mut random) {
            files.insert(WAL.into(), torn);
            let place = Place::with(&files);
            let disk = Disk::watch(place.folder());
            // What was answered for since the last checkpoint may be gone with the log. The rest is as sound as ever.
            assert_eq!(check(&place, &history, 0).await, Ok(()));
            disk.release();
            count += 1;
        }
        looked_at += 1;
        if looked_at == 2 {
            break;
        }
    }
    println!("{count} torn logs: the spool goes on from an earlier commit");
}

/// A page of each kind, as `dbstat` tells them: the place of its first byte in the file, by its table and type.
fn pages(files: &Files) -> BTreeMap<String, usize> {
    let place = Place::with(files);
    let db = Connection::open(place.path()).unwrap();
    let mut statement = db.prepare("SELECT name || ' ' || pagetype, max(pageno) FROM dbstat GROUP BY 1").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, usize>(1)?))).unwrap();
    let mut pages: BTreeMap<String, usize> =
        rows.map(|row| row.map(|(kind, number)| (kind, (number - 1) * 4096)).unwrap()).collect();
    pages.insert("header".into(), 0);
    pages
}

#[tokio::test]
async fn a_flipped_bit_sends_no_wrong_payload_and_stops_nothing_without_a_word() {
    let flips = usize::try_from(setting("LOCAL_VAULT_FLIPS").unwrap_or(600)).unwrap();
    let mut random = Random::new(seed("flips"));
    let (files, history) = worked(5, 60).await;
    let place = Place::with(&files);
    drop(place.open().unwrap());
    let whole = std::fs::read(place.path()).unwrap();
    let kinds = pages(&Files::from([(SPOOL.to_owned(), whole.clone())]));
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for flip in 0..flips {
        let (kind, page) = kinds.iter().nth(flip % kinds.len()).unwrap();
        // Half of them where headers are, of the file, of the page and of its first cells.
        let at = page + if random.percent(50) { random.below(200) } else { random.below(4096) };
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << random.below(8);
        let became = drained(&Files::from([(SPOOL.to_owned(), flipped)]), &history).await;
        let became = became.unwrap_or_else(|e| panic!("{kind}, byte {at}: {e}"));
        *found.entry(became).or_default() += 1;
    }
    println!("{flips} flipped bits in pages of {} kinds: {found:?}", kinds.len());
}

/// Opens a damaged spool and sends all that it gives. Says what became of it, or what must never be.
async fn drained(files: &Files, history: &History) -> Result<&'static str, String> {
    let place = Place::with(files);
    let disk = Disk::watch(place.folder());
    let done = drain(&place, history).await;
    disk.release();
    done.or_else(|error| match error {
        Wrong::Refused(SpoolError::Store(StoreError::Stopped)) => Err("the writer is gone".into()),
        Wrong::Refused(SpoolError::Store(StoreError::Sql(_))) => Ok("refused, as if it were a defect of ours"),
        Wrong::Refused(_) => Ok("refused"),
        Wrong::Sent(what) => Err(what),
    })
}

enum Wrong {
    Refused(SpoolError),
    Sent(String),
}

impl From<SpoolError> for Wrong {
    fn from(error: SpoolError) -> Self {
        Self::Refused(error)
    }
}

async fn drain(place: &Place, history: &History) -> Result<&'static str, Wrong> {
    let spool = place.open()?;
    spool.recover().await?;
    let (mut settled, mut damaged) = (Vec::new(), 0);
    for _ in 0..4 * history.offers.len() {
        place.clock.advance(3_600_000);
        let lease = spool.turn(std::mem::take(&mut settled), 8).await?;
        damaged += lease.damaged.len();
        for Leased { event, payload } in &lease.leased {
            is_offered(&history.offers, event, payload).map_err(Wrong::Sent)?;
            settled.push((event.seq, Settlement::Receipted(answer(event))));
        }
        if lease.leased.is_empty() && lease.damaged.is_empty() {
            return Ok(if damaged > 0 { "set aside" } else { "no matter" });
        }
    }
    Err(Wrong::Sent("it never comes to an end".into()))
}
