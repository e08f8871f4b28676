use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::Registry;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use zeroize::Zeroizing;

use super::metrics::Metrics;
use super::schema::SCHEMA;
use super::tombstone::IndexKey;
use super::{Limits, Retention, SpoolControl, SpoolError, State};
use crate::custody::{PurposeKey, Sealed, WrappingKey};
use crate::epochs::{Epoch, EpochError, Epochs};
use crate::facts::{Clock, Framed, LockedKey, Timestamp, random_id};
use crate::store::{self, Access, StoreError, Writer};

/// The spool, open for writing. Several processes may have it so.
#[derive(Debug)]
pub struct Spool {
    pub(super) writer: Arc<Writer>,
    pub(super) inner: Arc<Inner>,
    pub(super) metrics: Metrics,
}

/// What every request needs inside its transaction.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) path: PathBuf,
    pub(super) spool_id: String,
    pub(super) epochs: Epochs,
    /// Signs what stands in the place of a damaged event.
    pub(super) record: PurposeKey,
    pub(super) index: IndexKey,
    pub(super) clock: Arc<dyn Clock>,
    /// When the relay's last turn was, in milliseconds since 1970.
    pub(super) turned_at: AtomicI64,
    bound: Mutex<Option<String>>,
    bounds: Mutex<(Limits, Retention)>,
}

/// The keys that a spool is opened with.
#[derive(Debug, Clone)]
pub struct SpoolKeys {
    /// Wraps the data keys.
    pub wrapping: Arc<dyn WrappingKey>,
    /// Signs the epoch records.
    pub record: PurposeKey,
}

impl Spool {
    /// Opens the spool, and makes it where it is not there yet. Blocks on the disk and in custody.
    ///
    /// A spool of another key, another program or a later version is refused and not changed.
    pub fn open(path: &Path, keys: SpoolKeys, clock: Arc<dyn Clock>) -> Result<Self, SpoolError> {
        let mut db = store::open(path, &SCHEMA, Access::Create)?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let record = keys.record.clone();
        let (spool_id, epochs, index) = match identify(&tx)? {
            Some(spool_id) => {
                let epochs = Epochs::new(&spool_id, keys.wrapping, keys.record);
                // Opening the active epoch shows that these are the spool's keys before anything relies on them.
                epochs.active(&tx)?;
                let index = IndexKey(open_index(&tx, &epochs, &spool_id)?);
                (spool_id, epochs, index)
            }
            None if has_content(&tx)? => {
                let what = "the row that names the spool is gone, and its events are there";
                return Err(StoreError::Damaged(what.into()).into());
            }
            None => {
                let spool_id = random_id("");
                let epochs = Epochs::new(&spool_id, keys.wrapping, keys.record);
                let index = IndexKey(first_epoch(&tx, &epochs, &spool_id, clock.now())?);
                (spool_id, epochs, index)
            }
        };
        tx.commit()?;
        let (turned_at, bound, bounds) = (AtomicI64::default(), Mutex::default(), Mutex::default());
        let path = path.to_owned();
        let writer = Arc::new(Writer::spawn(db, &path));
        let inner = Inner { path, spool_id, epochs, record, index, clock, turned_at, bound, bounds };
        Ok(Self { writer, inner: Arc::new(inner), metrics: Metrics::default() })
    }

    /// From now on no more is taken than this, and what is settled is kept for so long.
    pub fn set_bounds(&self, limits: Limits, retention: Retention) {
        *self.inner.bounds() = (limits, retention);
    }

    /// What an operator does to this spool.
    pub fn control(&self) -> SpoolControl {
        SpoolControl { path: self.inner.path.clone(), writer: self.writer.clone(), clock: self.inner.clock.clone() }
    }

    /// Lets `registry` gather what this spool and its store measure. One spool a registry.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        self.metrics.register(registry)?;
        self.writer.register(registry)
    }

    /// Begins a new epoch: what is spooled from now on is sealed under its key. Gives its number.
    pub async fn rotate(&self) -> Result<u32, SpoolError> {
        let inner = self.inner.clone();
        self.writer
            .run(move |db| {
                let epoch = inner.epochs.rotate(db, inner.clock.now())?;
                // The key of the tombstones moves along, so that it never holds an old epoch back.
                seal_index(db, &inner.spool_id, &epoch, &inner.index.0)?;
                Ok(epoch.number)
            })
            .await
    }
}

impl Inner {
    /// Whom this process relays for, where it does.
    pub(super) fn bound(&self) -> MutexGuard<'_, Option<String>> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn limits(&self) -> Limits {
        self.bounds().0
    }

    pub(super) fn retention(&self) -> Retention {
        self.bounds().1
    }

    fn bounds(&self) -> MutexGuard<'_, (Limits, Retention)> {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves one event's weight from one state's totals to another's. A size that was changed in the file weighs
    /// wrongly, but never less than nothing.
    pub(super) fn count(db: &Connection, from: Option<State>, to: State, payload_size: u64) -> Result<(), SpoolError> {
        let sql = "UPDATE totals SET events = events + ?2, contents = contents + ?2, bytes = max(bytes + ?2 * ?3, 0)
                   WHERE state = ?1";
        let mut statement = db.prepare_cached(sql)?;
        if let Some(from) = from {
            statement.execute(params![from as i64, -1, payload_size])?;
        }
        statement.execute(params![to as i64, 1, payload_size])?;
        Ok(())
    }
}

fn identify(db: &Connection) -> Result<Option<String>, SpoolError> {
    Ok(db.query_row("SELECT spool_id FROM spool", [], |row| row.get(0)).optional()?)
}

/// Whether anything was ever spooled here. What has content is never given a new identity.
fn has_content(db: &Connection) -> Result<bool, SpoolError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM epochs) OR EXISTS (SELECT 1 FROM events)
               OR EXISTS (SELECT 1 FROM settled) OR EXISTS (SELECT 1 FROM tombstones)";
    Ok(db.query_row(sql, [], |row| row.get(0))?)
}

fn first_epoch(db: &Connection, epochs: &Epochs, spool_id: &str, now: Timestamp) -> Result<LockedKey, SpoolError> {
    let epoch = epochs.rotate(db, now)?;
    let mut key = Zeroizing::new([0; 32]);
    // The kernel fails this only before its pool is ready, and then it blocks instead.
    getrandom::fill(key.as_mut()).expect("the kernel's randomness");
    let key = LockedKey::new(&mut key);
    db.execute("INSERT INTO spool VALUES (1, ?1, ?2, 0, x'', x'', NULL)", params![spool_id, now.as_millis()])?;
    seal_index(db, spool_id, &epoch, &key)?;
    Ok(key)
}

fn seal_index(db: &Connection, spool_id: &str, epoch: &Epoch, key: &LockedKey) -> Result<(), SpoolError> {
    let sealed = epoch.key.seal(index_aad(spool_id, epoch.number).as_bytes(), key.expose())?;
    db.execute(
        "UPDATE spool SET index_epoch = ?1, index_nonce = ?2, index_sealed = ?3",
        params![epoch.number, sealed.nonce, sealed.ciphertext],
    )?;
    Ok(())
}

fn open_index(db: &Connection, epochs: &Epochs, spool_id: &str) -> Result<LockedKey, SpoolError> {
    let sql = "SELECT index_epoch, index_nonce, index_sealed FROM spool";
    let (number, sealed) =
        db.query_row(sql, [], |row| Ok((row.get(0)?, Sealed { nonce: row.get(1)?, ciphertext: row.get(2)? })))?;
    let opened = epochs.open(db, number)?.open(index_aad(spool_id, number).as_bytes(), &sealed)?;
    let key: Option<Zeroizing<[u8; 32]>> = opened.as_slice().try_into().ok().map(Zeroizing::new);
    let why = "the key of the tombstones has the wrong length";
    let mut key = key.ok_or(EpochError::Untrusted { epoch: number, why })?;
    Ok(LockedKey::new(&mut key))
}

fn index_aad(spool_id: &str, epoch: u32) -> Framed {
    Framed::new("local-vault.spool.index.v1").bytes(spool_id.as_bytes()).number(epoch.into())
}
