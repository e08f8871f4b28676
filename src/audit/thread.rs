use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::AuditError;
use super::event::Event;
use super::log::Log;
use super::writer::{Message, Shared, lock};
use crate::custody::PurposeKey;
use crate::facts::Clock;
use crate::protocol::audit::{Head, SignedHead};

/// Requests that are written at once.
const BATCH: usize = 1024;
/// How long a note may wait for the fsync, which comes with the next record at the latest. Until then a crash of the
/// machine may take it; one of the process does not.
const SYNC_AFTER: Duration = Duration::from_secs(1);
/// How long entries may stand without a signed head behind them.
const HEAD_AFTER: Duration = Duration::from_secs(60);

/// The thread that appends.
pub(super) struct Writer {
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
    /// Whether the key gave no signature when it was asked last.
    owes: bool,
}

impl Writer {
    pub(super) const fn new(log: Log, record: Option<PurposeKey>, clock: Arc<dyn Clock>, shared: Arc<Shared>) -> Self {
        let (unsigned, unsynced, stopped) = (None, None, None);
        Self { log, record, clock, shared, unsigned, unsynced, lost: 0, stopped, owes: false }
    }

    /// Serves until it is told to close.
    pub(super) fn serve(&mut self, messages: &Receiver<Message>) {
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
        // What was lost is told of at the latest when it is the last chance.
        let is_idle = events.is_empty() && !(close && self.lost > 0);
        let done = if is_idle { Ok(()) } else { self.append(events, is_waited_for, notes) };
        replies.into_iter().for_each(|reply| reply(done.clone()));

        let is_due = self.unsigned.is_some_and(|since| close || since.elapsed() >= HEAD_AFTER);
        let head = if is_due || !signs.is_empty() || (is_privileged && done.is_ok()) { self.sign() } else { None };
        signs.into_iter().for_each(|reply| reply(head.clone()));
        if self.unsynced.is_some_and(|since| close || since.elapsed() >= SYNC_AFTER) {
            // Nobody waits for it. Whoever asks next is told.
            if let Err(e) = self.sync() {
                self.tell(Some(&e));
            }
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
        self.unsynced = None;
        self.log.sync()
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
        // Whatever comes of it: not at once again, but after another interval.
        self.unsigned = self.unsigned.map(|_| Instant::now());
        // A head that could not be written is none to ask a device for.
        let key = self.record.as_ref().filter(|_| self.stopped.is_none())?;
        let (seq, hash) = self.log.head();
        let signed_at = self.clock.now();
        let (log_id, kid) = (self.log.log_id().to_owned(), key.kid().to_owned());
        let head = Head { log_id, seq, hash, signed_at, alg: key.public_key().algorithm(), kid };
        let signature = match key.sign(&head.preimage()) {
            Ok(signature) => signature,
            Err(e) => {
                tracing::warn!(error = %e, "no signature for the head of the audit log");
                if !std::mem::replace(&mut self.owes, true) {
                    let _ = self.append(vec![Event::key_failed(key.purpose().name(), None, &e)], false, 1);
                }
                return None;
            }
        };
        let signed = SignedHead { head, public_key: key.public_key().clone(), signature };
        self.owes = false;
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
