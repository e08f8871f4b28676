use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use local_vault::spool::{SCHEMA, SpoolError, SpoolReader};
use local_vault::store::{FileKind, StoreError, file_kind};
use rusqlite::Connection;

use super::support::{Place, fill, hashes_in, lease, refs};

/// Opening must fail, and leave the file as it was and nothing new beside it but the lock.
fn refused(place: &Place) -> StoreError {
    let before = hashes_in(place.folder.path());
    let Err(SpoolError::Store(error)) = place.try_open(1) else { panic!("it was opened") };
    let Err(SpoolError::Store(_)) = SpoolReader::open(&place.path()) else { panic!("it was read") };
    assert_eq!(hashes_in(place.folder.path()), before);
    error
}

#[test]
fn another_programs_database_is_refused_and_not_changed() {
    for mode in ["WAL", "DELETE"] {
        let place = Place::new();
        let db = Connection::open(place.path()).unwrap();
        db.pragma_update(None, "journal_mode", mode).unwrap();
        db.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
        drop(db);
        assert!(matches!(refused(&place), StoreError::Foreign { .. }));
        assert_eq!(file_kind(&place.path(), &SCHEMA).unwrap(), FileKind::OtherDatabase);
    }
}

#[test]
fn what_is_no_database_is_refused_and_not_changed() {
    for bytes in [&b"x"[..], &[0; 100], &[0xa5; 8192], b"SQLite format 3\0 and no more"] {
        let place = Place::new();
        fs::write(place.path(), bytes).unwrap();
        assert!(matches!(refused(&place), StoreError::Foreign { .. }), "{} bytes", bytes.len());
    }
}

#[tokio::test]
async fn a_truncated_spool_is_refused_and_not_changed() {
    let place = Place::new();
    let spool = place.open();
    for n in 0..40 {
        fill(&spool, "a", &[&n.to_string()]).await;
    }
    drop(spool);
    let whole = fs::read(place.path()).unwrap();
    for kept in [16, 99, 100, 512, 4095, 4096, 4097, whole.len() / 2, whole.len() - 4096] {
        fs::write(place.path(), &whole[..kept]).unwrap();
        refused(&place);
    }
}

#[tokio::test]
async fn a_crash_within_a_checkpoint_is_no_damage() {
    let (place, copy) = (Place::new(), Place::new());
    let spool = place.open();
    for n in 0..40 {
        fill(&spool, "a", &[&n.to_string()]).await;
    }
    let wal = fs::read(place.path().with_extension("sqlite3-wal")).unwrap();
    let mut file = fs::read(place.path()).unwrap();
    // The checkpoint has written the newest first page, which tells of pages that the file does not have yet.
    let first_page = wal[32..].chunks_exact(24 + 4096).rfind(|frame| frame[..4] == [0, 0, 0, 1]).unwrap();
    assert!(u32::from_be_bytes(first_page[24 + 28..24 + 32].try_into().unwrap()) as usize * 4096 > file.len());
    file[..4096].copy_from_slice(&first_page[24..]);
    fs::write(copy.path(), file).unwrap();
    fs::write(copy.path().with_extension("sqlite3-wal"), wal).unwrap();
    copy.open();
    assert_eq!(copy.events(), place.events());
}

#[test]
fn a_spool_of_a_later_version_is_refused_and_not_changed() {
    let place = Place::new();
    drop(place.open());
    place.raw().pragma_update(None, "user_version", 99).unwrap();
    assert_eq!(refused(&place), StoreError::Newer(place.path()));
    assert_eq!(file_kind(&place.path(), &SCHEMA).unwrap(), FileKind::Ours);
}

#[tokio::test]
async fn an_empty_file_is_taken_as_new_and_so_is_what_an_interrupted_start_left() {
    let place = Place::new();
    fs::write(place.path(), b"").unwrap();
    fs::write(place.folder.path().join("spool.sqlite3.draft"), b"half a page").unwrap();
    assert_eq!(file_kind(&place.path(), &SCHEMA).unwrap(), FileKind::Nothing);
    let spool = place.open();
    fill(&spool, "a", &["1"]).await;
    assert_eq!(refs(&lease(&spool, 1).await), ["1"]);
}

#[tokio::test]
async fn a_spool_whose_file_is_gone_but_not_its_wal_is_not_made_anew() {
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1"]).await;
    // As after a crash: the WAL still holds what was committed.
    let wal = fs::read(place.folder.path().join("spool.sqlite3-wal")).unwrap();
    drop(spool);
    fs::remove_file(place.path()).unwrap();
    fs::write(place.folder.path().join("spool.sqlite3-wal"), wal).unwrap();
    assert!(matches!(place.try_open(1), Err(SpoolError::Store(StoreError::Damaged(_)))));
    assert!(!place.path().exists());
}

#[test]
fn a_link_to_nothing_is_refused() {
    let place = Place::new();
    std::os::unix::fs::symlink("not-mounted/spool.sqlite3", place.path()).unwrap();
    assert!(matches!(place.try_open(1), Err(SpoolError::Store(StoreError::Io(_)))));
    assert!(place.path().is_symlink());
}

#[test]
fn a_missing_spool_is_made_for_a_writer_and_refused_to_a_reader() {
    let place = Place::new();
    let missing = SpoolError::Store(StoreError::Missing(place.path()));
    assert_eq!(SpoolReader::open(&place.path()).unwrap_err(), missing);
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 0, "looking leaves nothing");
    place.open();
    SpoolReader::open(&place.path()).unwrap();
}

#[tokio::test]
async fn nobody_else_may_read_the_files_whatever_the_umask() {
    rustix::process::umask(rustix::fs::Mode::empty());
    let place = Place::new();
    let spool = place.open();
    fill(&spool, "a", &["1"]).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let files: Vec<_> = fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.iter().any(|file| file.ends_with("spool.sqlite3-wal")));
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}
