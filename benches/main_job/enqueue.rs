//! Durable enqueues in process, by one producer and by 64, against a bare SQLite loop that inserts a row of the same
//! size and syncs. Slices of both alternate, so that a disk whose speed drifts changes both.

use std::sync::Arc;
use std::time::{Duration, Instant};

use local_vault::facts::random_id;
use local_vault::ingest::Ingest;
use rusqlite::Connection;
use tokio::runtime::Runtime;

use crate::fill;
use crate::payload::payload;
use crate::sign::median;

const SLICES: usize = 25;
const ALONE: usize = 200;
const PRODUCERS: usize = 64;
const EACH: usize = 200;

pub(crate) fn run() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ingest = fill::ingest(&folder.path().join("spool.sqlite3"));
    let (payload, bare) = (Arc::new(payload(300)), Bare::new(&folder.path().join("bare.sqlite3")));
    let (mut bare_rates, mut ratios, mut together_rates, mut latencies) = (vec![], vec![], vec![], vec![]);
    for _ in 0..SLICES {
        let bare_rate = bare.rate(&payload);
        let taken = alone(&runtime, &ingest, &payload);
        ratios.push(ALONE as f64 / taken.iter().sum::<Duration>().as_secs_f64() / bare_rate);
        together_rates.push(together(&runtime, &ingest, &payload));
        bare_rates.push(bare_rate);
        latencies.extend(taken);
    }
    latencies.sort();
    let ms = |share: f64| latencies[(latencies.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    let (bare, ratio, together) = (median(bare_rates), median(ratios), median(together_rates));
    println!("durable enqueue in process, payloads of 300 bytes, against a bare SQLite insert and fsync ({bare:.0}/s)");
    println!(
        "  a lone producer: ratio {ratio:.2} (target 0.5); p50 {:.2} ms, p99 {:.2} ms (target under 5)",
        ms(0.5),
        ms(0.99)
    );
    println!("  {PRODUCERS} producers: {together:.0} events/s, {:.1} of the bare loop", together / bare);
}

fn alone(runtime: &Runtime, ingest: &Ingest, payload: &[u8]) -> Vec<Duration> {
    runtime.block_on(async {
        let mut taken = Vec::with_capacity(ALONE);
        for _ in 0..ALONE {
            let start = Instant::now();
            ingest.payload("lone", &random_id("r"), payload, true).await.unwrap();
            taken.push(start.elapsed());
        }
        taken
    })
}

/// Events a second.
fn together(runtime: &Runtime, ingest: &Ingest, payload: &Arc<Vec<u8>>) -> f64 {
    let start = Instant::now();
    runtime.block_on(async {
        let producers = (0..PRODUCERS).map(|producer| {
            let (ingest, payload) = (ingest.clone(), payload.clone());
            tokio::spawn(async move {
                for _ in 0..EACH {
                    ingest.payload(&format!("stream-{producer}"), &random_id("r"), &payload, true).await.unwrap();
                }
            })
        });
        for producer in producers.collect::<Vec<_>>() {
            producer.await.unwrap();
        }
    });
    (PRODUCERS * EACH) as f64 / start.elapsed().as_secs_f64()
}

/// What a row and an fsync take by themselves.
struct Bare(Connection);

impl Bare {
    fn new(path: &std::path::Path) -> Self {
        let db = Connection::open(path).unwrap();
        let _: String = db.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0)).unwrap();
        db.pragma_update(None, "synchronous", "FULL").unwrap();
        db.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, content BLOB NOT NULL)", []).unwrap();
        Self(db)
    }

    /// Rows a second.
    fn rate(&self, payload: &[u8]) -> f64 {
        let mut insert = self.0.prepare_cached("INSERT INTO rows (content) VALUES (?1)").unwrap();
        let start = Instant::now();
        for _ in 0..ALONE {
            insert.execute([payload]).unwrap();
        }
        ALONE as f64 / start.elapsed().as_secs_f64()
    }
}
