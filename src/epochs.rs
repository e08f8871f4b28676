//! Data keys live in epochs: made, opened and rotated here; destroyed in the device by a later version.
//!
//! An epoch's record is signed in custody and verified before anything is unwrapped, and a commitment sealed with
//! the data key shows that what was unwrapped is the key that was meant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use crate::custody::{CustodyError, DataKey, ErrorKind, PurposeKey, Sealed, WrappedKey, WrappingKey};
use crate::facts::{Digest, Framed, Timestamp};
use crate::protocol::epoch_record::EpochRecord;
use crate::protocol::{Signature, json};
use crate::store::StoreError;

/// The table, for the schema of whichever store keeps epochs.
pub const TABLE: &str = "
    CREATE TABLE epochs (
        epoch      INTEGER PRIMARY KEY,
        record     BLOB NOT NULL,   -- canonical JSON
        signature  BLOB NOT NULL,   -- by the record key
        wrapped    BLOB NOT NULL,   -- the data key, as the wrapping key gave it
        nonce      BLOB NOT NULL,   -- of the commitment
        commitment BLOB NOT NULL    -- a fixed text sealed with the data key
    ) STRICT;
";

const COMMITTED: &[u8] = b"local-vault epoch commitment v1";

/// The epochs of one store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Epochs {
    spool_id: String,
    wrapping: Arc<dyn WrappingKey>,
    record: PurposeKey,
    opened: Arc<Mutex<HashMap<u32, Opened>>>,
}

/// A data key, with the row that it was verified by: the transaction that showed the row may be undone, and then
/// another process may begin an epoch of the same number.
#[derive(Debug)]
struct Opened {
    row: Row,
    key: Arc<dyn DataKey>,
}

/// An epoch and its data key.
#[derive(Debug, Clone)]
pub struct Epoch {
    /// Its number, from 1.
    pub number: u32,
    /// What seals and opens its records.
    pub key: Arc<dyn DataKey>,
}

impl Epochs {
    /// The epochs of the store that is named `spool_id`, which every record is bound to.
    pub fn new(spool_id: &str, wrapping: Arc<dyn WrappingKey>, record: PurposeKey) -> Self {
        Self { spool_id: spool_id.to_owned(), wrapping, record, opened: Arc::default() }
    }

    /// The epoch that new records are sealed under. Read inside the caller's transaction, since another process may
    /// have rotated.
    pub fn active(&self, db: &Connection) -> Result<Epoch, EpochError> {
        let newest = db.prepare_cached("SELECT max(epoch) FROM epochs")?.query_row([], |row| row.get(0))?;
        let number: Option<u32> = newest;
        let number = number.ok_or(EpochError::Missing { epoch: 1 })?;
        Ok(Epoch { number, key: self.open(db, number)? })
    }

    /// The data key of an epoch, unwrapped once a process.
    pub fn open(&self, db: &Connection, number: u32) -> Result<Arc<dyn DataKey>, EpochError> {
        let opened = || self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let row = Row::read(db, number)?.ok_or(EpochError::Missing { epoch: number })?;
        if let Some(verified) = opened().get(&number).filter(|verified| verified.row == row) {
            return Ok(verified.key.clone());
        }
        let key = self.unwrap(&row, number)?;
        opened().insert(number, Opened { row, key: key.clone() });
        Ok(key)
    }

    /// Begins the next epoch. The earlier ones stay, for what lies under them. Where it fails, what the device keeps of
    /// the new one is destroyed again, if the device lets us: nobody knows of it.
    pub fn rotate(&self, db: &Connection, now: Timestamp) -> Result<Epoch, EpochError> {
        let newest: Option<u32> = db.query_row("SELECT max(epoch) FROM epochs", [], |row| row.get(0))?;
        // A number that is taken is refused by the table.
        let number = newest.unwrap_or(0).saturating_add(1);
        let (wrapped, key) = self.wrapping.generate_data_key(self.context(number).as_bytes())?;
        if let Err(e) = self.keep(db, now, number, &wrapped, &*key) {
            if let Some(Err(e)) = self.wrapping.epoch_keys().map(|keys| keys.destroy(&wrapped)) {
                tracing::warn!(
                    epoch = number,
                    error = e.origin(),
                    "the device keeps the key of an epoch that was not begun"
                );
            }
            return Err(e);
        }
        Ok(Epoch { number, key })
    }

    /// Signs and stores an epoch.
    fn keep(
        &self,
        db: &Connection,
        now: Timestamp,
        number: u32,
        wrapped: &WrappedKey,
        key: &dyn DataKey,
    ) -> Result<(), EpochError> {
        let context = self.context(number);
        let commitment = key.seal(context.as_bytes(), COMMITTED)?;
        let record = EpochRecord {
            spool_id: self.spool_id.clone(),
            epoch: number,
            scheme: self.wrapping.scheme().to_owned(),
            key_id: self.wrapping.key_id().to_owned(),
            wrapped_sha256: Digest::of(&wrapped.0),
            context_sha256: Digest::of(context.as_bytes()),
            commitment_sha256: commitment_digest(&commitment),
            created_at: now,
            alg: self.record.public_key().algorithm(),
            kid: self.record.kid().to_owned(),
        };
        let preimage = record.preimage();
        let signature = self.record.sign(&preimage)?;
        db.execute(
            "INSERT INTO epochs (epoch, record, signature, wrapped, nonce, commitment) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                number,
                preimage.canonical(),
                signature.as_bytes(),
                wrapped.0,
                commitment.nonce,
                commitment.ciphertext
            ],
        )?;
        Ok(())
    }

    fn unwrap(&self, row: &Row, number: u32) -> Result<Arc<dyn DataKey>, EpochError> {
        let untrusted = |why| EpochError::Untrusted { epoch: number, why };
        let record = json::parse(&row.record).ok().and_then(|object| EpochRecord::from_object(&object).ok());
        let record = record.ok_or_else(|| untrusted("its record does not read"))?;
        // Told apart from tampering, because it is what an operator does who names the wrong key.
        if record.key_id != self.wrapping.key_id() {
            return Err(EpochError::OtherKey { wrote: record.key_id, have: self.wrapping.key_id().to_owned() });
        }
        let signature = Signature::from_bytes(row.signature);
        self.record
            .public_key()
            .verify(&record.preimage(), &signature)
            .map_err(|_| untrusted("its record is not signed by the record key"))?;
        let context = self.context(number);
        let matches = record.epoch == number
            && record.spool_id == self.spool_id
            && record.scheme == self.wrapping.scheme()
            && record.wrapped_sha256 == Digest::of(&row.wrapped.0)
            && record.context_sha256 == Digest::of(context.as_bytes())
            && record.commitment_sha256 == commitment_digest(&row.commitment);
        if !matches {
            return Err(untrusted("its record speaks of something else"));
        }
        let key = self.wrapping.unwrap_data_key(&row.wrapped, context.as_bytes())?;
        match key.open(context.as_bytes(), &row.commitment) {
            Ok(text) if *text == COMMITTED => Ok(key),
            // A device that went away says nothing about the epoch.
            Err(e) if e.kind == ErrorKind::Away => Err(e.into()),
            Ok(_) | Err(_) => Err(untrusted("its data key is not the one that was committed to")),
        }
    }

    fn context(&self, number: u32) -> Framed {
        Framed::new("local-vault.epoch.v1").bytes(self.spool_id.as_bytes()).number(number.into())
    }
}

#[derive(Debug, PartialEq)]
struct Row {
    record: Vec<u8>,
    signature: [u8; 64],
    wrapped: WrappedKey,
    commitment: Sealed,
}

impl Row {
    fn read(db: &Connection, number: u32) -> rusqlite::Result<Option<Self>> {
        let sql = "SELECT record, signature, wrapped, nonce, commitment FROM epochs WHERE epoch = ?1";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Self {
                record: row.get(0)?,
                signature: row.get(1)?,
                wrapped: WrappedKey(row.get(2)?),
                commitment: Sealed { nonce: row.get(3)?, ciphertext: row.get(4)? },
            })
        };
        db.prepare_cached(sql)?.query_row([number], read).optional()
    }
}

fn commitment_digest(commitment: &Sealed) -> Digest {
    let both = Framed::new("commitment").bytes(&commitment.nonce).bytes(&commitment.ciphertext);
    Digest::of(both.as_bytes())
}

/// Why an epoch does not open, by what the caller does about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// Custody refused or failed.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// There is no such epoch. Nothing that is sealed under it opens.
    #[error("there is no record of epoch {epoch}")]
    Missing {
        /// Which epoch.
        epoch: u32,
    },
    /// The store was written with another wrapping key: the wrong key or the wrong store is configured.
    #[error("the spool was written with the key {wrote}, and {have} is configured")]
    OtherKey {
        /// The key that wrapped the epoch.
        wrote: String,
        /// The key that is here.
        have: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The epoch's record does not verify. Nothing was unwrapped.
    #[error("epoch {epoch} is not trusted: {why}")]
    Untrusted {
        /// Which epoch.
        epoch: u32,
        /// What does not hold.
        why: &'static str,
    },
}

impl From<rusqlite::Error> for EpochError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custody::file::RootKey;
    use crate::custody::{EpochKeys, Protection, Purpose};

    fn epochs() -> Epochs {
        let root = RootKey::new(&mut [1; 32]);
        let record = PurposeKey::bind(Purpose::Record, "record", Arc::new(root.record_key())).unwrap();
        Epochs::new("spl_1", Arc::new(root), record)
    }

    #[test]
    fn a_rotation_that_was_undone_leaves_no_key_behind() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(TABLE).unwrap();
        let (ours, now) = (epochs(), Timestamp::from_millis(0));
        ours.rotate(&db, now).unwrap();
        db.execute_batch("BEGIN").unwrap();
        ours.rotate(&db, now).unwrap();
        assert_eq!(ours.active(&db).unwrap().number, 2);
        db.execute_batch("ROLLBACK").unwrap();

        // Another process begins the epoch of that number.
        epochs().rotate(&db, now).unwrap();
        let active = ours.active(&db).unwrap();
        let sealed = active.key.seal(b"", b"record").unwrap();
        assert_eq!(active.number, 2);
        assert_eq!(**epochs().open(&db, 2).unwrap().open(b"", &sealed).unwrap(), *b"record");
    }
    /// A device that keeps a part of each data key.
    #[derive(Debug)]
    struct Device {
        root: RootKey,
        keeps: Arc<Mutex<Vec<WrappedKey>>>,
    }

    impl WrappingKey for Device {
        fn key_id(&self) -> &str {
            self.root.key_id()
        }

        fn scheme(&self) -> &'static str {
            self.root.scheme()
        }

        fn protection(&self) -> Protection {
            self.root.protection()
        }

        fn generate_data_key(&self, context: &[u8]) -> Result<(WrappedKey, Arc<dyn DataKey>), CustodyError> {
            let made = self.root.generate_data_key(context)?;
            self.keeps.lock().unwrap().push(made.0.clone());
            Ok(made)
        }

        fn unwrap_data_key(&self, wrapped: &WrappedKey, context: &[u8]) -> Result<Arc<dyn DataKey>, CustodyError> {
            self.root.unwrap_data_key(wrapped, context)
        }

        fn epoch_keys(&self) -> Option<&dyn EpochKeys> {
            Some(self)
        }
    }

    impl EpochKeys for Device {
        fn destroy(&self, wrapped: &WrappedKey) -> Result<bool, CustodyError> {
            let mut keeps = self.keeps.lock().unwrap();
            let before = keeps.len();
            keeps.retain(|kept| kept != wrapped);
            Ok(keeps.len() < before)
        }
    }

    #[test]
    fn a_rotation_that_fails_leaves_nothing_in_the_device() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(TABLE).unwrap();
        let (root, keeps) = (RootKey::new(&mut [1; 32]), Arc::<Mutex<Vec<WrappedKey>>>::default());
        let record = PurposeKey::bind(Purpose::Record, "record", Arc::new(root.record_key())).unwrap();
        let epochs = Epochs::new("spl_1", Arc::new(Device { root, keeps: keeps.clone() }), record);
        epochs.rotate(&db, Timestamp::from_millis(0)).unwrap();
        let kept = keeps.lock().unwrap().clone();

        db.pragma_update(None, "query_only", true).unwrap();
        epochs.rotate(&db, Timestamp::from_millis(0)).unwrap_err();
        assert_eq!(*keeps.lock().unwrap(), kept);
        assert_eq!(kept.len(), 1);
    }
}
