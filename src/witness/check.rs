use rusqlite::Row;

use super::open::Witness;
use super::record::{self, Kind, START, link};
use super::secret::Tag;
use super::stream::StreamName;
use super::{Counts, WitnessError};
use crate::protocol::json::{self, Object};
use crate::protocol::witness::{ForkEvidence, Statement};
use crate::protocol::{Preimage, PublicKey, Signature};

/// What a check went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// Records of every kind.
    pub records: u64,
    /// Those of them that are receipts and fork evidence.
    pub signed: Counts,
    /// Receipts and evidence without a signature yet: a crash came before it, or the key was away.
    pub unsigned: u64,
}

/// What is wrong, and at which record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrong {
    /// The number of the record.
    pub n: u64,
    /// In words.
    pub what: &'static str,
}

/// Every record beside what stands for it in the tables of receipts and evidence. The columns of both follow each
/// other, since a record is one of the two at most.
const ALL: &str = "
    SELECT r.n, r.kind, r.body, r.mac,
           a.n IS NOT NULL, a.seq_no, a.checkpoint_id, a.public_key, a.signature,
           f.n IS NOT NULL, f.shown, f.kid, f.public_key, f.signature,
           s.witness_id, s.tenant_id, s.stream_id
    FROM records r LEFT JOIN receipts a USING (n) LEFT JOIN forks f USING (n)
         LEFT JOIN streams s ON s.stream = coalesce(a.stream, f.stream)
    ORDER BY r.n";

const WITHOUT_A_RECORD: &str = "
    SELECT n FROM receipts WHERE n NOT IN (SELECT n FROM records)
    UNION SELECT n FROM forks WHERE n NOT IN (SELECT n FROM records) ORDER BY 1";

impl Witness {
    /// Goes over everything that was written: each record's MAC, what all of them lead to, receipts and evidence against
    /// their records both ways, and every signature. `see` is told of each record, and what is wrong with it. Blocks for as
    /// long as that takes: a signature is verified for each.
    pub fn check(&self, mut see: impl FnMut(Option<Wrong>)) -> Result<Checked, WitnessError> {
        let (mut checked, mut chain) = (Checked::default(), START);
        let mut statement = self.db.prepare(ALL)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (n, kind, body): (u64, String, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            chain = link(&chain, n, &kind, &body);
            checked.records += 1;
            let is_ours = row.get::<_, Tag>(3).is_ok_and(|mac| mac == record::mac(&self.secret, n, &kind, &body));
            let found = if is_ours { self.one(row, &kind, &body, &mut checked)? } else { Err("it was changed") };
            see(found.err().map(|what| Wrong { n, what }));
        }
        let mut statement = self.db.prepare(WITHOUT_A_RECORD)?;
        for n in statement.query_map([], |row| row.get(0))? {
            see(Some(Wrong { n: n?, what: "a receipt or evidence has no record" }));
        }
        if chain != self.state.floor {
            let what = "the records do not lead to where the state stands";
            see(Some(Wrong { n: chain.count, what }));
        }
        Ok(checked)
    }

    /// What is wrong with one record, whose MAC holds.
    fn one(
        &self,
        row: &Row<'_>,
        kind: &str,
        body: &[u8],
        checked: &mut Checked,
    ) -> rusqlite::Result<Result<(), &'static str>> {
        let (has_receipt, has_fork): (bool, bool) = (row.get(4)?, row.get(9)?);
        let Ok(body) = json::parse(body) else { return Ok(Err("it does not read")) };
        let stands_for = [Kind::Accepted.name(), Kind::Forked.name()].map(|name| name == kind);
        if [has_receipt, has_fork] != stands_for {
            return Ok(Err("what stands for it is gone, or is of another kind"));
        }
        if !has_receipt && !has_fork {
            return Ok(Ok(()));
        }
        let (is_same, preimage, kid, columns) = if has_receipt {
            checked.signed.receipts += 1;
            let Some(statement) = read(&body, "statement", Statement::from_object) else { return Ok(Err(UNREADABLE)) };
            let s = &statement.submission;
            let is_same = (row.get(5)?, row.get(6)?) == (s.checkpoint_seq_no, s.checkpoint_id.clone())
                && stream(row)? == StreamName::from(s);
            (is_same, statement.preimage(), Some(statement.key_epoch), [7, 8])
        } else {
            checked.signed.forks += 1;
            let Some(evidence) = read(&body, "evidence", ForkEvidence::from_object) else { return Ok(Err(UNREADABLE)) };
            let preimage = evidence.preimage();
            let shown: Vec<u8> = row.get(10)?;
            let is_same = (shown == evidence.shown().as_bytes() || shown == preimage.hash().as_bytes())
                && stream(row)? == StreamName::from(&evidence.submission);
            (is_same, preimage, row.get(11)?, [12, 13])
        };
        if !is_same {
            return Ok(Err("what stands for it is of another checkpoint"));
        }
        let (key, signature): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.get(columns[0])?, row.get(columns[1])?);
        let Some((key, signature)) = key.zip(signature) else {
            checked.unsigned += 1;
            return Ok(Ok(()));
        };
        // What was imported another witness may have signed.
        let is_imported = body.get_str("by") == Some("import");
        Ok(self.signed(&preimage, kid.as_deref(), &key, &signature, is_imported))
    }

    fn signed(
        &self,
        preimage: &Preimage,
        kid: Option<&str>,
        key: &[u8],
        signature: &[u8],
        is_imported: bool,
    ) -> Result<(), &'static str> {
        let key = <&[u8; 32]>::try_from(key).ok().and_then(|key| PublicKey::ed25519(key).ok());
        let signature = <[u8; 64]>::try_from(signature).ok().map(Signature::from_bytes);
        let (key, signature) = key.zip(signature).ok_or("its signature does not read")?;
        let is_own = self.state.keys.iter().any(|own| Some(own.kid.as_str()) == kid && own.public_key == key);
        if !is_own && !is_imported {
            return Err("it is signed by a key that is none of ours");
        }
        key.verify(preimage, &signature).map_err(|_| "its signature does not verify")
    }
}

fn read<T, E>(body: &Object, member: &str, read: impl FnOnce(&Object) -> Result<T, E>) -> Option<T> {
    read(body.get_object(member)?).ok()
}

fn stream(row: &Row<'_>) -> rusqlite::Result<StreamName> {
    // A row that is gone has no names.
    let text = |column| row.get::<_, Option<String>>(column).map(Option::unwrap_or_default);
    Ok(StreamName { witness_id: text(14)?, tenant_id: text(15)?, stream_id: text(16)? })
}

const UNREADABLE: &str = "it does not read as what it is";
