use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;

/// Inserts a second, one transaction each, as little as can be durable.
pub(crate) fn run(path: &Path) -> f64 {
    const EVENTS: u32 = 3000;
    let db = Connection::open(path).unwrap();
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)",
    )
    .unwrap();
    let mut insert = db.prepare("INSERT INTO t (b) VALUES (?1)").unwrap();
    let payload = [7_u8; super::PAYLOAD];
    let begun = Instant::now();
    for _ in 0..EVENTS {
        insert.execute([&payload]).unwrap();
    }
    f64::from(EVENTS) / begun.elapsed().as_secs_f64()
}
