use super::WitnessError;
use super::incident::What;
use super::look_back::shown_last;
use super::open::Witness;
use super::record::Kind;
use super::state::OwnKey;
use super::stream::{Stream, StreamName};
use super::turn::Turn;
use crate::facts::Timestamp;
use crate::protocol::PublicKey;
use crate::protocol::json::Object;
use crate::protocol::witness::{Head, Statement, Submission};

/// What an operator changes. Each is a record of its own, which says who allowed it.
#[derive(Debug, Clone)]
pub enum Change {
    /// Adds a stream, so that it may be submitted.
    AddStream {
        /// Which.
        stream: StreamName,
        /// Who alone may submit it.
        submitter: Option<String>,
        /// The key that each of its checkpoints is signed with.
        submitter_key: Option<PublicKey>,
        /// Where the tenant's consent is found.
        consent: String,
    },
    /// Allows it to go on after an incident. Where that was a receipt of ours which the state did not know, it becomes
    /// the floor of its stream.
    Accept {
        /// The incident, by name: no other one is allowed by it.
        what: What,
        /// Who allowed it.
        allowed_by: String,
        /// Why.
        reason: String,
    },
    /// Begins a stream anew behind a checkpoint, whatever was accepted of it: numbers may be used again.
    Reoriginate {
        /// Which.
        stream: StreamName,
        /// The checkpoint that the next one names as its predecessor.
        head: Head,
        /// Who allowed it.
        allowed_by: String,
        /// Why.
        reason: String,
    },
    /// Takes over what peers have witnessed, where that is further on.
    Raise {
        /// Statements of peers, each verified, with who the peer is.
        heads: Vec<(String, Statement)>,
        /// Who witnesses here, where streams that are not known are to be made of them: after the state was lost.
        unknown_as: Option<String>,
    },
    /// From now on another key signs.
    Rotate {
        /// Which.
        kid: String,
        /// Its public half.
        public_key: PublicKey,
        /// The statement of the old key and of the new one, signed by both.
        rollover: Object,
    },
}

impl Witness {
    /// Makes a change before anything is submitted. It is on the disk and anchored when this returns. Blocks.
    pub fn change(&mut self, change: &Change) -> Result<(), WitnessError> {
        self.make(change)?;
        if let Some(anchor) = &self.setup.anchor {
            anchor.advance(&self.state.floor)?;
        }
        Ok(())
    }

    /// Makes a change that is not anchored yet.
    pub(super) fn make(&mut self, change: &Change) -> Result<(), WitnessError> {
        let (rules, times) = (self.setup.rules, self.setup.times.clone());
        self.write(|state, db, secret| {
            let mut turn = Turn { db, secret, rules, times: &*times, state: state.clone() };
            change.make(&mut turn)?;
            *state = turn.state;
            Ok(())
        })
    }
}

impl Change {
    /// Makes it within a turn.
    pub(super) fn make(&self, turn: &mut Turn<'_>) -> Result<(), WitnessError> {
        match self {
            Self::AddStream { stream, submitter, submitter_key, consent } => {
                add_stream(turn, stream, submitter.as_ref(), submitter_key.as_ref(), consent)
            }
            Self::Accept { what, allowed_by, reason } => go_on(turn, *what, allowed_by, reason),
            Self::Reoriginate { stream, head, allowed_by, reason } => {
                reoriginate(turn, stream, head, allowed_by, reason)
            }
            Self::Raise { heads, unknown_as } => {
                heads.iter().try_for_each(|(peer, statement)| raise(turn, peer, statement, unknown_as.as_deref()))
            }
            Self::Rotate { kid, public_key, rollover } => rotate(turn, kid, public_key, rollover),
        }
    }
}

fn add_stream(
    turn: &mut Turn<'_>,
    name: &StreamName,
    submitter: Option<&String>,
    submitter_key: Option<&PublicKey>,
    consent: &str,
) -> Result<(), WitnessError> {
    let known = Stream::find(turn.db, name)?;
    // One that was made of what peers hold, or begun by whoever came first, may still be given a submitter.
    let is_pinned = |known: &Stream| known.submitter.is_some() || known.submitter_key.is_some();
    if known.as_ref().is_some_and(|known| is_pinned(known) || (submitter.is_none() && submitter_key.is_none())) {
        return Err(WitnessError::Change("the stream is known already".into()));
    }
    let body = named(name, turn)?
        .with("submitter", submitter.cloned())
        .with("submitter_key_hex", submitter_key.map(PublicKey::to_hex))
        .with("consent", consent);
    let (submitter, submitter_key) = (submitter.cloned(), submitter_key.cloned());
    match known {
        Some(mut known) => {
            let to = Stream { submitter, submitter_key, ..known.clone() };
            known.change(turn.db, turn.secret, &mut turn.state, to)?;
        }
        None => {
            let mut stream = Stream { submitter, submitter_key, ..Stream::new(name.clone()) };
            stream.insert(turn.db, turn.secret, &mut turn.state)?;
        }
    }
    turn.state.append(turn.db, turn.secret, Kind::StreamAdded, &body)?;
    Ok(())
}

fn go_on(turn: &mut Turn<'_>, what: What, allowed_by: &str, reason: &str) -> Result<(), WitnessError> {
    match &turn.state.stopped {
        Some(stopped) if stopped == what.name() => {}
        Some(stopped) => return Err(WitnessError::Change(format!("the witness was stopped by {stopped}"))),
        None => return Err(WitnessError::Change("the witness is not stopped".into())),
    }
    let at = turn.stamp()?;
    let body = reconciled(what, allowed_by, reason, at);
    turn.state.append(turn.db, turn.secret, Kind::Reconciled, &body)?;
    turn.state.stopped = None;
    // What we were shown we have signed, whatever our state says: no rival of it is ever accepted.
    shown_last(turn.db, turn.secret)?.map_or(Ok(()), |statement| learn(turn, &statement))
}

/// A statement of ours that the state does not know becomes the floor of its stream.
pub(super) fn learn(turn: &mut Turn<'_>, statement: &Statement) -> Result<(), WitnessError> {
    let name = StreamName::from(&statement.submission);
    let mut stream = Stream::find(turn.db, &name)?.unwrap_or_else(|| Stream::new(name));
    if stream.row == 0 {
        stream.insert(turn.db, turn.secret, &mut turn.state)?;
    }
    raise_one(turn, OURSELVES, stream, &head_of(statement))
}

/// Who holds a head that we signed ourselves.
const OURSELVES: &str = "our own receipt";

/// What is written down of whoever allowed it to go on.
pub(super) fn reconciled(what: What, allowed_by: &str, reason: &str, at: Timestamp) -> Object {
    Object::new()
        .with("what", what.name())
        .with("allowed_by", allowed_by)
        .with("reason", reason)
        .with("at", at.to_string())
}

fn reoriginate(
    turn: &mut Turn<'_>,
    name: &StreamName,
    head: &Head,
    allowed_by: &str,
    reason: &str,
) -> Result<(), WitnessError> {
    let stream = Stream::find(turn.db, name)?;
    let mut stream = stream.ok_or_else(|| WitnessError::Change("the witness does not know the stream".into()))?;
    let body = named(name, turn)?
        .with("head", head_object(Some(head)))
        .with("before", head_object(stream.head.as_ref()))
        .with("origin", stream.origin + 1)
        .with("allowed_by", allowed_by)
        .with("reason", reason);
    turn.state.append(turn.db, turn.secret, Kind::Reoriginated, &body)?;
    let (origin, begun_anew) = (stream.origin + 1, Some(turn.state.last_time));
    let to = Stream { head: Some(head.clone()), is_floor: true, origin, begun_anew, ..stream.clone() };
    stream.change(turn.db, turn.secret, &mut turn.state, to)
}

fn raise(turn: &mut Turn<'_>, peer: &str, statement: &Statement, unknown_as: Option<&str>) -> Result<(), WitnessError> {
    let submission = &statement.submission;
    // The peer names itself as who witnesses.
    let mut own = Stream::find_elsewhere(turn.db, &submission.tenant_id, &submission.stream_id)?;
    if let (true, Some(witness_id)) = (own.is_empty(), unknown_as) {
        let mut stream = Stream::new(StreamName { witness_id: witness_id.to_owned(), ..StreamName::from(submission) });
        stream.insert(turn.db, turn.secret, &mut turn.state)?;
        own.push(stream);
    }
    // A stream that is not known is none of ours, whoever else witnesses it.
    let mut own = own.into_iter().filter(|stream| stream.is_of_this_origin(statement));
    own.try_for_each(|stream| raise_one(turn, peer, stream, &head_of(statement)))
}

fn raise_one(turn: &mut Turn<'_>, peer: &str, mut stream: Stream, head: &Head) -> Result<(), WitnessError> {
    if stream.head.as_ref().is_some_and(|own| own.checkpoint_seq_no >= head.checkpoint_seq_no) {
        return Ok(());
    }
    let body = named(&stream.name, turn)?.with("head", head_object(Some(head))).with("peer", peer);
    turn.state.append(turn.db, turn.secret, Kind::Raised, &body)?;
    stream.advance(turn.db, turn.secret, &mut turn.state, head.clone(), true)
}

fn rotate(turn: &mut Turn<'_>, kid: &str, public_key: &PublicKey, rollover: &Object) -> Result<(), WitnessError> {
    if turn.state.is_ours(public_key) {
        return Err(WitnessError::Change("the key signed for this witness before".into()));
    }
    // A statement names its key by this alone.
    if turn.state.keys.iter().any(|own| own.kid == kid) {
        return Err(WitnessError::Change("an earlier key of this witness has the same kid".into()));
    }
    let unsigned: bool = turn.db.query_row(
        "SELECT EXISTS (SELECT 1 FROM receipts WHERE signature IS NULL) OR EXISTS (SELECT 1 FROM forks WHERE signature IS NULL)",
        [],
        |row| row.get(0),
    )?;
    if unsigned {
        return Err(WitnessError::Change("something that was decided has no signature yet".into()));
    }
    let n = turn.state.append(turn.db, turn.secret, Kind::Rotated, rollover)?;
    turn.state.keys.push(OwnKey { kid: kid.to_owned(), public_key: public_key.clone(), since: n });
    Ok(())
}

fn named(name: &StreamName, turn: &mut Turn<'_>) -> Result<Object, WitnessError> {
    let at = turn.stamp()?;
    Ok(Object::new()
        .with("witness_id", name.witness_id.as_str())
        .with("tenant_id", name.tenant_id.as_str())
        .with("stream_id", name.stream_id.as_str())
        .with("at", at.to_string()))
}

fn head_of(statement: &Statement) -> Head {
    let Submission { checkpoint_id, checkpoint_seq_no, checkpoint_hash, .. } = statement.submission.clone();
    Head { checkpoint_id, checkpoint_seq_no, checkpoint_hash }
}

fn head_object(head: Option<&Head>) -> Option<Object> {
    head.map(|head| {
        Object::new()
            .with("checkpoint_id", head.checkpoint_id.as_str())
            .with("checkpoint_seq_no", head.checkpoint_seq_no)
            .with("checkpoint_hash", head.checkpoint_hash.as_str())
    })
}
