use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::refusal::{Code, Refusal};
use super::submission::Submission;
use super::{Desk, Prepared, Request};
use crate::spool::Enqueued;

/// Lines that one transaction takes at most.
const LINES: usize = 512;
/// Their length at most, in bytes; one line may be longer.
const BYTES: usize = 4 * 1024 * 1024;
/// Signatures that are asked for at once: few enough that a slow device answers the last of them in time.
const AT_ONCE: usize = 64;

/// Lines of a batch that are committed together.
#[derive(Debug, Default)]
pub struct Group {
    lines: Vec<(u64, Result<Submission, Refusal>)>,
    bytes: usize,
}

/// What became of a group.
#[derive(Debug)]
pub struct Settled {
    /// Each line in order, with its number, and where its event is or why it was refused.
    pub lines: Vec<(u64, Result<Placed, Refusal>)>,
    /// Whether the last of these was refused for now. Then nothing behind it was looked at, so that it may all be sent
    /// again in this order.
    pub is_cut: bool,
}

/// An event by its reference, and where it is.
#[derive(Debug)]
pub struct Placed {
    /// Its stream.
    pub stream_id: String,
    /// What its producer calls it.
    pub source_ref: String,
    /// Where it is.
    pub enqueued: Enqueued,
}

impl Group {
    /// Adds a line of so many bytes.
    pub fn push(&mut self, number: u64, bytes: usize, line: Result<Submission, Refusal>) {
        self.lines.push((number, line));
        self.bytes += bytes;
    }

    /// The number of the first line.
    pub fn first(&self) -> Option<u64> {
        self.lines.first().map(|(number, _)| *number)
    }

    /// Whether something is to be signed.
    pub fn is_attested(&self) -> bool {
        self.lines.iter().any(|(_, line)| line.as_ref().is_ok_and(Submission::is_attested))
    }

    /// Whether nothing waits.
    pub const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether it is to be committed before another line comes.
    pub const fn is_full(&self) -> bool {
        self.lines.len() >= LINES || self.bytes >= BYTES
    }

    /// Signs what is to be signed and commits all of it; empty again afterwards. What is refused keeps nothing else
    /// back, unless it is refused for now.
    pub async fn commit(&mut self, desk: &Arc<Desk>, producer_uid: Option<u32>) -> Settled {
        let lines = std::mem::take(self).lines;
        let (prepared, mut is_cut) = prepare(lines, desk, producer_uid).await;
        let (mut events, mut places) = (Vec::with_capacity(prepared.len()), Vec::with_capacity(prepared.len()));
        for (number, line) in prepared {
            let place = line.map(|(named, event)| {
                events.push(event);
                named
            });
            places.push((number, place));
        }
        let mut spooled = match desk.ingest.spool_all(events).await {
            Ok(spooled) => spooled.into_iter().map(|done| done.map_err(Refusal::from)).collect(),
            // Nothing of it happened: the first of them says why.
            Err(error) => {
                let first = places.iter().position(|(_, place)| place.is_ok());
                places.truncate(first.map_or(places.len(), |first| first + 1));
                is_cut = true;
                vec![Err(Refusal::from(error))]
            }
        }
        .into_iter();
        let broken = || Err(Refusal::new(Code::Internal, "the spool gave no answer"));
        let settle = |(number, place): (u64, Result<(String, String), Refusal>)| {
            let placed = place.and_then(|(stream_id, source_ref)| {
                let enqueued = spooled.next().unwrap_or_else(broken)?;
                Ok(Placed { stream_id, source_ref, enqueued })
            });
            (number, placed)
        };
        let mut lines: Vec<_> = places.into_iter().map(settle).collect();
        // A spool that is full, or closed, refuses one by one. What is behind the first was not taken either.
        let refused = |(_, line): &(u64, Result<Placed, Refusal>)| line.as_ref().is_err_and(Refusal::is_temporary);
        if let Some(first) = lines.iter().position(refused) {
            lines.truncate(first + 1);
            is_cut = true;
        }
        Settled { lines, is_cut }
    }
}

/// An event on its way, by its reference.
type Named = ((String, String), Prepared);

/// Every line in order, up to the first that is refused for now; and whether there is such a one.
async fn prepare(
    lines: Vec<(u64, Result<Submission, Refusal>)>,
    desk: &Arc<Desk>,
    producer_uid: Option<u32>,
) -> (Vec<(u64, Result<Named, Refusal>)>, bool) {
    let request = Request::new();
    let mut prepared = Vec::with_capacity(lines.len());
    let mut under_way: VecDeque<(u64, JoinHandle<Result<Named, Refusal>>)> = VecDeque::new();
    let mut lines = lines.into_iter();
    loop {
        // What needs no signature waits for none.
        let next = if under_way.len() < AT_ONCE { lines.next() } else { None };
        let (number, done) = match (next, under_way.is_empty()) {
            (Some((number, Err(refusal))), true) => (number, Err(refusal)),
            (Some((number, Ok(submission))), true) if !submission.is_attested() => {
                (number, name(submission, desk.clone(), producer_uid, request.beside()).await)
            }
            (Some((number, line)), _) => {
                let (desk, request) = (desk.clone(), request.beside());
                let task = async move { name(line?, desk, producer_uid, request).await };
                under_way.push_back((number, tokio::spawn(task)));
                continue;
            }
            (None, _) => match under_way.pop_front() {
                None => return (prepared, false),
                Some((number, task)) => {
                    let broken = |_| Err(Refusal::new(Code::Internal, "signing broke off"));
                    (number, task.await.unwrap_or_else(broken))
                }
            },
        };
        let is_cut = done.as_ref().is_err_and(Refusal::is_temporary);
        prepared.push((number, done));
        if is_cut {
            return (prepared, true);
        }
    }
}

async fn name(
    submission: Submission,
    desk: Arc<Desk>,
    producer_uid: Option<u32>,
    request: Request,
) -> Result<Named, Refusal> {
    let named = (submission.stream_id.clone(), submission.source_ref.clone());
    let prepared = submission.prepare(&desk.ingest, desk.attestor.as_ref(), producer_uid, request).await?;
    Ok((named, prepared))
}
