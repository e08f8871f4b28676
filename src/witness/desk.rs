use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use super::change::Change;
use super::metrics::Metrics;
use super::open::{Setup, Witness};
use super::request::{Request, SubmissionOrRefusal};
use super::secret::Secret;
use super::standing::BATCH;
use super::state::{OwnKey, State};
use super::turn::{Committed, Decided, Signed, Turn, Work, keep_signature};
use super::{Verdict, WitnessError};
use crate::custody::{Anchor, AnchorKind, CustodyError, ErrorKind, Floor, Signer};
use crate::protocol::Preimage;
use crate::protocol::json::Object;
use crate::protocol::witness::{receipt, sealed_fork_evidence};
use crate::store::{RoleLock, StoreError, Writer};

/// Where checkpoints are submitted: takes what waits, commits it in one transaction, brings the anchor up to it, and
/// only then signs and answers each (I1, I7). Cheap to clone.
#[derive(Debug, Clone)]
pub struct Desk {
    jobs: mpsc::Sender<Job>,
    pub(super) signers: Arc<Vec<Signer>>,
    standing: Arc<Mutex<Snapshot>>,
    path: Arc<PathBuf>,
    metrics: Metrics,
}

/// Ends the work of a desk.
#[derive(Debug)]
pub struct Closing(JoinHandle<()>);

/// How a witness stands, for whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last record, and what all of them lead to.
    pub floor: Floor,
    /// How far the anchor has come.
    pub anchored: Option<u64>,
    /// What the anchor is worth.
    pub anchor: Option<AnchorKind>,
    /// Between two anchor steps.
    pub anchor_interval: Duration,
    /// Whether nobody without custody can write a record of ours.
    pub is_authenticated: bool,
    /// Our keys in their order; the last one signs.
    pub keys: Vec<OwnKey>,
    /// The incident that stopped it.
    pub stopped: Option<String>,
}

/// Jobs that wait at most; beyond that, callers wait.
const QUEUE: usize = 1024;

#[derive(Debug)]
enum Job {
    Close,
    Signed { n: u64, is_fork: bool, signed: Signed },
    Work { work: Work, reply: oneshot::Sender<Result<Decided, WitnessError>> },
}

impl Desk {
    /// Begins to take submissions. To be called within a runtime; asks the anchor's device what it is.
    pub fn start(witness: Witness) -> Result<(Self, Closing), WitnessError> {
        Self::measured(witness, Metrics::default())
    }

    /// The same, and counts on in these.
    pub fn measured(witness: Witness, metrics: Metrics) -> Result<(Self, Closing), WitnessError> {
        let Witness { db, path, state, secret, setup, role } = witness;
        let Setup { signers, anchor, anchor_interval, rules, times, .. } = setup;
        let kind = anchor.as_ref().map(|anchor| anchor.kind()).transpose()?;
        let standing = Snapshot {
            floor: state.floor,
            anchored: anchor.as_ref().map(|_| state.floor.count),
            anchor: kind,
            anchor_interval,
            is_authenticated: secret.is_kept(),
            keys: state.keys.clone(),
            stopped: state.stopped.clone(),
        };
        metrics.stands(&standing);
        let standing = Arc::new(Mutex::new(standing));
        let (jobs, queue) = mpsc::channel(QUEUE);
        let store = Writer::spawn(db, &path);
        let worker = Worker {
            store,
            state,
            secret,
            anchor,
            anchor_interval,
            rules,
            times,
            standing: standing.clone(),
            stepped: Instant::now(),
            tried: Instant::now(),
            metrics: metrics.clone(),
            _role: role,
        };
        let closing = Closing(tokio::spawn(worker.run(queue)));
        Ok((Self { jobs, signers: Arc::new(signers), standing, path: Arc::new(path), metrics }, closing))
    }

    /// Decides about a checkpoint and answers it, once that is on the disk, anchored, and signed.
    pub async fn submit(&self, request: Request) -> Result<Verdict, WitnessError> {
        let verdict = self.decide(request).await;
        self.metrics.submitted(&verdict);
        verdict
    }

    async fn decide(&self, request: Request) -> Result<Verdict, WitnessError> {
        let checked = request.check().map_err(|e| match e {
            SubmissionOrRefusal::Refusal(refusal) => WitnessError::Refused(refusal),
            SubmissionOrRefusal::Submission(e) => WitnessError::Submission(e),
        })?;
        match self.ask(Work::Submit(checked)).await? {
            Decided::Receipted { committed, is_replay } => {
                let receipt = self.receipt(committed).await?;
                Ok(if is_replay { Verdict::Replayed(receipt) } else { Verdict::Accepted(receipt) })
            }
            Decided::Forked(committed) => Ok(Verdict::Forked(self.evidence(committed).await?)),
            Decided::Refused(e) => Err(e),
            Decided::Changed | Decided::Unsigned(_) => {
                Err(WitnessError::Damaged("a submission was taken for something else"))
            }
        }
    }

    /// Makes an operator's change. It is on the disk and anchored when this returns.
    pub async fn change(&self, change: Change) -> Result<(), WitnessError> {
        match self.ask(Work::Change(change)).await? {
            Decided::Refused(e) => Err(e),
            _ => Ok(()),
        }
    }

    /// Signs something that the witness says of itself.
    pub async fn sign_document(&self, document: &Object) -> Result<Object, WitnessError> {
        let key = self.standing().keys.last().cloned().ok_or(WitnessError::Damaged("the state names no key"))?;
        super::document::sign(self.signer(&key.kid, Some(&key))?, document).await
    }

    /// How the witness stands.
    pub fn standing(&self) -> Snapshot {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where its database lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) async fn ask(&self, work: Work) -> Result<Decided, WitnessError> {
        let (reply, answer) = oneshot::channel();
        let gone = || WitnessError::Store(StoreError::Stopped);
        self.jobs.send(Job::Work { work, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    pub(super) async fn receipt(
        &self,
        committed: Committed<crate::protocol::witness::Statement>,
    ) -> Result<Object, WitnessError> {
        let Committed { n, id, content, signed } = committed;
        let (kid, preimage) = (content.key_epoch.clone(), content.preimage());
        let signed = match signed {
            Some(signed) => verified(signed, &preimage)?,
            None => self.sign(n, false, &id, self.signer(&kid, None)?, preimage).await?,
        };
        Ok(receipt(&id, &content, &signed.public_key, &signed.signature))
    }

    pub(super) async fn evidence(
        &self,
        committed: Committed<crate::protocol::witness::ForkEvidence>,
    ) -> Result<Object, WitnessError> {
        let Committed { n, id, content, signed } = committed;
        let preimage = content.preimage();
        let signed = match signed {
            Some(signed) => verified(signed, &preimage)?,
            None => {
                let key = self.standing().keys.last().cloned();
                let key = key.ok_or(WitnessError::Damaged("the state names no key"))?;
                self.sign(n, true, &id, self.signer(&key.kid, Some(&key))?, preimage).await?
            }
        };
        Ok(sealed_fork_evidence(&id, &content, &signed.kid, &signed.public_key, &signed.signature))
    }

    async fn sign(
        &self,
        n: u64,
        is_fork: bool,
        id: &str,
        signer: &Signer,
        preimage: Preimage,
    ) -> Result<Signed, WitnessError> {
        let (_, signature) = signer.sign(preimage, id).await?;
        let signed = Signed { kid: signer.kid().to_owned(), public_key: signer.public_key().clone(), signature };
        // Nobody waits for that: over the same bytes it is made again where it is lost.
        let _ = self.jobs.send(Job::Signed { n, is_fork, signed: signed.clone() }).await;
        Ok(signed)
    }

    fn signer(&self, kid: &str, key: Option<&OwnKey>) -> Result<&Signer, WitnessError> {
        let is_it =
            |signer: &&Signer| signer.kid() == kid && key.is_none_or(|key| *signer.public_key() == key.public_key);
        self.signers.iter().find(is_it).ok_or_else(|| WitnessError::OtherKey(kid.to_owned()))
    }
}

impl Closing {
    /// Returns when the desk ends by itself: its store failed, and it answers no more.
    pub async fn ended(&mut self) {
        // A panic there was reported by the panic hook already.
        let _ = (&mut self.0).await;
    }

    /// Waits until everything that was submitted is answered and written down. Every other clone of the desk may be kept;
    /// it answers no more.
    pub async fn close(self, desk: Desk) {
        let _ = desk.jobs.send(Job::Close).await;
        drop(desk);
        // A panic there was reported by the panic hook already.
        let _ = self.0.await;
    }
}

/// A signature that was made before must still verify: a row that somebody edited is never answered with.
fn verified(signed: Signed, preimage: &Preimage) -> Result<Signed, WitnessError> {
    let verified = signed.public_key.verify(preimage, &signed.signature);
    verified.map_err(|_| WitnessError::Damaged("a signature in it does not verify"))?;
    Ok(signed)
}

struct Worker {
    store: Writer,
    state: State,
    secret: Arc<Secret>,
    anchor: Option<Arc<dyn Anchor>>,
    anchor_interval: Duration,
    rules: crate::protocol::witness::Rules,
    times: Arc<dyn super::request::Times>,
    standing: Arc<Mutex<Snapshot>>,
    /// When the anchor was last brought up.
    stepped: Instant,
    /// When that was last tried.
    tried: Instant,
    metrics: Metrics,
    _role: RoleLock,
}

type Reply = oneshot::Sender<Result<Decided, WitnessError>>;

impl Worker {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(BATCH);
        loop {
            let taken = match self.due() {
                // With an interval the anchor follows also when nobody submits anything.
                Some(due) => timeout_at(due, queue.recv_many(&mut jobs, BATCH)).await.ok(),
                None => Some(queue.recv_many(&mut jobs, BATCH).await),
            };
            let ends = taken == Some(0) || jobs.iter().any(|job| matches!(job, Job::Close));
            if taken.is_none() {
                // Tried again with the next submission, and told to whoever makes it.
                let _ = self.step().await;
            }
            if !self.turn(jobs.drain(..)).await {
                return;
            }
            if ends {
                queue.close();
                while queue.recv_many(&mut jobs, BATCH).await > 0 && self.turn(jobs.drain(..)).await {}
                let _ = self.step().await;
                return;
            }
        }
    }

    /// When the anchor is to follow, where it is behind and follows at intervals.
    fn due(&self) -> Option<Instant> {
        (!self.anchor_interval.is_zero() && self.is_behind()).then(|| self.tried + self.anchor_interval)
    }

    /// False where the store failed, and nothing can be relied on any more.
    async fn turn(&mut self, jobs: impl Iterator<Item = Job>) -> bool {
        let (mut signatures, mut work, mut replies) = (Vec::new(), Vec::new(), Vec::<Reply>::new());
        for job in jobs {
            match job {
                Job::Close => {}
                Job::Signed { n, is_fork, signed } => signatures.push((n, is_fork, signed)),
                Job::Work { work: one, reply } => {
                    work.push(one);
                    replies.push(reply);
                }
            }
        }
        // One step behind is what a crash may leave. So nothing is committed on top of what is not anchored.
        if !work.is_empty()
            && self.anchor_interval.is_zero()
            && let Err(e) = self.step().await
        {
            refuse(replies, &e.into());
            (work, replies) = (Vec::new(), Vec::new());
        }
        if work.is_empty() && signatures.is_empty() {
            return true;
        }
        if !work.is_empty() {
            self.metrics.took(work.len());
        }
        let decided = match self.commit(signatures, work).await {
            Ok(decided) => decided,
            Err(e) => {
                let goes_on = matches!(&e, WitnessError::Store(e) if e.is_clean());
                refuse(replies, &e);
                return goes_on;
            }
        };
        let is_due = self.anchor_interval.is_zero() || self.stepped.elapsed() >= self.anchor_interval;
        // An interval is the window that identities state, and a failing anchor makes it no longer.
        if !replies.is_empty()
            && is_due
            && let Err(e) = self.step().await
        {
            refuse(replies, &e.into());
            return true;
        }
        for (reply, decided) in replies.into_iter().zip(decided) {
            // Whoever went away asks again.
            let _ = reply.send(Ok(decided));
        }
        true
    }

    async fn commit(
        &mut self,
        signatures: Vec<(u64, bool, Signed)>,
        work: Vec<Work>,
    ) -> Result<Vec<Decided>, WitnessError> {
        let (secret, rules, times, state) = (self.secret.clone(), self.rules, self.times.clone(), self.state.clone());
        let done = self.store.run(move |db| {
            for (n, is_fork, signed) in &signatures {
                keep_signature(db, *n, *is_fork, signed)?;
            }
            Turn { db, secret: &secret, rules, times: &*times, state: state.clone() }.run(&work)
        });
        let (state, decided) = done.await?;
        self.state = state;
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        (standing.floor, standing.stopped) = (self.state.floor, self.state.stopped.clone());
        standing.keys.clone_from(&self.state.keys);
        self.metrics.stands(&standing);
        Ok(decided)
    }

    fn is_behind(&self) -> bool {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.anchored.is_some_and(|anchored| anchored < self.state.floor.count)
    }

    /// Brings the anchor up to the state.
    async fn step(&mut self) -> Result<(), CustodyError> {
        let Some(anchor) = self.anchor.clone().filter(|_| self.is_behind()) else { return Ok(()) };
        let floor = self.state.floor;
        let begun = Instant::now();
        self.tried = begun;
        let stepped = spawn_blocking(move || anchor.advance(&floor)).await;
        let advice = "Nothing was signed. This is a defect in local-vault; please report it.";
        let broke =
            |_| CustodyError::new(ErrorKind::Broken, "witness", "anchor", "the anchor's step broke off", advice);
        stepped.map_err(broke)??;
        self.stepped = Instant::now();
        self.metrics.stepped(begun.elapsed());
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.anchored = Some(floor.count);
        self.metrics.stands(&standing);
        Ok(())
    }
}

fn refuse(replies: Vec<Reply>, error: &WitnessError) {
    for reply in replies {
        let _ = reply.send(Err(error.clone()));
    }
}
