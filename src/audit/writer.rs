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
use super::log::Log;
use crate::custody::PurposeKey;
use crate::facts::Clock;
use crate::protocol::audit::{Head, SignedHead};

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
    Sign(Box<dyn FnOnce(Option<SignedHead>) + Send>),
    Close,
}

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

impl Audit {
    /// Opens the log, and begins one where there never was any. Blocks on the disk.
    /// Panics where the system has no thread left to give.
    pub fn open(config: AuditConfig) -> Result<Self, AuditError> {
        let log = Log::open(&config.folder, config.clock.clone(), config.longest_file)?;
        let shared = Arc::new(Shared::default());
        shared.seq.store(log.head().0, Ordering::Relaxed);
        let (queue, messages) = mpsc::channel();
        let mut writer = Writer {
            log,
            record: config.record,
            clock: config.clock,
            shared: shared.clone(),
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

    /// Writes what waits, signs a head over it, and ends. Blocks on the disk and in custody.
    pub fn close(&self) {
        let _ = self.queue.send(Message::Close);
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
    record: Option<PurposeKey>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    /// Since when entries of ours stand without a head behind them.
    unsigned: Option<Instant>,
    /// Since when entries wait for an fsync.
    unsynced: Option<Instant>,
    /// Notes that could not be written.
    lost: u64,
    /// What made it impossible to go on in this process.
    stopped: Option<AuditError>,
}

impl Writer {
    fn serve(&mut self, messages: &Receiver<Message>) {
        loop {
            let first = match messages.recv_timeout(self.next_due()) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Message::Close),
            };
            let batch: Vec<Message> = first.into_iter().chain(messages.try_iter()).take(BATCH).collect();
            if self.take(batch) {
                return;
            }
        }
    }

    /// When there is something to do that nobody asks for.
    fn next_due(&self) -> Duration {
        let due = |since: Option<Instant>, after: Duration| since.map(|since| after.saturating_sub(since.elapsed()));
        let (sync, head) = (due(self.unsynced, SYNC_AFTER), due(self.unsigned, HEAD_AFTER));
        sync.into_iter().chain(head).min().unwrap_or(HEAD_AFTER)
    }

    /// Does what a batch asks for, and what is due; whether that was the end.
    fn take(&mut self, batch: Vec<Message>) -> bool {
        let (mut events, mut replies, mut signs, mut close) = (Vec::new(), Vec::new(), Vec::new(), false);
        let mut notes = 0;
        for message in batch {
            match message {
                Message::Append { events: more, reply } => {
                    notes += if reply.is_none() { more.len() as u64 } else { 0 };
                    replies.extend(reply);
                    gather(&mut events, more);
                }
                Message::Sign(reply) => signs.push(reply),
                Message::Close => close = true,
            }
        }
        let is_privileged = events.iter().any(Event::is_privileged);
        let is_waited_for = !replies.is_empty();
        let done = if events.is_empty() { Ok(()) } else { self.append(events, is_waited_for, notes) };
        replies.into_iter().for_each(|reply| reply(done.clone()));

        let is_due = self.unsigned.is_some_and(|since| close || since.elapsed() >= HEAD_AFTER);
        let head = if is_due || !signs.is_empty() || (is_privileged && done.is_ok()) { self.sign() } else { None };
        signs.into_iter().for_each(|reply| reply(head.clone()));
        if self.unsynced.is_some_and(|since| close || since.elapsed() >= SYNC_AFTER) {
            // Nobody waits for it. Whoever asks next is told.
            let _ = self.sync();
        }
        close
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
            self.shared.seq.store(self.log.head().0, Ordering::Relaxed);
            self.unsynced.get_or_insert_with(Instant::now);
            if events.iter().any(|event| !event.is_head()) {
                self.unsigned.get_or_insert_with(Instant::now);
            }
            if is_waited_for { self.sync() } else { Ok(()) }
        });
        match &appended {
            Ok(()) => self.lost = 0,
            Err(_) => self.lost += notes,
        }
        self.tell(appended.as_ref().err());
        appended
    }

    fn sync(&mut self) -> Result<(), AuditError> {
        self.log.sync()?;
        self.unsynced = None;
        Ok(())
    }

    /// Keeps what is wrong for whoever asks, and says so once. What cannot pass ends the log for this process: after an
    /// fsync that failed, nothing says what is on the disk.
    fn tell(&mut self, error: Option<&AuditError>) {
        let mut failure = lock(&self.shared.failure);
        match (error, failure.is_some()) {
            (Some(error), false) => tracing::error!(error = %error, "the audit log takes no entry"),
            (None, true) => tracing::info!("the audit log takes entries again"),
            _ => {}
        }
        *failure = error.cloned();
        if let Some(error) = error.filter(|error| !error.may_pass()) {
            self.stopped = Some(error.clone());
        }
    }

    /// Signs how far the log has come, and writes that into it. A key that is away owes it until the next time.
    fn sign(&mut self) -> Option<SignedHead> {
        let key = self.record.as_ref()?;
        let (seq, hash) = self.log.head();
        let signed_at = self.clock.now();
        let (log_id, kid) = (self.log.log_id().to_owned(), key.kid().to_owned());
        let head = Head { log_id, seq, hash, signed_at, alg: key.public_key().algorithm(), kid };
        let signature = match key.sign(&head.preimage()) {
            Ok(signature) => signature,
            Err(e) => {
                tracing::warn!(error = %e, "no signature for the head of the audit log");
                // Not at once again, but after another interval.
                self.unsigned = self.unsigned.map(|_| Instant::now());
                return None;
            }
        };
        let signed = SignedHead { head, public_key: key.public_key().clone(), signature };
        self.log.note_head(signed_at);
        self.append(vec![Event::head_signed(&signed)], true, 0).ok()?;
        self.unsigned = None;
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
