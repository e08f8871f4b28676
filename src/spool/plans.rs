//! Every statement of the daily work is an index seek: a backlog of ten million costs what one of ten costs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use zeroize::Zeroizing;

use super::metrics::Metrics;
use super::{
    ContentId, Filter, Limits, NewEvent, Park, Retention, SCHEMA, Settlement, Spool, SpoolKeys, SpoolReader, State,
};
use crate::custody::file::RootKey;
use crate::custody::{Purpose, PurposeKey};
use crate::facts::{Clock as _, Digest, SystemClock, Timestamp};
use crate::store::{self, Access, Writer};

/// Scans that cost the same for any backlog: of no table, or of a table of one row.
const SHORT_SCANS: [&str; 2] = ["SCAN CONSTANT ROW", "SCAN destination"];

#[tokio::test]
async fn nothing_that_a_turn_an_enqueue_or_an_operator_asks_scans_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.sqlite3");
    let asked: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let spool = traced(&path, asked.clone());

    work(&spool).await;
    operate(&spool, &path).await;
    drop(spool);
    let db = store::open(&path, &SCHEMA, Access::Create).unwrap();
    let asked = asked.lock().unwrap();
    let parts = ["INSERT INTO events", "FROM tombstones", "UPDATE streams", "INSERT INTO settled", "FROM epochs"];
    let more = ["INSERT INTO claims", "DELETE FROM contents", "INTO gaps", "stop_reason = NULL", "page_count"];
    for part in parts.into_iter().chain(more) {
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
    Spool { writer: Arc::new(Writer::spawn(db, path)), inner, metrics: Metrics::default() }
}

/// Enqueues and turns of every kind.
async fn work(spool: &Spool) {
    let all = Limits { bytes: Some(u64::MAX), events: Some(u64::MAX), reserve: None };
    spool.set_bounds(all, Retention::default());
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

/// What is done to single events and streams; all of it seeks.
async fn operate(spool: &Spool, path: &std::path::Path) {
    let (control, now) = (spool.control(), SystemClock.now());
    let reader = SpoolReader::open(path).unwrap();
    let dead = Filter { state: Some(State::Dead), limit: 1, ..Filter::default() };
    let dead = reader.list(&dead).unwrap().remove(0);
    control.retry(dead.event_id).await.unwrap();
    spool.look_up(&dead.stream_id, &dead.source_ref).await.unwrap().unwrap();
    spool.payload(dead.event_id).await.unwrap().unwrap();
    reader.usage().unwrap();
    control.purge(State::Receipted, now.plus_millis(1000), |_| {}).await.unwrap();
    spool.set_bounds(Limits::default(), Retention { keep_for: None, keep_events: Some(0) });
    let payload = Zeroizing::new(b"{}".to_vec());
    let content = ContentId::payload(Digest::of(&payload));
    let (stream_id, source_ref) = ("c".to_owned(), "c".to_owned());
    let damaged = NewEvent { stream_id, source_ref, content, payload, allow_ref_reuse: false };
    spool.enqueue(damaged).await.unwrap();
    let db = rusqlite::Connection::open(path).unwrap();
    db.execute("UPDATE contents SET nonce = zeroblob(24) WHERE seq = (SELECT max(seq) FROM events)", []).unwrap();
    // The last of the work has left the receiver parked: a probe, and then all of it.
    let probe = spool.turn(Vec::new(), 1).await.unwrap().leased.remove(0);
    let settled = vec![(probe.event.seq, Settlement::Receipted(answer()))];
    assert_eq!(spool.turn(settled, 99).await.unwrap().damaged.len(), 1);
    db.execute("UPDATE streams SET stopped_at = 1", []).unwrap();
    assert!(control.release("c").await.unwrap());
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
    super::Answer { sent: Some(sent), status: 200, body: Vec::new(), received_at: Timestamp::from_millis(0) }
}

fn plan(db: &Connection, sql: &str) -> Vec<String> {
    let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let unbound = vec![rusqlite::types::Null; statement.parameter_count()];
    let steps = statement.query_map(rusqlite::params_from_iter(unbound), |row| row.get(3)).unwrap();
    steps.map(Result::unwrap).collect()
}
