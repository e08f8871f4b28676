use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::AuditError;
use super::event::Event;
use super::head::{HeadSigner, Signed};
use super::log::Log;
use super::trail::REACH;
use super::writer::{Message, Reply, Shared, Wish, lock};
use crate::custody::{ErrorKind, Purpose, PurposeKey};
use crate::facts::Clock;
use crate::protocol::audit::SignedHead;

/// Requests that are written at once.
const BATCH: usize = 1024;
/// How long a note may wait for the fsync, which comes with the next record at the latest. Until then a crash of the
/// machine may take it; one of the process does not.
const SYNC_AFTER: Duration = Duration::from_secs(1);
/// How long entries may stand without a signed head behind them.
const HEAD_AFTER: Duration = Duration::from_secs(60);
/// How long the end of the log is kept waiting for its last head.
const LAST_HEAD: Duration = Duration::from_secs(10);

/// The thread that appends.
pub(super) struct Writer {
    log: Log,
    signer: Option<HeadSigner>,
    /// Whether a head is being signed.
    is_signing: bool,
    /// Who waits for one, and for which entry it must be.
    wishes: Vec<(u64, Wish)>,
    /// The last entry that a head must follow at once; 0 where none waits for that.
    privileged: u64,
    /// Whether the last head that was asked for did not come into the log.
    owes: bool,
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
    wishes: Vec<Wish>,
    signed: Option<Signed>,
    /// Whether this is the end, and whether a head is signed over it.
    close: Option<bool>,
}

impl Writer {
    /// `back` is where the thread itself is told of heads that were signed.
    pub(super) fn new(
        log: Log,
        record: Option<PurposeKey>,
        clock: Arc<dyn Clock>,
        shared: Arc<Shared>,
        back: Sender<Message>,
    ) -> Self {
        // The log may have ended meanwhile.
        let signer = |key| HeadSigner::start(key, move |signed| _ = back.send(Message::Signed(signed)));
        Self {
            log,
            signer: record.map(signer),
            is_signing: false,
            wishes: Vec::new(),
            privileged: 0,
            owes: false,
            is_ending: false,
            clock,
            shared,
            last: 0,
            unsigned: None,
            unsynced: None,
            lost: 0,
            stopped: None,
        }
    }

    /// Serves until it is told to close.
    pub(super) fn serve(&mut self, messages: &Receiver<Message>) {
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
        let Batch { events, replies, notes, wishes, signed, close } = sort(messages);
        let is_privileged = events.iter().any(Event::is_privileged) || self.lost > 0;
        let is_waited_for = !replies.is_empty();
        // What was lost is told of at the latest when it is the last chance.
        let is_idle = events.is_empty() && !(close.is_some() && self.lost > 0);
        let done = if is_idle { Ok(()) } else { self.append(events, is_waited_for, notes) };
        replies.into_iter().for_each(|reply| reply(done.clone()));
        // A head that is being signed already is not one of what was written meanwhile.
        let seq = self.log.head().0;
        self.wishes.extend(wishes.into_iter().map(|wish| (seq, wish)));
        if is_privileged && done.is_ok() {
            self.privileged = seq;
        }
        if let Some(signed) = signed {
            self.keep_head(signed);
        }
        let is_due = self.unsigned.is_some_and(|since| since.elapsed() >= HEAD_AFTER);
        if is_due || !self.wishes.is_empty() || self.privileged > 0 {
            self.ask_for_head();
        }
        if self.unsynced.is_some_and(|since| close.is_some() || since.elapsed() >= SYNC_AFTER) {
            // Nobody waits for it. Whoever asks next is told.
            if let Err(e) = self.sync() {
                self.tell(Some(&e), false);
            }
        }
        close
    }

    /// Waits for the last head, but not for ever.
    fn finish(&mut self, messages: &Receiver<Message>, signs: bool) {
        self.is_ending = true;
        let until = Instant::now() + LAST_HEAD;
        while signs && self.unsigned.is_some() && self.signer.is_some() && self.stopped.is_none() {
            self.ask_for_head();
            let left = until.saturating_duration_since(Instant::now());
            let Ok(message) = messages.recv_timeout(left) else { break };
            let is_answer = matches!(message, Message::Signed(_));
            self.take(std::iter::once(message));
            if is_answer && self.owes {
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
        let more_than_heads = events.iter().any(|event| !event.is_head());
        let appended = self.log.append(events).and_then(|()| {
            self.unsynced.get_or_insert_with(Instant::now);
            if more_than_heads {
                self.last = self.log.head().0;
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
        self.unsynced = None;
        self.log.sync()
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
        // Whatever comes of it: not at once again, but after another interval.
        self.unsigned = self.unsigned.map(|_| Instant::now());
        match &self.signer {
            _ if self.is_signing => {}
            // One that could not be written is none to ask a device for.
            Some(signer) if self.stopped.is_none() => {
                signer.ask(self.log.log_id(), self.log.head(), self.clock.now());
                self.is_signing = true;
            }
            _ => self.answer(None),
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
                if !self.owes {
                    let failed = Event::key_failed(Purpose::Record.name(), None, &e);
                    let _ = self.append(vec![failed], false, 1);
                }
                if e.kind != ErrorKind::Away
                    && let Some(signer) = self.signer.take()
                {
                    signer.end();
                }
                None
            }
        };
        self.owes = kept.is_none();
        self.answer(kept.as_ref());
    }

    /// Answers whom a head is for; where there is none, everybody.
    fn answer(&mut self, head: Option<&SignedHead>) {
        let through = head.map_or(u64::MAX, |head| head.head.seq);
        for (_, wish) in self.wishes.extract_if(.., |(seq, _)| *seq <= through) {
            wish(head.cloned());
        }
        if self.privileged <= through {
            self.privileged = 0;
        }
    }

    fn write_head(&mut self, signed: SignedHead) -> Option<SignedHead> {
        let seq = signed.head.seq;
        // Others may have written more meanwhile than whoever verifies can look back.
        if self.log.head().0.saturating_sub(seq) > REACH as u64 / 2 {
            return None;
        }
        self.append(vec![Event::head_signed(&signed)], true, 0).ok()?;
        // What was written meanwhile waits for the next.
        self.unsigned = (self.last > seq).then(Instant::now);
        if let Some(heads) = &*lock(&self.shared.heads) {
            let _ = heads.send(signed.clone());
        }
        Some(signed)
    }
}

fn sort(messages: impl Iterator<Item = Message>) -> Batch {
    let mut batch = Batch::default();
    for message in messages {
        match message {
            Message::Append { events, reply } => {
                batch.notes += if reply.is_none() { events.len() as u64 } else { 0 };
                batch.replies.extend(reply);
                gather(&mut batch.events, events);
            }
            Message::Sign(wish) => batch.wishes.push(wish),
            Message::Signed(signed) => batch.signed = Some(signed),
            Message::Close { signs } => batch.close = Some(signs),
        }
    }
    batch
}

/// Adds entries; what is told best as one becomes one.
fn gather(events: &mut Vec<Event>, more: Vec<Event>) {
    for event in more {
        if !events.last_mut().is_some_and(|last| last.absorb(&event)) {
            events.push(event);
        }
    }
}
