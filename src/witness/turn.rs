use rusqlite::{Connection, OptionalExtension as _, params};

use super::WitnessError;
use super::change::Change;
use super::record::{self, Kind};
use super::request::{Checked, Times};
use super::secret::Secret;
use super::standing::BATCH;
use super::state::State;
use super::stream::{Stream, StreamName};
use crate::facts::{Timestamp, random_id};
use crate::protocol::json::{Object, Value};
use crate::protocol::witness::{
    Admission, Decision, ForkEvidence, Head, Known, Refusal, Rules, Statement, Submission, SubmitterSignature, admit,
};
use crate::protocol::{PublicKey, Signature};

/// One transaction: decides about what was submitted, in its order, and writes all of it down.
pub(super) struct Turn<'a> {
    pub(super) db: &'a Connection,
    pub(super) secret: &'a Secret,
    pub(super) rules: Rules,
    pub(super) times: &'a dyn Times,
    pub(super) state: State,
}

/// What there is to decide about.
#[derive(Debug, Clone)]
pub(super) enum Work {
    Change(Change),
    Submit(Checked),
    /// Some of what has no signature yet.
    Unsigned,
}

/// What was decided and is written down.
#[derive(Debug, Clone)]
pub(super) enum Decided {
    Changed,
    Forked(Committed<ForkEvidence>),
    Receipted { committed: Committed<Statement>, is_replay: bool },
    Refused(WitnessError),
    Unsigned(Vec<Decided>),
}

/// What is on the disk, and waits for its signature where there is none yet.
#[derive(Debug, Clone)]
pub(super) struct Committed<T> {
    pub(super) n: u64,
    pub(super) id: String,
    pub(super) content: T,
    pub(super) signed: Option<Signed>,
}

/// A signature that was made before.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    pub(super) kid: String,
    pub(super) public_key: PublicKey,
    pub(super) signature: Signature,
}

impl Turn<'_> {
    /// Decides about all of it and gives what the state is now. Where it fails, nothing of it happened.
    pub(super) fn run(mut self, work: &[Work]) -> Result<(State, Vec<Decided>), WitnessError> {
        let before = self.state.clone();
        let decided = work.iter().map(|work| self.one(work)).collect::<Result<_, _>>()?;
        if self.state == before {
            // A replay too: what another process has written down may not be anchored yet, and gets no signature here.
            before.is_still(self.db)?;
        } else {
            self.state.keep(self.db, self.secret, &before.floor)?;
        }
        Ok((self.state, decided))
    }

    fn one(&mut self, work: &Work) -> Result<Decided, WitnessError> {
        let done = match work {
            Work::Change(change) => change.make(self).map(|()| Decided::Changed),
            Work::Submit(checked) => self.submit(checked),
            Work::Unsigned => self.unsigned().map(Decided::Unsigned),
        };
        match done {
            // These concern one alone; behind every other one the whole is undone.
            Err(e @ (WitnessError::Change(_) | WitnessError::Refused(_) | WitnessError::Stopped(_))) => {
                Ok(Decided::Refused(e))
            }
            // A submission reads what it is decided by before it writes anything. Whoever asks for the one record that
            // was damaged must not keep everybody else from theirs.
            Err(e @ WitnessError::Damaged(_)) if matches!(work, Work::Submit(_)) => Ok(Decided::Refused(e)),
            done => done,
        }
    }

    fn submit(&mut self, checked: &Checked) -> Result<Decided, WitnessError> {
        if let Some(why) = &self.state.stopped {
            return Err(WitnessError::Stopped(why.clone()));
        }
        if let Some(incident) = self.look_back(checked)? {
            return Ok(Decided::Refused(WitnessError::Incident(Box::new(incident))));
        }
        let submission = &checked.submission;
        let stream = Stream::find(self.db, &StreamName::from(submission))?;
        let receipted = match &stream {
            Some(stream) => self.receipted(stream, submission.checkpoint_seq_no)?,
            None => None,
        };
        let known = known(stream.as_ref(), receipted.as_ref());
        let signed_by = checked.signature.as_ref().map(|signature| &signature.public_key);
        match (admit(submission, &checked.caller, signed_by, &known, self.rules), receipted) {
            (Admission::Refused(refusal), _) => Err(WitnessError::Refused(refusal)),
            (Admission::Decided(Decision::Replay), Some(committed)) => {
                Ok(Decided::Receipted { committed, is_replay: true })
            }
            (Admission::Decided(Decision::Fork), receipted) => {
                if let (Some(stream), None) = (&stream, &receipted) {
                    self.was_never_receipted(stream, submission)?;
                }
                self.fork(checked, stream, receipted.as_ref())
            }
            (Admission::Decided(Decision::Accept | Decision::Replay), _) => self.accept(checked, stream),
        }
    }

    /// What was receipted for a number, in the stream's present origin.
    pub(super) fn receipted(&self, stream: &Stream, number: i64) -> Result<Option<Committed<Statement>>, WitnessError> {
        let sql = "SELECT n FROM receipts WHERE stream = ?1 AND origin = ?2 AND seq_no = ?3";
        let mut statement = self.db.prepare_cached(sql)?;
        let n = statement.query_row(params![stream.row, stream.origin, number], |row| row.get(0)).optional()?;
        let Some(n) = n else { return Ok(None) };
        let committed = read_receipt(self.db, self.secret, n)?;
        let s = &committed.content.submission;
        if StreamName::from(s) != stream.name || s.checkpoint_seq_no != number {
            return Err(WitnessError::Damaged("a receipt stands where another one belongs"));
        }
        Ok(Some(committed))
    }

    /// A number that has no row among the receipts must never have had one: the rows are not authenticated, and who
    /// submits again what was receipted is honest. So the receipts on either side of it must follow one another.
    ///
    /// Where a floor lies between them, nobody here knows what was before it, and there is no evidence either.
    fn was_never_receipted(&self, stream: &Stream, submission: &Submission) -> Result<(), WitnessError> {
        let number = submission.checkpoint_seq_no;
        let beside = |sql: &str| {
            let mut statement = self.db.prepare_cached(sql)?;
            statement.query_row(params![stream.row, stream.origin, number], |row| row.get::<_, u64>(0)).optional()
        };
        let of_stream = "SELECT n FROM receipts WHERE stream = ?1 AND origin = ?2 AND seq_no";
        let Some(above) = beside(&format!("{of_stream} > ?3 ORDER BY seq_no LIMIT 1"))? else {
            let is_head = |head: &Head| !stream.is_floor && head.checkpoint_seq_no >= number;
            return if stream.head.as_ref().is_some_and(is_head) { Err(RECEIPT_GONE) } else { Ok(()) };
        };
        let below = beside(&format!("{of_stream} < ?3 ORDER BY seq_no DESC LIMIT 1"))?;
        let body = |n| record::read(self.db, self.secret, n, Kind::Accepted);
        let (next, above) = (body(above)?, read_receipt(self.db, self.secret, above)?.content.submission);
        // What was imported names none, and comes in any order.
        let names_none = |body: &Object| body.get("before").is_none();
        if names_none(&next) || below.map(body).transpose()?.is_some_and(|body| names_none(&body)) {
            return Ok(());
        }
        let before = next.get("before").and_then(Value::as_i64).map(i64::unsigned_abs);
        if before != below || above.checkpoint_seq_no <= number || StreamName::from(&above) != stream.name {
            return Err(RECEIPT_GONE);
        }
        let is_floor = above.previous_checkpoint_hash.as_ref() == Some(&submission.checkpoint_hash);
        match next.get("floor").and_then(Value::as_i64) {
            Some(floor) if number < floor || (number == floor && is_floor) => Err(Refusal::BelowFloor.into()),
            _ => Ok(()),
        }
    }

    /// The record of the last receipt of a stream, in its present origin.
    fn last_receipted(&self, stream: &Stream) -> Result<Option<u64>, WitnessError> {
        let sql = "SELECT n FROM receipts WHERE stream = ?1 AND origin = ?2 ORDER BY seq_no DESC LIMIT 1";
        let mut statement = self.db.prepare_cached(sql)?;
        Ok(statement.query_row([stream.row, stream.origin], |row| row.get(0)).optional()?)
    }

    fn accept(&mut self, checked: &Checked, stream: Option<Stream>) -> Result<Decided, WitnessError> {
        let submission = &checked.submission;
        let accepted_at = self.stamp()?;
        let kid = self.state.key()?.kid.clone();
        let statement = Statement { submission: submission.clone(), key_epoch: kid, accepted_at };
        let head = Head {
            checkpoint_id: submission.checkpoint_id.clone(),
            checkpoint_seq_no: submission.checkpoint_seq_no,
            checkpoint_hash: submission.checkpoint_hash.clone(),
        };
        let floor = stream.as_ref().filter(|stream| stream.is_floor).and_then(|stream| stream.head.as_ref());
        let floor = floor.map(|floor| floor.checkpoint_seq_no);
        let stream = match stream {
            Some(mut stream) => {
                stream.advance(self.db, self.secret, &mut self.state, head, false)?;
                stream
            }
            None => {
                let mut stream = Stream { head: Some(head), ..Stream::new(StreamName::from(submission)) };
                stream.insert(self.db, self.secret, &mut self.state)?;
                stream
            }
        };
        let id = random_id("lwr_");
        let body = Object::new()
            .with("receipt_id", id.as_str())
            .with("statement", statement.to_object())
            .with("before", self.last_receipted(&stream)?)
            .with("floor", floor)
            .with("by", checked.caller.as_str())
            .with("submitter_signature", checked.signature.as_ref().map(SubmitterSignature::to_object));
        let n = self.state.append(self.db, self.secret, Kind::Accepted, &body)?;
        insert_receipt(self.db, n, stream.row, stream.origin, submission)?;
        let committed = Committed { n, id, content: statement, signed: None };
        Ok(Decided::Receipted { committed, is_replay: false })
    }

    fn fork(
        &mut self,
        checked: &Checked,
        stream: Option<Stream>,
        receipted: Option<&Committed<Statement>>,
    ) -> Result<Decided, WitnessError> {
        let stream = stream.ok_or(WitnessError::Damaged("a stream without a row contradicts itself"))?;
        let (head, submission) = (stream.head.clone(), checked.submission.clone());
        let each_time = self.rules.evidence_each_time;
        let created_at = if each_time { self.stamp()? } else { self.state.last_time };
        let evidence = ForkEvidence { head, submission, created_at };
        let shown = if each_time { evidence.preimage().hash() } else { evidence.shown() };
        let sql = "SELECT n FROM forks WHERE shown = ?1";
        let known = self.db.prepare_cached(sql)?.query_row([shown.as_bytes()], |row| row.get(0)).optional()?;
        if let Some(n) = known {
            return Ok(Decided::Forked(read_fork(self.db, self.secret, n)?));
        }
        let evidence = if each_time { evidence } else { ForkEvidence { created_at: self.stamp()?, ..evidence } };
        let id = random_id("lwf_");
        let body = Object::new()
            .with("evidence_id", id.as_str())
            .with("evidence", evidence.to_object())
            .with("by", checked.caller.as_str())
            .with("against", receipted.map(|committed| committed.n))
            .with("submitter_signature", checked.signature.as_ref().map(SubmitterSignature::to_object));
        let n = self.state.append(self.db, self.secret, Kind::Forked, &body)?;
        let sql = "INSERT INTO forks (n, stream, shown) VALUES (?1, ?2, ?3)";
        self.db.prepare_cached(sql)?.execute(params![n, stream.row, shown.as_bytes()])?;
        Ok(Decided::Forked(Committed { n, id, content: evidence, signed: None }))
    }

    /// Some of what was decided and has no signature: a crash came before it, or the key was away.
    fn unsigned(&self) -> Result<Vec<Decided>, WitnessError> {
        let some = |table: &str| -> Result<Vec<u64>, WitnessError> {
            let sql = format!("SELECT n FROM {table} WHERE signature IS NULL ORDER BY n LIMIT {BATCH}");
            let mut statement = self.db.prepare(&sql)?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        };
        let receipted =
            |n| Ok(Decided::Receipted { committed: read_receipt(self.db, self.secret, n)?, is_replay: true });
        let receipts = some("receipts")?.into_iter().map(receipted);
        let forks = some("forks")?.into_iter().map(|n| Ok(Decided::Forked(read_fork(self.db, self.secret, n)?)));
        receipts.chain(forks).collect()
    }

    /// The time of what is decided now.
    pub(super) fn stamp(&mut self) -> Result<Timestamp, WitnessError> {
        let stamp = self.times.stamp(self.state.last_time).map_err(WitnessError::Refused)?;
        self.state.last_time = stamp;
        Ok(stamp)
    }
}

fn known(stream: Option<&Stream>, receipted: Option<&Committed<Statement>>) -> Known {
    let Some(stream) = stream else { return Known::default() };
    Known {
        is_known: true,
        submitter: stream.submitter.clone(),
        submitter_key: stream.submitter_key.clone(),
        head: stream.head.clone(),
        is_floor: stream.is_floor,
        receipted: receipted.map(|committed| committed.content.submission.checkpoint_hash.clone()),
    }
}

pub(super) fn insert_receipt(
    db: &Connection,
    n: u64,
    stream: i64,
    origin: i64,
    submission: &Submission,
) -> Result<(), WitnessError> {
    let sql = "INSERT INTO receipts (n, stream, origin, seq_no, checkpoint_id) VALUES (?1, ?2, ?3, ?4, ?5)";
    let Submission { checkpoint_seq_no, checkpoint_id, .. } = submission;
    db.prepare_cached(sql)?.execute(params![n, stream, origin, checkpoint_seq_no, checkpoint_id])?;
    Ok(())
}

/// The statement of a record, and its signature where that was made.
pub(super) fn read_receipt(db: &Connection, secret: &Secret, n: u64) -> Result<Committed<Statement>, WitnessError> {
    let body = record::read(db, secret, n, Kind::Accepted)?;
    let read =
        || Some((body.get_str("receipt_id")?.to_owned(), Statement::from_object(body.get_object("statement")?).ok()?));
    let (id, content) = read().ok_or(UNREADABLE)?;
    let sql = "SELECT public_key, signature FROM receipts WHERE n = ?1 AND signature IS NOT NULL";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, [u8; 64]>(1)?));
    let signed = db.prepare_cached(sql)?.query_row([n], row).optional()?;
    let signed = signed.map(|(key, signature)| signed_with(&content.key_epoch, &key, signature)).transpose()?;
    Ok(Committed { n, id, content, signed })
}

/// The evidence of a record, and its signature where that was made.
pub(super) fn read_fork(db: &Connection, secret: &Secret, n: u64) -> Result<Committed<ForkEvidence>, WitnessError> {
    let body = record::read(db, secret, n, Kind::Forked)?;
    let read = || {
        Some((body.get_str("evidence_id")?.to_owned(), ForkEvidence::from_object(body.get_object("evidence")?).ok()?))
    };
    let (id, content) = read().ok_or(UNREADABLE)?;
    let sql = "SELECT kid, public_key, signature FROM forks WHERE n = ?1 AND signature IS NOT NULL";
    let row =
        |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, [u8; 64]>(2)?));
    let signed = db.prepare_cached(sql)?.query_row([n], row).optional()?;
    let signed = signed.map(|(kid, key, signature)| signed_with(&kid, &key, signature)).transpose()?;
    Ok(Committed { n, id, content, signed })
}

fn signed_with(kid: &str, key: &[u8], signature: [u8; 64]) -> Result<Signed, WitnessError> {
    let public_key = <&[u8; 32]>::try_from(key).ok().and_then(|key| PublicKey::ed25519(key).ok());
    let public_key = public_key.ok_or(UNREADABLE)?;
    Ok(Signed { kid: kid.to_owned(), public_key, signature: Signature::from_bytes(signature) })
}

/// Writes down a signature, so that it need not be made again.
pub(super) fn keep_signature(db: &Connection, n: u64, is_fork: bool, signed: &Signed) -> Result<(), WitnessError> {
    let Signed { kid, public_key, signature } = signed;
    if is_fork {
        let sql = "UPDATE forks SET kid = ?2, public_key = ?3, signature = ?4 WHERE n = ?1 AND signature IS NULL";
        db.prepare_cached(sql)?.execute(params![n, kid, public_key.to_bytes(), signature.as_bytes()])?;
    } else {
        let sql = "UPDATE receipts SET public_key = ?2, signature = ?3 WHERE n = ?1 AND signature IS NULL";
        db.prepare_cached(sql)?.execute(params![n, public_key.to_bytes(), signature.as_bytes()])?;
    }
    Ok(())
}

const RECEIPT_GONE: WitnessError = WitnessError::Damaged("a receipt is gone");

pub(super) const UNREADABLE: WitnessError = WitnessError::Damaged("a record does not read as what it is");

impl From<Refusal> for WitnessError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
