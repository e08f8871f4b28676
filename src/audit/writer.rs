use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc as channel;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::AuditError;
use super::event::Event;
use super::head::Signed;
use super::log::Log;
use super::thread::Writer;
use crate::custody::PurposeKey;
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
    has_signer: bool,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread and its callers both know.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Why the last entry was not taken, as long as that lasts.
    pub(super) failure: Mutex<Option<AuditError>>,
    /// Who wants to know of each head.
    pub(super) heads: Mutex<Option<channel::UnboundedSender<SignedHead>>>,
    /// Whether a refused PIN was told of.
    pub(super) refusal: AtomicBool,
}

/// What the thread is asked for, or told.
pub(super) enum Message {
    Append { events: Vec<Event>, reply: Option<Reply> },
    Sign(Wish),
    Signed(Signed),
    Close { signs: bool },
}

/// Somebody who waits for a signed head.
pub(super) type Wish = Box<dyn FnOnce(Option<SignedHead>) + Send>;

pub(super) type Reply = Box<dyn FnOnce(Result<(), AuditError>) + Send>;

/// Requests that wait at most; beyond that, async callers wait.
const ROOM: usize = 4096;
/// How long a caller waits for a head.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

impl Audit {
    /// Opens the log, and begins one where there never was any. Blocks on the disk.
    /// Panics where the system has no thread left to give.
    pub fn open(config: AuditConfig) -> Result<Self, AuditError> {
        let log = Log::open(&config.folder, config.clock.clone(), config.longest_file)?;
        let shared = Arc::new(Shared::default());
        let (queue, messages) = mpsc::channel();
        let has_signer = config.record.is_some();
        let mut writer = Writer::new(log, config.record, config.clock, shared.clone(), queue.clone());
        let thread = thread::Builder::new().name("audit".into()).spawn(move || writer.serve(&messages));
        let thread = Mutex::new(Some(thread.expect("a thread to write on")));
        Ok(Self { queue, room: Semaphore::new(ROOM), has_signer, shared, thread })
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
        self.note_all(vec![event]);
    }

    /// The same for several, in this order.
    pub fn note_all(&self, events: Vec<Event>) {
        if !events.is_empty() {
            // Where the log was closed the process is ending, and has said what it had to say.
            let _ = self.send(Message::Append { events, reply: None });
        }
    }

    /// Signs how far the log has come, now. `None` where there is no key to sign with, or it gave no signature within ten
    /// seconds.
    pub async fn sign_head(&self) -> Option<SignedHead> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Sign(Box::new(move |head| _ = reply.send(head)))).ok()?;
        timeout(HEAD_PATIENCE, answer).await.ok()?.ok().flatten()
    }

    /// The same for callers that may block; whether there is one.
    pub fn sign_head_blocking(&self) -> bool {
        let (reply, answer) = mpsc::channel();
        let asked = self.send(Message::Sign(Box::new(move |head| _ = reply.send(head.is_some()))));
        asked.is_ok() && answer.recv_timeout(HEAD_PATIENCE).unwrap_or(false)
    }

    /// From now on, every head that this process signs.
    pub fn heads(&self) -> channel::UnboundedReceiver<SignedHead> {
        let (sender, heads) = channel::unbounded_channel();
        *lock(&self.shared.heads) = Some(sender);
        heads
    }

    /// Whether there is a key to sign heads with.
    pub const fn has_signer(&self) -> bool {
        self.has_signer
    }

    /// Whether a refused PIN stands in the log as such, written by this process.
    pub fn has_told_of_a_refusal(&self) -> bool {
        self.shared.refusal.load(Ordering::Relaxed)
    }

    pub(super) fn note_refusal(&self) {
        self.shared.refusal.store(true, Ordering::Relaxed);
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
