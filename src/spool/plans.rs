//! Every statement of the daily work is an index seek: a backlog of ten million costs what one of ten costs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use zeroize::Zeroizing;

use super::metrics::Metrics;
use super::{ContentId, NewEvent, Park, SCHEMA, Settlement, Spool, SpoolKeys};
use crate::custody::file::RootKey;
use crate::custody::{Purpose, PurposeKey};
use crate::facts::{Clock as _, Digest, SystemClock, Timestamp};
use crate::store::{self, Access, Writer};

/// Scans that cost the same for any backlog: of no table, or of a table of one row.
const SHORT_SCANS: [&str; 2] = ["SCAN CONSTANT ROW", "SCAN destination"];

#[tokio::test]
async fn nothing_that_a_turn_or_an_enqueue_asks_scans_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.sqlite3");
    let asked: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let spool = traced(&path, asked.clone());

    work(&spool).await;
    drop(spool);
    let db = store::open(&path, &SCHEMA, Access::Create).unwrap();
    let asked = asked.lock().unwrap();
    for part in ["INSERT INTO events", "FROM tombstones", "UPDATE streams", "INSERT INTO answers", "FROM epochs"] {
        assert!(asked.iter().any(|sql| sql.contains(part)), "{part} was not asked");
    }
    for sql in asked.iter() {
        for step in plan(&db, sql) {
            let scans = step.starts_with("SCAN ") && !SHORT_SCANS.contains(&step.as_str());
            assert!(!scans && !step.contains("TEMP B-TREE"), "{step}\nin {sql}");
        }
    }
}

/// A spool whose writer notes what it asks.
fn traced(path: &std::path::Path, asked: Arc<Mutex<BTreeSet<String>>>) -> Spool {
    let root = RootKey::new(&mut [1; 32]);
    let record = PurposeKey::bind(Purpose::Record, "record", Arc::new(root.record_key())).unwrap();
    let keys = SpoolKeys { wrapping: Arc::new(root), record };
    let inner = Spool::open(path, keys, Arc::new(SystemClock)).unwrap().inner;
    let mut db = store::open(path, &SCHEMA, Access::Create).unwrap();
    let note = move |event: TraceEvent<'_>| {
        if let TraceEvent::Stmt(statement, _) = event {
            asked.lock().unwrap().insert(statement.sql().into_owned());
        }
    };
    db.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note)).unwrap();
    Spool { writer: Writer::spawn(db, path), inner, metrics: Metrics::default() }
}

/// Enqueues and turns of every kind.
async fn work(spool: &Spool) {
    let now = SystemClock.now();
    let ends: [fn(Timestamp) -> Settlement; 5] = [
        |_| Settlement::Receipted(answer()),
        |_| Settlement::Conflict(answer()),
        |now| Settlement::Judged { error: "e".into(), retry_at: Some(now), answer: None },
        |_| Settlement::Judged { error: "e".into(), retry_at: None, answer: Some(answer()) },
        |now| Settlement::Unjudged { error: "e".into(), park: Park::Until(now) },
    ];
    for (number, end) in ends.iter().enumerate() {
        for stream in ["a", "b"] {
            let payload = Zeroizing::new(b"{}".to_vec());
            let new = NewEvent {
                stream_id: stream.into(),
                source_ref: format!("{stream}{number}"),
                content: ContentId::payload(Digest::of(&payload)),
                payload,
                allow_ref_reuse: false,
            };
            spool.enqueue(new.clone()).await.unwrap();
            spool.enqueue(new).await.unwrap();
        }
        let turn = spool.turn(Vec::new(), 1).await.unwrap();
        let settled = turn.leased.iter().map(|leased| (leased.event.seq, end(now))).collect();
        spool.turn(settled, 0).await.unwrap();
    }
}

fn answer() -> super::Answer {
    use crate::protocol::{PublicKey, Signature};
    // RFC 8032, section 7.1, test 1.
    let key = PublicKey::from_hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap();
    let sent = super::SignedEnvelope {
        installation_id: "inst_1".into(),
        attempt: 1,
        signed_at: Timestamp::from_millis(0),
        signature: Signature::from_bytes([5; 64]),
        public_key: key,
    };
    super::Answer { sent, status: 200, body: Vec::new(), received_at: Timestamp::from_millis(0) }
}

fn plan(db: &Connection, sql: &str) -> Vec<String> {
    let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let unbound = vec![rusqlite::types::Null; statement.parameter_count()];
    let steps = statement.query_map(rusqlite::params_from_iter(unbound), |row| row.get(3)).unwrap();
    steps.map(Result::unwrap).collect()
}
