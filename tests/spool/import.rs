use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use local_vault::custody::file::{KeySource, RootKey};
use local_vault::facts::SecretBytes;
use local_vault::spool::import::{ImportError, Imported, OpenPublished, is_published_spool};
use local_vault::spool::{Limit, Limits, Retention, Spool, SpoolError, State};
use local_vault::store::StoreError;
use rusqlite::Connection;

use super::support::{Place, event, hashes_in, lease, receipted, refs};

/// See tests/data/README.md.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn key() -> RootKey {
    RootKey::load(&KeySource::Setting { name: "ENCRYPTION_KEY", value: SecretBytes::new(KEY.into()) }).unwrap()
}

fn opener(key: RootKey) -> OpenPublished {
    Arc::new(move |token| key.open_published(token))
}

/// A published spool in a folder of its own, as somebody has it who moves to ours.
struct Published(tempfile::TempDir);

impl Published {
    fn copy_of(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/published").join(name);
            let suffix = name.split_once('.').unwrap().1;
            fs::write(folder.path().join(format!("published.{suffix}")), fs::read(data).unwrap()).unwrap();
        }
        Self(folder)
    }

    fn closed() -> Self {
        Self::copy_of(&["closed.sqlite3"])
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("published.sqlite3")
    }

    fn edit(&self, sql: &str) {
        let db = Connection::open(self.path()).unwrap();
        db.execute_batch(sql).unwrap();
    }
}

async fn import(place: &Place, spool: &Spool, source: &Published) -> Result<Option<Imported>, ImportError> {
    let before = hashes_in(source.0.path());
    let imported = spool.import(&source.path(), &place.path(), opener(key())).await;
    assert_eq!(hashes_in(source.0.path()), before, "the source was touched");
    let left: Vec<_> = hashes_in(place.folder.path()).into_iter().map(|(name, _)| name).collect();
    assert!(left.iter().all(|name| name.starts_with("spool.sqlite3") && !name.contains("import")), "{left:?}");
    imported
}

#[tokio::test]
async fn every_event_arrives_with_its_id_order_state_and_attempts() {
    let closed = Imported { queued: 4, delivered: 1, dead: 1, known: 0 };
    let live = Imported { queued: 5, ..closed };
    for (names, expected) in [(&["closed.sqlite3"][..], closed), (&["live.sqlite3", "live.sqlite3-wal"], live)] {
        let place = Place::new();
        let spool = place.open();
        let imported = import(&place, &spool, &Published::copy_of(names)).await.unwrap();
        assert_eq!(imported, Some(expected));

        let rows = [
            (1, "a", State::Receipted, 0, None),
            (2, "a", State::Dead, 8, Some("http-503")),
            (3, "b", State::Queued, 1, Some("URLError")),
            (4, "a", State::Queued, 1, None), // was in flight: one send more than was counted
            (5, "a", State::Queued, 0, None),
            (6, "b", State::Queued, 0, None),
            (7, "b", State::Queued, 0, None),
        ];
        let events = place.events();
        assert_eq!(events.len() as u64, expected.new_events());
        for (event, (number, stream, state, attempt, error)) in events.iter().zip(rows) {
            assert_eq!(event.event_id.to_string(), format!("lv_{number:032x}"));
            assert_eq!((event.stream_id.as_str(), event.source_ref.clone()), (stream, format!("ref-{number}")));
            assert_eq!((event.state, event.attempt, event.last_error.as_deref()), (state, attempt, error));
            let payload = spool.payload(event.event_id).await.unwrap().unwrap();
            let ratio = f64::from(number) / 4.0;
            let text = format!("{{\"n\":{number},\"ratio\":{ratio:?},\"text\":\"schön \u{2028} ü\"}}");
            assert_eq!(std::str::from_utf8(&payload).unwrap(), text);
        }
    }
}

#[tokio::test]
async fn imported_events_are_sent_in_the_order_of_their_streams() {
    let place = Place::new();
    let spool = place.open();
    import(&place, &spool, &Published::closed()).await.unwrap();
    let first = lease(&spool, 9).await;
    assert_eq!(refs(&first), ["ref-4", "ref-3"]);
    let settled = first.leased.iter().map(|leased| (leased.event.seq, receipted(leased))).collect();
    let mut second = spool.turn(settled, 9).await.unwrap();
    second.leased.sort_by_key(|leased| leased.event.seq);
    assert_eq!(refs(&second), ["ref-5", "ref-6"]);
    place.events();
}

#[tokio::test]
async fn what_the_published_package_had_delivered_verifies_without_an_answer() {
    let place = Place::new();
    let spool = place.open();
    import(&place, &spool, &Published::closed()).await.unwrap();
    let mut check = spool.start_check().unwrap();
    assert_eq!(check.next(100).unwrap().unwrap().damaged, []);
    assert_eq!(check.finish(true).unwrap(), Vec::<String>::new());
    place.raw().execute("UPDATE settled SET settled_at = settled_at + 1 WHERE state = 2", []).unwrap();
    assert_eq!(spool.start_check().unwrap().next(100).unwrap().unwrap().damaged[0].what, "its answer is gone");
}

#[tokio::test]
async fn importing_again_brings_what_is_new_and_nothing_twice() {
    let place = Place::new();
    let spool = place.open();
    let source = Published::closed();
    import(&place, &spool, &source).await.unwrap();
    assert_eq!(import(&place, &spool, &source).await.unwrap(), None, "the file has not changed");
    drop(spool);

    let spool = place.open();
    source.edit(
        "INSERT INTO spool_events SELECT printf('lv_%032x', 8), 'c', 'ref-8', status, 0, next_attempt_at,
             payload_sha256, encrypted_payload, NULL, created_at, updated_at
         FROM spool_events WHERE source_ref = 'ref-5'",
    );
    let again = import(&place, &spool, &source).await.unwrap();
    assert_eq!(again, Some(Imported { queued: 1, known: 6, ..Imported::default() }));
    assert_eq!(place.events().len(), 7);
}

#[tokio::test]
async fn a_row_that_cannot_be_taken_over_is_named_and_nothing_is_imported() {
    let edits = [
        ("encrypted_payload = substr(encrypted_payload, 1, 40)", 5),
        ("encrypted_payload = CAST('text' AS TEXT)", 5),
        ("payload_sha256 = 'ff'", 5),
        ("status = 'lost'", 5),
        ("attempt_count = -1", 5),
        ("attempt_count = 4294967295", 5),
        ("created_at = 'yesterday'", 5),
    ];
    for (edit, number) in edits {
        let (place, source) = (Place::new(), Published::closed());
        let spool = place.open();
        source.edit(&format!("UPDATE spool_events SET {edit} WHERE source_ref = 'ref-{number}'"));
        let refused = import(&place, &spool, &source).await.unwrap_err();
        let ImportError::Row { event, .. } = &refused else { panic!("{edit}: {refused:?}") };
        assert_eq!(*event, format!("lv_{number:032x}"), "{edit}");
        assert_eq!(place.events(), [], "{edit}");
        // And when it has been put right, all of it comes.
        assert!(import(&place, &spool, &Published::closed()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn an_id_that_is_none_is_named() {
    let (place, source) = (Place::new(), Published::closed());
    source.edit("UPDATE spool_events SET id = 'x' WHERE source_ref = 'ref-5'");
    let refused = import(&place, &place.open(), &source).await.unwrap_err();
    assert!(matches!(&refused, ImportError::Row { event, .. } if event == "x"), "{refused:?}");
}

#[tokio::test]
async fn an_event_that_contradicts_ours_is_named() {
    let (place, source) = (Place::new(), Published::closed());
    let spool = place.open();
    spool.enqueue(event("b", "ref-6", "{}")).await.unwrap();
    let refused = import(&place, &spool, &source).await.unwrap_err();
    assert!(matches!(&refused, ImportError::Row { event, .. } if event.ends_with('6')), "{refused:?}");

    let (place, again) = (Place::new(), Published::closed());
    let spool = place.open();
    import(&place, &spool, &source).await.unwrap();
    again.edit("UPDATE spool_events SET source_ref = 'moved' WHERE source_ref = 'ref-3'");
    let refused = import(&place, &spool, &again).await.unwrap_err();
    assert!(matches!(&refused, ImportError::Row { event, .. } if event.ends_with('3')), "{refused:?}");
    assert_eq!(place.events().len(), 6);
}

#[tokio::test]
async fn another_encryption_key_imports_nothing() {
    let (place, source) = (Place::new(), Published::closed());
    let spool = place.open();
    let wrong = opener(RootKey::new(&mut [9; 32]));
    let refused = spool.import(&source.path(), &place.path(), wrong).await.unwrap_err();
    assert!(matches!(refused, ImportError::Row { .. }), "{refused:?}");
    assert_eq!(place.events(), []);
}

#[tokio::test]
async fn what_is_no_published_spool_is_refused_by_name() {
    let (place, source) = (Place::new(), Published::closed());
    let spool = place.open();
    assert!(is_published_spool(&source.path(), &place.path()).unwrap());
    source.edit("ALTER TABLE spool_events RENAME TO other");
    assert!(!is_published_spool(&source.path(), &place.path()).unwrap());
    let refused = import(&place, &spool, &source).await.unwrap_err();
    assert_eq!(refused, ImportError::NotPublished(source.path()));
    fs::write(source.path(), b"no database").unwrap();
    assert_eq!(import(&place, &spool, &source).await.unwrap_err(), ImportError::NotPublished(source.path()));
    fs::remove_file(source.path()).unwrap();
    let missing = ImportError::Spool(SpoolError::Store(StoreError::Missing(source.path())));
    assert_eq!(import(&place, &spool, &source).await.unwrap_err(), missing);
    fs::write(source.path(), b"").unwrap();
    assert_eq!(import(&place, &spool, &source).await.unwrap_err(), ImportError::NotPublished(source.path()));
}

#[tokio::test]
async fn a_published_spool_of_another_form_is_refused_by_what_it_lacks() {
    let edits = [
        ("ALTER TABLE spool_events DROP COLUMN last_error", "no such column: last_error"),
        ("DROP TABLE spool_events; CREATE TABLE spool_events (id)", "no such column: stream_id"),
    ];
    for (edit, missing) in edits {
        let (place, source) = (Place::new(), Published::closed());
        source.edit(edit);
        let refused = import(&place, &place.open(), &source).await.unwrap_err();
        assert_eq!(refused, ImportError::Form { path: source.path(), missing: missing.into() });
    }
}

#[tokio::test]
async fn a_published_spool_in_the_middle_of_a_transaction_is_left_alone() {
    let (place, source) = (Place::new(), Published::closed());
    fs::write(source.0.path().join("published.sqlite3-journal"), b"hot").unwrap();
    let refused = import(&place, &place.open(), &source).await.unwrap_err();
    assert_eq!(refused, ImportError::Spool(SpoolError::Store(StoreError::Busy(source.path()))));
}

#[tokio::test]
async fn an_import_passes_the_door_like_anybody_or_brings_nothing() {
    let refusals = [
        (Limits { events: Some(3), ..Limits::default() }, Limit::Events),
        (Limits { bytes: Some(1), ..Limits::default() }, Limit::Bytes),
        (Limits { reserve: Some(u64::MAX), ..Limits::default() }, Limit::Reserve),
    ];
    for (limits, limit) in refusals {
        let (place, source) = (Place::new(), Published::closed());
        let spool = place.open();
        spool.set_bounds(limits, Retention::default());
        let refused = import(&place, &spool, &source).await.unwrap_err();
        assert_eq!(refused, ImportError::Spool(SpoolError::Full { limit }));
        assert_eq!(place.events(), [], "{limit:?}");

        // Four wait; what was settled elsewhere takes no place of those.
        spool.set_bounds(Limits { events: Some(4), ..Limits::default() }, Retention::default());
        assert_eq!(import(&place, &spool, &source).await.unwrap().unwrap().new_events(), 6);
    }
    let (place, source) = (Place::new(), Published::closed());
    let spool = place.open();
    spool.control().set_maintenance(Some("new disk".into())).await.unwrap();
    let refused = import(&place, &spool, &source).await.unwrap_err();
    assert_eq!(refused, ImportError::Spool(SpoolError::Maintenance { reason: "new disk".into() }));
    assert_eq!(place.events(), []);
}

#[tokio::test]
async fn an_import_stops_where_it_has_filled_the_file_itself() {
    let (place, source) = (Place::new(), Published::closed());
    source.edit(
        "WITH RECURSIVE n(n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM n WHERE n < 400)
         INSERT INTO spool_events SELECT printf('lv_%032x', n), 'c', 'more-' || n, status, 0, next_attempt_at,
             payload_sha256, encrypted_payload, NULL, created_at, updated_at
         FROM spool_events, n WHERE source_ref = 'ref-5'",
    );
    let spool = place.open();
    let before = place.reader().usage().unwrap().bytes;
    spool.set_bounds(Limits { bytes: Some(before + 40_000), ..Limits::default() }, Retention::default());
    let refused = import(&place, &spool, &source).await.unwrap_err();
    assert_eq!(refused, ImportError::Spool(SpoolError::Full { limit: Limit::Bytes }));
    assert_eq!(place.events(), []);
}
