use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};

use super::WitnessError;
use super::change::{Change, reconciled};
use super::incident::{Incident, What};
use super::record::{self, Kind, START};
use super::request::Times;
use super::schema::SCHEMA;
use super::secret::Secret;
use super::standing::{Standing, compare};
use super::state::{OwnKey, State};
use super::stream::Stream;
use super::sum::Sum;
use crate::custody::{Anchor, Floor, Signer, WrappingKey};
use crate::facts::{Timestamp, random_id};
use crate::protocol::json::Object;
use crate::protocol::witness::Rules;
use crate::store::{self, Access, FileKind, RoleLock, StoreError, file_kind};

/// What a witness works with.
#[derive(Debug)]
pub struct Setup {
    /// The keys that sign, at least one: the first begins a state, and the one that the state names signs.
    pub signers: Vec<Signer>,
    /// What the state is sealed under, where anything is.
    pub wrapping: Option<Arc<dyn WrappingKey>>,
    /// What the state is compared with.
    pub anchor: Option<Arc<dyn Anchor>>,
    /// Between two anchor steps; zero: each answer waits for one.
    pub anchor_interval: Duration,
    /// What holds beyond the published rules.
    pub rules: Rules,
    /// Gives statements their time.
    pub times: Arc<dyn Times>,
    /// Whether another key than the state's may go on, as with the published settings, which name it with each command.
    pub adopts_keys: bool,
    /// What an operator has allowed.
    pub allowed: Option<Allowed>,
}

/// An operator's word that it may go on.
#[derive(Debug, Clone)]
pub struct Allowed {
    /// After which incident; no other one is allowed by it.
    pub what: What,
    /// Who allows it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// What changes with it, such as floors of peers: before the anchor follows, so that a crash in between leaves an
    /// incident, and never a state that goes on without them.
    pub changes: Vec<Change>,
}

/// A witness's state, which is this process's alone for as long as it is open, and was found to be what it was (I7).
#[derive(Debug)]
pub struct Witness {
    pub(super) db: Connection,
    pub(super) path: PathBuf,
    pub(super) state: State,
    pub(super) secret: Arc<Secret>,
    pub(super) setup: Setup,
    pub(super) role: RoleLock,
}

/// The role of whoever signs.
const ROLE: &str = "witness";
/// So long another process is waited for that has the role: a command has it for a moment.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Witness {
    /// Opens the state, or begins one where there was none, and compares it with its anchor. Blocks on the disk, on the
    /// devices, and for ten seconds on another process that witnesses.
    ///
    /// What must not be signed on is [`WitnessError::Incident`]; nothing was changed then.
    pub fn open(path: &Path, setup: Setup) -> Result<Self, WitnessError> {
        // Before anything is looked for: an anchor that is there by then has a state that is there too.
        let anchor = read_anchor(&setup)?;
        let is_new = file_kind(path, &SCHEMA)? == FileKind::Nothing;
        if is_new && anchor.is_some() && !allows(&setup, What::StateLost) {
            return Err(Incident::new(What::StateLost, None, anchor).into());
        }
        let mut db = store::open(path, &SCHEMA, Access::Create).map_err(|e| sort(e, anchor))?;
        let role = take_role(path)?;
        // Whoever had the role until now may have brought it up, or begun it.
        let anchor = read_anchor(&setup)?;
        let read = State::read(&db).map_err(|e| damaged(e, anchor))?;
        let is_begun = read.is_none();
        let (state, secret) = match read {
            Some((state, mac)) => {
                let secret = Secret::open(&db, &state.state_id, setup.wrapping.as_deref())?;
                let sum = Stream::sum(&db, &secret).map_err(|e| damaged(e, anchor))?;
                let state = State { sum, ..state };
                if state.mac(&secret) != mac {
                    return Err(Incident::damaged("its MAC is another one", anchor).into());
                }
                (state, secret)
            }
            None => begin(&mut db, &setup, anchor)?,
        };
        let mut witness = Self { db, path: path.to_owned(), state, secret: Arc::new(secret), setup, role };
        let anchor = if is_begun { witness.follow_a_lost_one(anchor)? } else { anchor };
        witness.compare(anchor)?;
        witness.settle_key()?;
        Ok(witness)
    }

    /// What signs for it.
    pub fn signer(&self) -> Option<&Signer> {
        let key = self.state.keys.last()?;
        self.setup.signers.iter().find(|signer| signer.kid() == key.kid)
    }

    /// The state's last record, and what all of them lead to.
    pub fn floor(&self) -> Floor {
        self.state.floor
    }

    /// The incident that stopped it, where nobody has allowed it to go on.
    pub fn stopped(&self) -> Option<&str> {
        self.state.stopped.as_deref()
    }

    /// Every stream.
    pub fn streams(&self, see: impl FnMut(Stream)) -> Result<(), WitnessError> {
        Stream::each(&self.db, see)
    }

    /// Compares the state with its anchor, and brings the anchor up to it where that is what a crash left to do.
    fn compare(&mut self, anchor: Option<Floor>) -> Result<(), WitnessError> {
        self.check_last()?;
        let Some(place) = self.setup.anchor.clone() else { return Ok(()) };
        let state = self.state.floor;
        let there = self.root_at(anchor.as_ref())?;
        match compare(&state, self.state.behind, anchor.as_ref(), there, !self.setup.anchor_interval.is_zero()) {
            Standing::Equal => {}
            Standing::Begun => place.begin(&state)?,
            Standing::RollForward => {
                tracing::info!(records = state.count - anchor.map_or(0, |anchor| anchor.count), "the anchor follows");
                place.advance(&state)?;
            }
            Standing::Refused(what) if allows(&self.setup, what) => {
                let Some(allowed) = self.setup.allowed.clone() else { return Ok(()) };
                self.reconcile(&allowed, anchor)?;
                allowed.changes.iter().try_for_each(|change| self.make(change))?;
                match anchor {
                    Some(_) => place.advance(&self.state.floor)?,
                    None => place.begin(&self.state.floor)?,
                }
            }
            Standing::Refused(what) => return Err(Incident::new(what, Some(state), anchor).into()),
        }
        Ok(())
    }

    /// A state that was begun where another one was lost has the anchor of that one, which it now takes over.
    fn follow_a_lost_one(&mut self, anchor: Option<Floor>) -> Result<Option<Floor>, WitnessError> {
        let Some(allowed) = self.setup.allowed.clone().filter(|allowed| allowed.what == What::StateLost) else {
            return Ok(anchor);
        };
        allowed.changes.iter().try_for_each(|change| self.make(change))?;
        let (Some(place), Some(_)) = (self.setup.anchor.clone(), anchor) else { return Ok(anchor) };
        place.advance(&self.state.floor)?;
        Ok(Some(self.state.floor))
    }

    /// What the records lead to at the anchor's count: its own root, where the ones behind it lead from there to ours.
    fn root_at(&self, anchor: Option<&Floor>) -> Result<Option<crate::facts::Digest>, WitnessError> {
        let state = &self.state.floor;
        let Some(anchor) = anchor.filter(|anchor| anchor.count <= state.count) else { return Ok(None) };
        let led = record::follow(&self.db, &self.secret, anchor, state.count);
        let led = led.map_err(|e| damaged(e, Some(*anchor)))?;
        Ok((led == *state).then_some(anchor.root))
    }

    /// The last record is there, and as it was written.
    fn check_last(&self) -> Result<(), WitnessError> {
        let before = Floor { count: self.state.floor.count.saturating_sub(1), ..START };
        let last = record::follow(&self.db, &self.secret, &before, self.state.floor.count);
        match last.map_err(|e| damaged(e, None))? {
            last if last.count == self.state.floor.count => Ok(()),
            _ => Err(Incident::damaged("its last record is gone", None).into()),
        }
    }

    /// Writes down who allowed it to go on, under a number that neither the state nor its anchor has come to.
    fn reconcile(&mut self, allowed: &Allowed, anchor: Option<Floor>) -> Result<(), WitnessError> {
        let n = self.state.floor.count.max(anchor.map_or(0, |anchor| anchor.count)) + 1;
        let at = self.setup.times.stamp(self.state.last_time)?;
        let body = reconciled(allowed.what, &allowed.by, &allowed.reason, at)
            .with("state", Some(floor_object(&self.state.floor)))
            .with("anchor", anchor.as_ref().map(floor_object));
        self.write(|state, db, secret| {
            state.last_time = at;
            state.append_at(db, secret, n, Kind::Reconciled, &body).map(drop)
        })
    }

    /// The key that the state names must be here.
    fn settle_key(&mut self) -> Result<(), WitnessError> {
        let key = self.state.key()?.clone();
        let is_here = |signer: &Signer| *signer.public_key() == key.public_key && signer.kid() == key.kid;
        if self.setup.signers.iter().any(is_here) {
            return Ok(());
        }
        let first = self.setup.signers.first().filter(|_| self.setup.adopts_keys);
        let Some(first) = first else { return Err(WitnessError::OtherKey(key.kid)) };
        let (kid, public_key) = (first.kid().to_owned(), first.public_key().clone());
        self.write(|state, db, secret| {
            let own = OwnKey { kid, public_key, since: state.floor.count + 1 };
            state.append(db, secret, Kind::Rotated, &own.to_object().with("adopted", true))?;
            state.keys.push(own);
            Ok(())
        })?;
        // Where there is an anchor, a config file names the keys, and none is adopted.
        Ok(())
    }

    /// Changes the state in a transaction of its own.
    pub(super) fn write(
        &mut self,
        change: impl FnOnce(&mut State, &Connection, &Secret) -> Result<(), WitnessError>,
    ) -> Result<(), WitnessError> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut state = self.state.clone();
        change(&mut state, &tx, &self.secret)?;
        state.keep(&tx, &self.secret, &self.state.floor)?;
        tx.commit()?;
        self.state = state;
        Ok(())
    }
}

/// Begins a state: its first record, under a number that no anchor of an earlier one has come to.
fn begin(db: &mut Connection, setup: &Setup, anchor: Option<Floor>) -> Result<(State, Secret), WitnessError> {
    if anchor.is_some() && !allows(setup, What::StateLost) {
        return Err(Incident::new(What::StateLost, None, anchor).into());
    }
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let is_empty: bool = tx.query_row("SELECT NOT EXISTS (SELECT 1 FROM records)", [], |row| row.get(0))?;
    if !is_empty {
        return Err(Incident::damaged("its row is gone", anchor).into());
    }
    let signer = setup.signers.first().ok_or_else(|| WitnessError::OtherKey("none".into()))?;
    let first = anchor.map_or(0, |anchor| anchor.count) + 1;
    let key = OwnKey { kid: signer.kid().to_owned(), public_key: signer.public_key().clone(), since: first };
    let state_id = random_id("wst_");
    let mut state = State {
        state_id: state_id.clone(),
        floor: START,
        behind: 0,
        last_time: Timestamp::from_millis(0),
        keys: vec![key.clone()],
        stopped: None,
        sum: Sum::default(),
    };
    state.begin(&tx)?;
    let secret = Secret::make(&tx, &state_id, setup.wrapping.as_deref())?;
    let allowed = setup.allowed.as_ref().filter(|allowed| allowed.what == What::StateLost);
    let allowed = allowed.map(|allowed| {
        state.last_time = setup.times.stamp(state.last_time)?;
        Ok::<_, WitnessError>(reconciled(allowed.what, &allowed.by, &allowed.reason, state.last_time))
    });
    let body = Object::new()
        .with("state_id", state_id)
        .with("key", key.to_object())
        .with("after", anchor.as_ref().map(floor_object))
        .with("allowed", allowed.transpose()?);
    state.append_at(&tx, &secret, first, Kind::Begun, &body)?;
    // The row was made in this transaction.
    state.keep(&tx, &secret, &START)?;
    tx.commit()?;
    Ok((state, secret))
}

fn read_anchor(setup: &Setup) -> Result<Option<Floor>, WitnessError> {
    Ok(setup.anchor.as_ref().map(|anchor| anchor.read()).transpose()?.flatten())
}

fn allows(setup: &Setup, what: What) -> bool {
    setup.allowed.as_ref().is_some_and(|allowed| allowed.what == what)
}

fn floor_object(floor: &Floor) -> Object {
    Object::new().with("count", floor.count).with("root", floor.root.to_string())
}

fn take_role(path: &Path) -> Result<RoleLock, WitnessError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match RoleLock::take(path, ROLE) {
            Err(StoreError::Busy(_)) if Instant::now() < until => thread::sleep(LOOK_AGAIN),
            taken => return Ok(taken?),
        }
    }
}

/// A file that SQLite refuses, or that is none of ours any more, is an incident where something was witnessed.
fn sort(error: StoreError, anchor: Option<Floor>) -> WitnessError {
    match error {
        StoreError::Damaged(why) => Incident::damaged(&why, anchor).into(),
        e @ StoreError::Foreign { .. } if anchor.is_some() => Incident::damaged(&e.to_string(), anchor).into(),
        e => e.into(),
    }
}

fn damaged(error: WitnessError, anchor: Option<Floor>) -> WitnessError {
    match error {
        WitnessError::Damaged(why) => Incident::damaged(why, anchor).into(),
        WitnessError::Store(e) => sort(e, anchor),
        e => e,
    }
}

impl From<Incident> for WitnessError {
    fn from(incident: Incident) -> Self {
        Self::Incident(Box::new(incident))
    }
}
