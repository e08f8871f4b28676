use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc as channel;
use tokio::sync::{Semaphore, oneshot};

use super::AuditError;
use super::event::Event;
use super::head::{HeadSigner, Signed};
use super::log::Log;
use crate::custody::{ErrorKind, PurposeKey};
use crate::facts::Clock;
use crate::protocol::audit::SignedHead;

/// How a log is written.
#[derive(Debug)]
pub struct AuditConfig {
    /// Its folder. It is made where it is not there, and nothing above it.
    pub folder: PathBuf,
    /// The length from which on a file is followed by another, in bytes.
    pub longest_file: u64,
    /// Signs heads; without it there are none.
    pub record: Option<PurposeKey>,
    /// The time of the entries.
    pub clock: Arc<dyn Clock>,
}

impl AuditConfig {
    /// As the command line writes it: files of 64 MiB.
    pub const LONGEST_FILE: u64 = 64 * 1024 * 1024;
}

/// The audit log, open to be written to. One thread appends what waits, in one write and one fsync, and answers each
/// request after it.
#[derive(Debug)]
pub struct Audit {
    queue: Sender<Message>,
    room: Semaphore,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread and its callers both know.
#[derive(Debug, Default)]
struct Shared {
    /// The number of the last entry.
    seq: AtomicU64,
    /// When a head was signed last, in milliseconds since 1970; 0 where none was.
    head_at: AtomicI64,
    /// Why the last entry was not taken, as long as that lasts.
    failure: Mutex<Option<AuditError>>,
    /// Who wants to know of each head.
    heads: Mutex<Option<channel::UnboundedSender<SignedHead>>>,
}

enum Message {
    Append { events: Vec<Event>, reply: Option<Reply> },
    Sign(Wish),
    Signed(Signed),
    Close { signs: bool },
}

/// Somebody who waits for a signed head.
type Wish = Box<dyn FnOnce(Option<SignedHead>) + Send>;

type Reply = Box<dyn FnOnce(Result<(), AuditError>) + Send>;

/// Requests that wait at most; beyond that, async callers wait.
const ROOM: usize = 4096;
/// Requests that are written at once.
const BATCH: usize = 1024;
/// How long a note may wait for the fsync, which comes with the next record at the latest. Until then a crash of the
/// machine may take it; one of the process does not.
const SYNC_AFTER: Duration = Duration::from_secs(1);
/// How long entries may stand without a signed head behind them.
const HEAD_AFTER: Duration = Duration::from_secs(60);
/// How long the end of the log is kept waiting for its last head.
const LAST_HEAD: Duration = Duration::from_secs(10);

impl Audit {
    /// Opens the log, and begins one where there never was any. Blocks on the disk.
    /// Panics where the system has no thread left to give.
    pub fn open(config: AuditConfig) -> Result<Self, AuditError> {
        let log = Log::open(&config.folder, config.clock.clone(), config.longest_file)?;
        let shared = Arc::new(Shared::default());
        shared.seq.store(log.head().0, Ordering::Relaxed);
        let (queue, messages) = mpsc::channel();
        let back = queue.clone();
        // The log may have ended meanwhile.
        let signer = |key| HeadSigner::start(key, move |signed| _ = back.send(Message::Signed(signed)));
        let mut writer = Writer {
            log,
            signer: config.record.map(signer),
            is_signing: false,
            wishes: Vec::new(),
            is_ending: false,
            clock: config.clock,
            shared: shared.clone(),
            last: 0,
            unsigned: None,
            unsynced: None,
            lost: 0,
            stopped: None,
        };
        let thread = thread::Builder::new().name("audit".into()).spawn(move || writer.serve(&messages));
        let thread = Mutex::new(Some(thread.expect("a thread to write on")));
        Ok(Self { queue, room: Semaphore::new(ROOM), shared, thread })
    }

    /// Writes entries down. When this returns they are on the disk; where it fails, what asked for them must not
    /// happen (I9).
    pub async fn record(&self, events: Vec<Event>) -> Result<(), AuditError> {
        // The semaphore is never closed.
        let _room = self.room.acquire().await;
        let (reply, answer) = oneshot::channel();
        let reply: Reply = Box::new(move |done| _ = reply.send(done));
        self.send(Message::Append { events, reply: Some(reply) })?;
        answer.await.unwrap_or(Err(AuditError::Closed))
    }

    /// The same for callers that may block.
    pub fn record_blocking(&self, events: Vec<Event>) -> Result<(), AuditError> {
        let (reply, answer) = mpsc::channel();
        let reply: Reply = Box::new(move |done| _ = reply.send(done));
        self.send(Message::Append { events, reply: Some(reply) })?;
        answer.recv().unwrap_or(Err(AuditError::Closed))
    }

    /// Writes down what has happened, in its order among all other entries, and waits for nothing. It is in the file
    /// with the next batch, and on the disk within a second. One that cannot be written is counted, and the next entry
    /// that can says how many are missing.
    pub fn note(&self, event: Event) {
        // Where the log was closed the process is ending, and has said what it had to say.
        let _ = self.send(Message::Append { events: vec![event], reply: None });
    }

    /// Signs how far the log has come, now. `None` where there is no key to sign with, or it gave no signature.
    pub async fn sign_head(&self) -> Option<SignedHead> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Sign(Box::new(move |head| _ = reply.send(head)))).ok()?;
        answer.await.ok().flatten()
    }

    /// The same for callers that may block; whether there is one.
    pub fn sign_head_blocking(&self) -> bool {
        let (reply, answer) = mpsc::channel();
        let asked = self.send(Message::Sign(Box::new(move |head| _ = reply.send(head.is_some()))));
        asked.is_ok() && answer.recv().unwrap_or(false)
    }

    /// From now on, every head that this process signs.
    pub fn heads(&self) -> channel::UnboundedReceiver<SignedHead> {
        let (sender, heads) = channel::unbounded_channel();
        *lock(&self.shared.heads) = Some(sender);
        heads
    }

    /// The number of the last entry.
    pub fn entries(&self) -> u64 {
        self.shared.seq.load(Ordering::Relaxed)
    }

    /// When this process signed a head last, in milliseconds since 1970.
    pub fn head_at(&self) -> Option<i64> {
        Some(self.shared.head_at.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }

    /// Why the log takes nothing at present.
    pub fn failure(&self) -> Option<AuditError> {
        lock(&self.shared.failure).clone()
    }

    /// Writes what waits, signs a head over it, and ends. Blocks on the disk and in custody, there for ten seconds at
    /// most.
    pub fn close(&self) {
        self.end(true);
    }

    /// The same, and leaves the head to whoever comes next: for a process whose device has just refused.
    pub fn close_unsigned(&self) {
        self.end(false);
    }

    fn end(&self, signs: bool) {
        let _ = self.queue.send(Message::Close { signs });
        if let Some(thread) = lock(&self.thread).take() {
            // A panic there was reported by the panic hook already.
            let _ = thread.join();
        }
    }

    fn send(&self, message: Message) -> Result<(), AuditError> {
        self.queue.send(message).map_err(|_| AuditError::Closed)
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.close();
    }
}

/// The thread.
struct Writer {
    log: Log,
    signer: Option<HeadSigner>,
    /// Whether a head is being signed.
    is_signing: bool,
    /// Who waits for it.
    wishes: Vec<Wish>,
    is_ending: bool,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    /// The number of our last entry that is no head.
    last: u64,
    /// Since when entries of ours stand without a head behind them.
    unsigned: Option<Instant>,
    /// Since when entries wait for an fsync.
    unsynced: Option<Instant>,
    /// Notes that could not be written.
    lost: u64,
    /// What made it impossible to go on in this process.
    stopped: Option<AuditError>,
}

/// What a batch of messages asks for.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    replies: Vec<Reply>,
    /// How many of the events nobody waits for.
    notes: u64,
    signed: Option<Signed>,
    /// Whether this is the end, and whether a head is signed over it.
    close: Option<bool>,
}

impl Writer {
    fn serve(&mut self, messages: &Receiver<Message>) {
        loop {
            let first = match messages.recv_timeout(self.next_due()) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Message::Close { signs: true }),
            };
            let close = self.take(first.into_iter().chain(messages.try_iter()).take(BATCH));
            if let Some(signs) = close {
                return self.finish(messages, signs);
            }
        }
    }

    /// When there is something to do that nobody asks for.
    fn next_due(&self) -> Duration {
        let due = |since: Option<Instant>, after: Duration| since.map(|since| after.saturating_sub(since.elapsed()));
        let head = if self.is_signing { None } else { due(self.unsigned, HEAD_AFTER) };
        due(self.unsynced, SYNC_AFTER).into_iter().chain(head).min().unwrap_or(HEAD_AFTER)
    }

    /// Does what a batch asks for, and what is due. Where it asks for the end, whether that is signed.
    fn take(&mut self, messages: impl Iterator<Item = Message>) -> Option<bool> {
        let Batch { events, replies, notes, signed, close } = self.sort(messages);
        let is_privileged = events.iter().any(Event::is_privileged);
        let is_waited_for = !replies.is_empty();
        let done = if events.is_empty() { Ok(()) } else { self.append(events, is_waited_for, notes) };
        replies.into_iter().for_each(|reply| reply(done.clone()));
        if let Some(signed) = signed {
            self.keep_head(signed);
        }
        let is_due = self.unsigned.is_some_and(|since| since.elapsed() >= HEAD_AFTER);
        if is_due || !self.wishes.is_empty() || (is_privileged && done.is_ok()) {
            self.ask_for_head();
        }
        if self.unsynced.is_some_and(|since| close.is_some() || since.elapsed() >= SYNC_AFTER) {
            // Nobody waits for it. Whoever asks next is told.
            let _ = self.sync();
        }
        close
    }

    fn sort(&mut self, messages: impl Iterator<Item = Message>) -> Batch {
        let mut batch = Batch::default();
        for message in messages {
            match message {
                Message::Append { events, reply } => {
                    batch.notes += if reply.is_none() { events.len() as u64 } else { 0 };
                    batch.replies.extend(reply);
                    gather(&mut batch.events, events);
                }
                Message::Sign(wish) => self.wishes.push(wish),
                Message::Signed(signed) => batch.signed = Some(signed),
                Message::Close { signs } => batch.close = Some(signs),
            }
        }
        batch
    }

    /// Waits for the last head, but not for ever.
    fn finish(&mut self, messages: &Receiver<Message>, signs: bool) {
        self.is_ending = true;
        let until = Instant::now() + LAST_HEAD;
        while signs && self.unsigned.is_some() && self.signer.is_some() {
            self.ask_for_head();
            let left = until.saturating_duration_since(Instant::now());
            let Ok(message) = messages.recv_timeout(left) else { break };
            let owed = matches!(message, Message::Signed(Err(_)));
            self.take(std::iter::once(message));
            if owed {
                break;
            }
        }
        // One that hangs ends with the process.
        if let Some(signer) = self.signer.take().filter(|_| !self.is_signing) {
            signer.end();
        }
    }

    /// Appends entries, and sees that they are on the disk where somebody waits for that.
    fn append(&mut self, mut events: Vec<Event>, is_waited_for: bool, notes: u64) -> Result<(), AuditError> {
        if let Some(stopped) = &self.stopped {
            return Err(stopped.clone());
        }
        if self.lost > 0 {
            events.insert(0, Event::records_lost(self.lost));
        }
        let appended = self.log.append(&events).and_then(|()| {
            let seq = self.log.head().0;
            self.shared.seq.store(seq, Ordering::Relaxed);
            self.unsynced.get_or_insert_with(Instant::now);
            if events.iter().any(|event| !event.is_head()) {
                self.last = seq;
                self.unsigned.get_or_insert_with(Instant::now);
            }
            if is_waited_for { self.sync() } else { Ok(()) }
        });
        match &appended {
            Ok(()) => self.lost = 0,
            Err(_) => self.lost += notes,
        }
        self.tell(appended.as_ref().err(), is_waited_for);
        appended
    }

    fn sync(&mut self) -> Result<(), AuditError> {
        self.log.sync()?;
        self.unsynced = None;
        Ok(())
    }

    /// Keeps what is wrong for whoever asks, and says so once where nobody is told of it otherwise. What cannot pass ends
    /// the log for this process: after an fsync that failed, nothing says what is on the disk.
    fn tell(&mut self, error: Option<&AuditError>, is_waited_for: bool) {
        let mut failure = lock(&self.shared.failure);
        match (error, failure.is_some()) {
            (Some(error), false) if !is_waited_for => tracing::error!(error = %error, "the audit log takes no entry"),
            (None, true) => tracing::info!("the audit log takes entries again"),
            _ => {}
        }
        *failure = error.cloned();
        if let Some(error) = error.filter(|error| !error.may_pass()) {
            self.stopped = Some(error.clone());
        }
    }

    /// Has a head signed, one at a time.
    fn ask_for_head(&mut self) {
        match &self.signer {
            _ if self.is_signing => {}
            Some(signer) => {
                signer.ask(self.log.log_id(), self.log.head(), self.clock.now());
                self.is_signing = true;
            }
            None => self.wishes.drain(..).for_each(|wish| wish(None)),
        }
    }

    /// Writes a signed head into the log. A key that is away owes it until the next time; one that refuses is not asked
    /// again by this process.
    fn keep_head(&mut self, signed: Signed) {
        self.is_signing = false;
        let kept = match signed {
            Ok(signed) => self.write_head(signed),
            Err(e) => {
                // A command that is done has told of what it found; a service has nobody else to tell it.
                if self.is_ending {
                    tracing::info!(error = e.origin(), "no signature for the last head of the audit log");
                } else {
                    tracing::warn!(error = e.origin(), "no signature for the head of the audit log");
                }
                self.unsigned = self.unsigned.map(|_| Instant::now());
                if e.kind != ErrorKind::Away
                    && let Some(signer) = self.signer.take()
                {
                    signer.end();
                }
                None
            }
        };
        self.wishes.drain(..).for_each(|wish| wish(kept.clone()));
    }

    fn write_head(&mut self, signed: SignedHead) -> Option<SignedHead> {
        let (seq, signed_at) = (signed.head.seq, signed.head.signed_at);
        self.log.note_head(signed_at);
        self.append(vec![Event::head_signed(&signed)], true, 0).ok()?;
        // What was written meanwhile waits for the next.
        self.unsigned = (self.last > seq).then(Instant::now);
        self.shared.head_at.store(signed_at.as_millis(), Ordering::Relaxed);
        if let Some(heads) = &*lock(&self.shared.heads) {
            let _ = heads.send(signed.clone());
        }
        Some(signed)
    }
}

/// Adds entries; what is told best as one becomes one.
fn gather(events: &mut Vec<Event>, more: Vec<Event>) {
    for event in more {
        if !events.last_mut().is_some_and(|last| last.absorb(&event)) {
            events.push(event);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
