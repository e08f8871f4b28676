use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::WitnessError;
use super::secret::{Secret, Tag};
use super::state::State;
use super::sum::Sum;
use crate::facts::{Framed, Timestamp};
use crate::protocol::PublicKey;
use crate::protocol::witness::{Head, Statement, Submission};

/// Which stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName {
    /// Who witnesses it.
    pub witness_id: String,
    /// Whose it is.
    pub tenant_id: String,
    /// What they call it.
    pub stream_id: String,
}

impl From<&Submission> for StreamName {
    fn from(submission: &Submission) -> Self {
        Self {
            witness_id: submission.witness_id.clone(),
            tenant_id: submission.tenant_id.clone(),
            stream_id: submission.stream_id.clone(),
        }
    }
}

/// A stream as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    pub(super) row: i64,
    /// Which.
    pub name: StreamName,
    /// Who alone may submit it; `None`: whoever may speak for the tenant.
    pub submitter: Option<String>,
    /// The key that each of its checkpoints is signed with.
    pub submitter_key: Option<PublicKey>,
    /// How often it was begun anew.
    pub origin: i64,
    /// When it was begun anew last: what peers witnessed before is of another origin.
    pub begun_anew: Option<Timestamp>,
    /// The last checkpoint.
    pub head: Option<Head>,
    /// Whether the head was not receipted here.
    pub is_floor: bool,
}

const COLUMNS: &str =
    "stream, witness_id, tenant_id, stream_id, submitter, submitter_key, origin, checkpoint_id, seq_no,
                       checkpoint_hash, is_floor, begun_anew";

impl Stream {
    /// A stream without a checkpoint.
    pub(super) const fn new(name: StreamName) -> Self {
        Self {
            row: 0,
            name,
            submitter: None,
            submitter_key: None,
            origin: 0,
            begun_anew: None,
            head: None,
            is_floor: false,
        }
    }

    /// Whether what a peer witnessed of it is no older than its present origin. Where it was begun anew, a peer that has
    /// not done so yet would put it back, with every start.
    pub(super) fn is_of_this_origin(&self, statement: &Statement) -> bool {
        self.begun_anew.is_none_or(|since| statement.accepted_at > since)
    }

    pub(super) fn find(db: &Connection, name: &StreamName) -> Result<Option<Self>, WitnessError> {
        let sql = format!("SELECT {COLUMNS} FROM streams WHERE witness_id = ?1 AND tenant_id = ?2 AND stream_id = ?3");
        let StreamName { witness_id, tenant_id, stream_id } = name;
        let mut statement = db.prepare_cached(&sql)?;
        statement.query_row(params![witness_id, tenant_id, stream_id], Self::read).optional()?.transpose()
    }

    /// Every stream of that name, whoever witnesses it.
    pub(super) fn find_elsewhere(db: &Connection, tenant_id: &str, stream_id: &str) -> Result<Vec<Self>, WitnessError> {
        let sql = format!("SELECT {COLUMNS} FROM streams WHERE tenant_id = ?1 AND stream_id = ?2");
        let mut statement = db.prepare_cached(&sql)?;
        statement.query_map([tenant_id, stream_id], Self::read)?.map(|row| row?).collect()
    }

    /// Every stream, in no order.
    pub(super) fn each(db: &Connection, mut see: impl FnMut(Self)) -> Result<(), WitnessError> {
        let mut statement = db.prepare(&format!("SELECT {COLUMNS} FROM streams"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            see(Self::read(row)??);
        }
        Ok(())
    }

    /// The sum over all streams in the file.
    pub(super) fn sum(db: &Connection, secret: &Secret) -> Result<Sum, WitnessError> {
        let mut sum = Sum::default();
        Self::each(db, |stream| sum.add(&stream.tag(secret)))?;
        Ok(sum)
    }

    /// Puts a new stream there, and into the state's sum.
    pub(super) fn insert(&mut self, db: &Connection, secret: &Secret, state: &mut State) -> Result<(), WitnessError> {
        let sql =
            "INSERT INTO streams (witness_id, tenant_id, stream_id, submitter, submitter_key, origin, checkpoint_id,
                                        seq_no, checkpoint_hash, is_floor)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let StreamName { witness_id, tenant_id, stream_id } = &self.name;
        let (id, number, hash) = columns(self.head.as_ref());
        db.prepare_cached(sql)?.execute(params![
            witness_id,
            tenant_id,
            stream_id,
            self.submitter,
            self.submitter_key.as_ref().map(PublicKey::to_hex),
            self.origin,
            id,
            number,
            hash,
            self.is_floor
        ])?;
        self.row = db.last_insert_rowid();
        state.sum.add(&self.tag(secret));
        Ok(())
    }

    /// Moves the head.
    pub(super) fn advance(
        &mut self,
        db: &Connection,
        secret: &Secret,
        state: &mut State,
        head: Head,
        is_floor: bool,
    ) -> Result<(), WitnessError> {
        self.change(db, secret, state, Self { head: Some(head), is_floor, ..self.clone() })
    }

    /// Changes what stands of it, where the file still has the head that was decided upon: one that is not that one is
    /// never replaced, whatever reads it may become.
    pub(super) fn change(
        &mut self,
        db: &Connection,
        secret: &Secret,
        state: &mut State,
        to: Self,
    ) -> Result<(), WitnessError> {
        let sql =
            "UPDATE streams SET checkpoint_id = ?2, seq_no = ?3, checkpoint_hash = ?4, is_floor = ?5, origin = ?6,
                                      begun_anew = ?10, submitter = ?11, submitter_key = ?12
                   WHERE stream = ?1 AND seq_no IS ?7 AND checkpoint_hash IS ?8 AND origin = ?9";
        let (_, number, hash) = columns(self.head.as_ref());
        let (to_id, to_number, to_hash) = columns(to.head.as_ref());
        let moved = db.prepare_cached(sql)?.execute(params![
            self.row,
            to_id,
            to_number,
            to_hash,
            to.is_floor,
            to.origin,
            number,
            hash,
            self.origin,
            to.begun_anew.map(Timestamp::as_millis),
            to.submitter,
            to.submitter_key.as_ref().map(PublicKey::to_hex)
        ])?;
        if moved != 1 {
            return Err(WitnessError::Raced);
        }
        state.sum.take(&self.tag(secret));
        *self = to;
        state.sum.add(&self.tag(secret));
        Ok(())
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Result<Self, WitnessError>> {
        let name = StreamName { witness_id: row.get(1)?, tenant_id: row.get(2)?, stream_id: row.get(3)? };
        let key: Option<String> = row.get(5)?;
        let head = match (row.get(7)?, row.get(8)?, row.get(9)?) {
            (Some(checkpoint_id), Some(checkpoint_seq_no), Some(checkpoint_hash)) => {
                Some(Head { checkpoint_id, checkpoint_seq_no, checkpoint_hash })
            }
            _ => None,
        };
        let Ok(submitter_key) = key.map(|key| PublicKey::from_hex(&key)).transpose() else {
            return Ok(Err(WitnessError::Damaged("a stream's key does not read")));
        };
        let begun_anew = row.get::<_, Option<i64>>(11)?.map(Timestamp::from_millis);
        let (row, submitter, origin, is_floor) = (row.get(0)?, row.get(4)?, row.get(6)?, row.get(10)?);
        Ok(Ok(Self { row, name, submitter, submitter_key, origin, begun_anew, head, is_floor }))
    }

    fn tag(&self, secret: &Secret) -> Tag {
        let optional = |framed: Framed, text: Option<&str>| match text {
            Some(text) => framed.number(1).bytes(text.as_bytes()),
            None => framed.number(0),
        };
        let StreamName { witness_id, tenant_id, stream_id } = &self.name;
        let framed = Framed::new("stream").number(self.row.unsigned_abs());
        let framed = framed.bytes(witness_id.as_bytes()).bytes(tenant_id.as_bytes()).bytes(stream_id.as_bytes());
        let framed = optional(framed, self.submitter.as_deref());
        let framed = optional(framed, self.submitter_key.as_ref().map(PublicKey::to_hex).as_deref());
        let (id, number, hash) = columns(self.head.as_ref());
        let framed = optional(optional(framed, id), hash).number(number.unwrap_or(0).unsigned_abs());
        let begun_anew = self.begun_anew.map_or(0, Timestamp::as_millis).unsigned_abs();
        secret.mac(&framed.number(self.origin.unsigned_abs()).number(begun_anew).number(u64::from(self.is_floor)))
    }
}

fn columns(head: Option<&Head>) -> (Option<&str>, Option<i64>, Option<&str>) {
    match head {
        Some(head) => (Some(&head.checkpoint_id), Some(head.checkpoint_seq_no), Some(&head.checkpoint_hash)),
        None => (None, None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::witness::{Decision, decide};
    use crate::store::{self, Access};
    use crate::witness::SCHEMA;
    use crate::witness::record::START;

    /// Two that have both decided upon the same head, when the stall between decision and write is over.
    struct Stalled {
        _folder: tempfile::TempDir,
        first: (Connection, Stream),
        second: (Connection, Stream),
        secret: Secret,
    }

    impl Stalled {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let open = || store::open(&folder.path().join("witness.sqlite3"), &SCHEMA, Access::Create).unwrap();
            let (db, name) = (open(), StreamName::from(&submission()));
            let secret = Secret::make(&db, "wst_1", None).unwrap();
            let mut stream = Stream { head: Some(head("1a", 1)), ..Stream::new(name.clone()) };
            stream.insert(&db, &secret, &mut state()).unwrap();
            let decided = |db: &Connection| {
                let stream = Stream::find(db, &name).unwrap().unwrap();
                assert_eq!(decide(&submission(), stream.head.as_ref(), None), Decision::Accept);
                stream
            };
            let second = open();
            let (first, other) = (decided(&db), decided(&second));
            Self { _folder: folder, first: (db, first), second: (second, other), secret }
        }
    }

    /// What both submit, but for its hash.
    fn submission() -> Submission {
        Submission {
            witness_id: "ins_1".into(),
            tenant_id: "ten_1".into(),
            stream_id: "str_1".into(),
            checkpoint_id: "chk_2".into(),
            checkpoint_seq_no: 2,
            checkpoint_hash: "2b".repeat(32),
            previous_checkpoint_hash: Some("1a".repeat(32)),
        }
    }

    fn head(hash: &str, number: i64) -> Head {
        let checkpoint_id = format!("chk_{number}");
        Head { checkpoint_id, checkpoint_seq_no: number, checkpoint_hash: hash.repeat(32) }
    }

    fn state() -> State {
        State {
            state_id: "wst_1".into(),
            floor: START,
            behind: 0,
            last_time: Timestamp::from_millis(0),
            keys: Vec::new(),
            stopped: None,
            sum: Sum::default(),
        }
    }

    #[test]
    fn of_two_that_decided_upon_one_head_the_second_to_write_has_raced() {
        let Stalled { first, second, secret, .. } = &mut Stalled::new();
        let advance = |(db, stream): &mut (Connection, Stream), hash| {
            stream.advance(db, secret, &mut state(), head(hash, 2), false)
        };
        assert_eq!(advance(first, "2b"), Ok(()));
        assert_eq!(advance(second, "ff"), Err(WitnessError::Raced));
        assert_eq!(Stream::find(&first.0, &first.1.name).unwrap().unwrap().head, Some(head("2b", 2)));
    }

    /// The negative control: a write that compares nothing lets both through.
    #[test]
    fn without_the_comparison_both_would_have_been_signed() {
        let Stalled { first, second, .. } = Stalled::new();
        let moved = [(&first, "2b"), (&second, "ff")].map(|((db, stream), hash)| {
            let sql = "UPDATE streams SET seq_no = 2, checkpoint_hash = ?2 WHERE stream = ?1";
            db.execute(sql, params![stream.row, hash.repeat(32)]).unwrap()
        });
        assert_eq!(moved, [1, 1]);
    }
}
