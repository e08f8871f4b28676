use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::record::Kind;
use super::schema::SCHEMA;
use super::state::{OwnKey, State};
use super::stream::Stream;
use super::{Counts, WitnessError};
use crate::custody::Floor;
use crate::protocol::json::{self, Object};
use crate::protocol::witness::{
    Class, ForkBundle, ForkEvidence, Rollover, Statement, SubmitterSignature, class, receipt, sealed_fork_evidence,
    verify_fork_evidence, verify_receipt,
};
use crate::protocol::{PublicKey, Signature};
use crate::store::{self, Access};

/// The witness's database for looking only: needs no key, and believes what verifies. Its calls block on the disk.
#[derive(Debug)]
pub struct WitnessReader {
    db: Connection,
}

/// Evidence that is read at once.
const PAGE: usize = 200;

/// Fork evidence, with all that it takes to judge it.
#[derive(Debug, Clone)]
pub struct Fork {
    /// The number of its record: what a page goes on behind.
    pub n: u64,
    /// What it shows.
    pub class: Class,
    /// The evidence as it was signed.
    pub sealed: Object,
    /// The receipt that it contradicts, where the number was receipted before.
    pub receipt: Option<Object>,
    /// The submitter's signature over the checkpoint that was receipted.
    pub receipted_signature: Option<SubmitterSignature>,
    /// The submitter's signature over the one that contradicts it.
    pub submitted_signature: Option<SubmitterSignature>,
}

impl Fork {
    /// Everything in one object, which `verify --evidence` reads, the documented verifier form beside it.
    pub fn to_object(&self) -> Result<Object, WitnessError> {
        let Self { n, class, sealed, receipt, receipted_signature, submitted_signature } = self.clone();
        let evidence = sealed.get_object("evidence").and_then(|evidence| ForkEvidence::from_object(evidence).ok());
        let evidence = evidence.ok_or(UNREADABLE)?;
        let bundle = ForkBundle { n, sealed, receipt, receipted_signature, submitted_signature };
        Ok(bundle.to_object(class, &evidence))
    }
}

/// How far the file says that it has come. Whoever can write there can have written that too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The last record, and what all of them lead to.
    pub floor: Floor,
    /// Our keys in their order; the last one signs.
    pub keys: Vec<OwnKey>,
    /// The incident that stopped it.
    pub stopped: Option<String>,
}

impl WitnessReader {
    /// Opens the database at `path`.
    pub fn open(path: &Path) -> Result<Self, WitnessError> {
        Ok(Self { db: store::open(path, &SCHEMA, Access::Read)? })
    }

    /// How much the witness has signed.
    pub fn counts(&self) -> Result<Counts, WitnessError> {
        let count = |table| self.db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
        Ok(Counts { forks: count("forks")?, receipts: count("receipts")? })
    }

    /// The signed receipts of a checkpoint: one for each stream of these tenants that has one of that name; `None`: of all
    /// tenants.
    pub fn checkpoint(
        &self,
        tenants: Option<&BTreeSet<String>>,
        checkpoint_id: &str,
    ) -> Result<Vec<Object>, WitnessError> {
        let sql = "SELECT r.body, receipts.public_key, receipts.signature FROM receipts
                   JOIN records r USING (n) JOIN streams USING (stream)
                   WHERE checkpoint_id_of = ?1 AND (?2 IS NULL OR tenant_id IN (SELECT value FROM json_each(?2, '$.of'))) AND signature IS NOT NULL ORDER BY n";
        let sql = sql.replace("checkpoint_id_of", "receipts.checkpoint_id");
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement.query_map(params![checkpoint_id, list(tenants)], signed_row)?;
        rows.map(|row| receipt_of(row?)).collect()
    }

    /// The last receipt of each stream of these tenants, from the stream behind `after` on; with the place to go on behind.
    pub fn heads(
        &self,
        tenants: Option<&BTreeSet<String>>,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<Object>, u64), WitnessError> {
        // Where the head is a floor, or has no signature yet, what was signed before it: peers must not think that there
        // is nothing.
        let sql = "SELECT r.body, receipts.public_key, receipts.signature, streams.stream FROM streams
                   JOIN receipts ON receipts.n = (SELECT n FROM receipts AS signed
                                                  WHERE signed.stream = streams.stream AND signed.origin = streams.origin
                                                        AND signature IS NOT NULL ORDER BY seq_no DESC LIMIT 1)
                   JOIN records r ON r.n = receipts.n
                   WHERE (?1 IS NULL OR tenant_id IN (SELECT value FROM json_each(?1, '$.of'))) AND streams.stream > ?2
                   ORDER BY streams.stream LIMIT ?3";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query(params![list(tenants), after, limit])?;
        let (mut heads, mut next) = (Vec::new(), after);
        while let Some(row) = rows.next()? {
            heads.push(receipt_of(signed_row(row)?)?);
            next = row.get(3)?;
        }
        Ok((heads, next))
    }

    /// Fork evidence of these tenants, behind the record `after`.
    pub fn forks(
        &self,
        tenants: Option<&BTreeSet<String>>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Fork>, WitnessError> {
        let sql = "SELECT n FROM forks JOIN streams USING (stream)
                   WHERE (?1 IS NULL OR tenant_id IN (SELECT value FROM json_each(?1, '$.of'))) AND n > ?2 AND signature IS NOT NULL ORDER BY n LIMIT ?3";
        let mut statement = self.db.prepare_cached(sql)?;
        let rows = statement.query_map(params![list(tenants), after, limit], |row| row.get(0))?;
        rows.map(|n| self.fork(n?)).collect()
    }

    /// This evidence with all that belongs to it, once its signature is written down.
    pub fn fork_of(&self, evidence: &ForkEvidence) -> Result<Option<Fork>, WitnessError> {
        let sql = "SELECT n FROM forks WHERE shown = ?1 AND signature IS NOT NULL";
        let mut statement = self.db.prepare_cached(sql)?;
        let n = statement.query_row([evidence.shown().as_bytes()], |row| row.get(0)).optional()?;
        n.map(|n| self.fork(n)).transpose()
    }

    /// Everything that is signed, each in its order: the rollovers from one key to the next, so that whoever reads on
    /// knows whom to trust, then the receipts, then fork evidence.
    pub fn export<E: From<WitnessError>>(&self, mut see: impl FnMut(Object) -> Result<(), E>) -> Result<(), E> {
        self.rollovers()?.into_iter().try_for_each(&mut see)?;
        let mut after = 0;
        loop {
            let page = self.receipts(after)?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            page.into_iter().try_for_each(|(_, receipt)| see(receipt))?;
        }
        after = 0;
        loop {
            let page = self.forks(None, after, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.n;
            page.iter().try_for_each(|fork| see(fork.to_object()?))?;
        }
    }

    /// Receipts behind the record `after`, each with the number of its record.
    fn receipts(&self, after: u64) -> Result<Vec<(u64, Object)>, WitnessError> {
        let sql = "SELECT r.body, receipts.public_key, receipts.signature, n FROM receipts JOIN records r USING (n)
                   WHERE n > ?1 AND signature IS NOT NULL ORDER BY n LIMIT ?2";
        let mut statement = self.db.prepare_cached(sql)?;
        let rows = statement.query_map(params![after, PAGE], |row| Ok((row.get(3)?, signed_row(row)?)))?;
        rows.map(|row| row.map_err(WitnessError::from).and_then(|(n, row)| Ok((n, receipt_of(row)?)))).collect()
    }

    /// The rollovers from one key to the next, signed by both.
    pub fn rollovers(&self) -> Result<Vec<Object>, WitnessError> {
        let mut statement = self.db.prepare("SELECT body FROM records WHERE kind = ?1 ORDER BY n")?;
        let bodies = statement.query_map([Kind::Rotated.name()], |row| row.get::<_, Vec<u8>>(0))?;
        let bodies = bodies.map(|body| json::parse(&body?).map_err(|_| UNREADABLE));
        // With the published settings a key is adopted, without a word of the one before it.
        bodies.filter(|body| !body.as_ref().is_ok_and(|body| !Rollover::is_one(body))).collect()
    }

    /// How far the file says that it has come; `None` where nothing was begun.
    pub fn written(&self) -> Result<Option<Written>, WitnessError> {
        let state = State::read(&self.db)?;
        Ok(state.map(|(State { floor, keys, stopped, .. }, _)| Written { floor, keys, stopped }))
    }

    /// Every stream.
    pub fn streams(&self, see: impl FnMut(Stream)) -> Result<(), WitnessError> {
        Stream::each(&self.db, see)
    }

    fn fork(&self, n: u64) -> Result<Fork, WitnessError> {
        let sql = "SELECT r.body, public_key, signature, kid FROM forks JOIN records r USING (n) WHERE n = ?1";
        let row = |row: &Row<'_>| Ok((signed_row(row)?, row.get::<_, String>(3)?));
        let ((body, key, signature), kid) = self.db.prepare_cached(sql)?.query_row([n], row)?;
        let body = json::parse(&body).map_err(|_| UNREADABLE)?;
        let key = key_of(&key)?;
        let read = || {
            let evidence = ForkEvidence::from_object(body.get_object("evidence")?).ok()?;
            Some((body.get_str("evidence_id")?.to_owned(), evidence))
        };
        let (id, evidence) = read().ok_or(UNREADABLE)?;
        let sealed = sealed_fork_evidence(&id, &evidence, &kid, &key, &Signature::from_bytes(signature));
        verify_fork_evidence(&sealed, &key).map_err(|_| UNREADABLE)?;
        let submitted_signature = signature_of(&body);
        let (receipt, receipted_signature) = match body.get("against").and_then(json::Value::as_i64) {
            Some(n) => self.receipted(n)?,
            None => (None, None),
        };
        // What is in the records was verified before it was written.
        let class = class(receipted_signature.as_ref(), submitted_signature.as_ref());
        Ok(Fork { n, class, sealed, receipt, receipted_signature, submitted_signature })
    }

    fn receipted(&self, n: i64) -> Result<(Option<Object>, Option<SubmitterSignature>), WitnessError> {
        let sql = "SELECT r.body, public_key, signature FROM receipts JOIN records r USING (n)
                   WHERE n = ?1 AND signature IS NOT NULL";
        let Some(row) = self.db.prepare_cached(sql)?.query_row([n], signed_row).optional()? else {
            return Ok((None, None));
        };
        let signature = json::parse(&row.0).ok().and_then(|body| signature_of(&body));
        Ok((Some(receipt_of(row)?), signature))
    }
}

/// Some tenants, as a statement takes them.
fn list(tenants: Option<&BTreeSet<String>>) -> Option<String> {
    let list = Object::new().with("of", tenants?.iter().map(String::as_str).collect::<Vec<_>>());
    Some(list.to_python_line())
}

/// A record's body, the key, the signature.
type SignedRow = (Vec<u8>, Vec<u8>, [u8; 64]);

fn signed_row(row: &Row<'_>) -> rusqlite::Result<SignedRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn receipt_of((body, key, signature): SignedRow) -> Result<Object, WitnessError> {
    let body = json::parse(&body).map_err(|_| UNREADABLE)?;
    let read =
        || Some((body.get_str("receipt_id")?.to_owned(), Statement::from_object(body.get_object("statement")?).ok()?));
    let (id, statement) = read().ok_or(UNREADABLE)?;
    let key = key_of(&key)?;
    let receipt = receipt(&id, &statement, &key, &Signature::from_bytes(signature));
    verify_receipt(&receipt, &key).map_err(|_| UNREADABLE)?;
    Ok(receipt)
}

fn signature_of(body: &Object) -> Option<SubmitterSignature> {
    SubmitterSignature::from_object(body.get_object("submitter_signature")?).ok()
}

fn key_of(bytes: &[u8]) -> Result<PublicKey, WitnessError> {
    <&[u8; 32]>::try_from(bytes).ok().and_then(|key| PublicKey::ed25519(key).ok()).ok_or(UNREADABLE)
}

const UNREADABLE: WitnessError = WitnessError::Damaged("a record does not verify");
