use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Span;

use super::ahead::receipt_is_earlier;
use super::delivery::{Delivered, Delivery, Failed};
use super::halt::Halt;
use super::judge::Verdict;
use super::log::Told;
use super::metrics::{self, Cause, Metrics};
use super::outcome::{Ended, Outcome, Sent};
use super::retry::{DEAD_AFTER, event_delay, probe_delay, random};
use super::{Answer, Client};
use crate::audit::{self, Audit};
use crate::custody::SignError;
use crate::facts::{Clock, Timestamp};
use crate::protocol::ack;
use crate::spool::{self, Event, Leased, Park, Settlement, State};

/// How a send is named that was not signed.
pub const KEY_AWAY: &str = "signing-key-unavailable";

/// How a send is named that was not signed because it could not be written down (I9).
pub const UNRECORDED: &str = "audit-log-unavailable";

/// What one send needs.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) client: Client,
    pub(super) delivery: Delivery,
    pub(super) installation_id: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) audit: Arc<Audit>,
    /// Counts outages against the event, as the published package does.
    pub(super) count_every_failure: bool,
    /// What keeps sends that are leased already from being signed.
    pub(super) halt: Halt,
    pub(super) metrics: Metrics,
}

impl Exchange {
    /// Signs, posts and judges one event, in the span of this send. Writes nothing: the caller settles what comes back.
    pub(super) async fn run(&self, leased: Leased, probes_failed: u32) -> Ended {
        let (request, begun) = (leased.event.request_id(), Instant::now());
        let delivered = self.deliver(&leased, &request).await;
        let (sent, cause) = measured(&delivered);
        sent.into_iter().for_each(|sent| self.metrics.sent(sent, begun.elapsed()));
        let (settlement, status, error) = match delivered {
            Ok(done) => self.settle(&leased, done, probes_failed),
            Err(Failed::Sign(SignError::Unrecorded(e))) => {
                tracing::error!(error = e.origin(), "not signed, since the audit log takes no entry");
                self.not_asked(UNRECORDED)
            }
            Err(Failed::Sign(e)) => {
                tracing::warn!(error = e.origin(), "no signature");
                tracing::debug!(error = %e, "why there is no signature");
                self.not_asked(KEY_AWAY)
            }
            Err(Failed::Halted) => self.not_asked("halted"),
            Err(Failed::Transport(e)) => {
                tracing::info!(error = %e, "not delivered");
                let error = e.published_name().to_owned();
                let settlement = self.nothing_said(&leased, error.clone(), None, probes_failed);
                (settlement, None, Some(error))
            }
        };
        let note = self.note(&request, &settlement, status, error.as_deref());
        let outcome = Outcome {
            event_id: leased.event.event_id,
            attempt: leased.event.attempt,
            state: state_after(&settlement),
            revoked: matches!(settlement, Settlement::Unjudged { park: Park::Revoked, .. }),
            status,
            error,
            stream_id: leased.event.stream_id,
            source_ref: leased.event.source_ref,
        };
        let sent = Sent { request, told: Told::of(&settlement), outcome, span: Span::current(), cause, note };
        Ended { seq: leased.event.seq, settlement, sent }
    }

    /// How a send ended, for the log.
    fn note(&self, request: &str, settlement: &Settlement, status: Option<u16>, error: Option<&str>) -> audit::Event {
        let refused = |state: State| audit::Event::refused(request, state.name(), error.unwrap_or_default(), status);
        match settlement {
            Settlement::Receipted(answer) if answer.sent.is_none() => audit::Event::delivered(request, status),
            Settlement::Receipted(_) | Settlement::Ahead { state: State::Receipted, .. } => {
                audit::Event::receipted(request, status)
            }
            Settlement::Unjudged { park: Park::Revoked, .. } => audit::Event::revoked(request, &self.installation_id),
            Settlement::Unjudged { park: Park::Until(until), error } => audit::Event::parked(request, error, *until),
            settlement => refused(state_after(settlement)),
        }
    }

    /// What follows from an answer: the settlement, and status and error to show.
    fn settle(
        &self,
        leased: &Leased,
        done: Delivered,
        probes_failed: u32,
    ) -> (Settlement, Option<u16>, Option<String>) {
        let Delivered { sent, answer, verdict } = done;
        let (status, retry_after, is_enveloped) = (answer.status, answer.retry_after, sent.is_some());
        // Attempts are counted before they are made: of an event whose first one this is, nobody can know yet.
        let is_first = is_enveloped && leased.event.attempt == 1;
        let is_earlier = is_first && verdict == Verdict::Receipted && receipt_is_earlier(&answer);
        let keep = |body| spool::Answer { sent, status, body, received_at: self.clock.now() };
        let (settlement, error) = match verdict {
            Verdict::Receipted if is_earlier => {
                (Settlement::Ahead { state: State::Receipted, answer: keep(answer.body) }, None)
            }
            Verdict::Receipted => (Settlement::Receipted(keep(answer.body)), None),
            Verdict::Conflict => {
                let answer = keep(answer.body);
                let state = State::Conflict;
                let settlement =
                    if is_first { Settlement::Ahead { state, answer } } else { Settlement::Conflict(answer) };
                (settlement, Some(format!("http-{status}")))
            }
            Verdict::Judged(error) => {
                let retry_at = self.retry_at(leased.event.failures + 1);
                let is_kept = retry_at.is_none()
                    || is_enveloped && carries_a_receipt(&leased.event, &self.installation_id, &answer);
                let answer = is_kept.then(|| keep(answer.body));
                (Settlement::Judged { error: error.clone(), retry_at, answer }, Some(error))
            }
            Verdict::Revoked => {
                let error = format!("http-{status}");
                (Settlement::Unjudged { error: error.clone(), park: Park::Revoked }, Some(error))
            }
            Verdict::Nothing(error) => {
                tracing::info!(error, "not delivered");
                let asked = retry_after.map(|after| after.wait(self.clock.now()));
                (self.nothing_said(leased, error.clone(), asked, probes_failed), Some(error))
            }
        };
        (settlement, Some(status), error)
    }

    /// An outage: parks the destination, or counts as published where that was asked for.
    fn nothing_said(&self, leased: &Leased, error: String, asked: Option<Duration>, probes_failed: u32) -> Settlement {
        if self.count_every_failure {
            return Settlement::Judged { error, retry_at: self.retry_at(leased.event.failures + 1), answer: None };
        }
        let delay = probe_delay(probes_failed.saturating_add(1), random()).max(asked.unwrap_or_default());
        Settlement::Unjudged { error, park: Park::Until(self.after(delay)) }
    }

    /// What follows for an event whose send broke off by a defect of ours.
    pub(super) fn put_back(&self) -> Settlement {
        self.not_asked("send-broke-off").0
    }

    /// What follows where nothing was signed, with what there is to show: the trouble is on our side, and passes.
    fn not_asked(&self, error: &str) -> (Settlement, Option<u16>, Option<String>) {
        let (error, park) = (error.to_owned(), Park::NotAsked(self.after(event_delay(1, random()))));
        (Settlement::Unjudged { error: error.clone(), park }, None, Some(error))
    }

    /// When an event is sent again that was judged against `failures` times; `None`: never.
    fn retry_at(&self, failures: u32) -> Option<Timestamp> {
        (failures < DEAD_AFTER).then(|| self.after(event_delay(failures, random())))
    }

    fn after(&self, delay: Duration) -> Timestamp {
        self.clock.now().plus_millis(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Whether an answer that is no acknowledgement carries a receipt for the event all the same.
fn carries_a_receipt(event: &Event, installation_id: &str, answer: &Answer) -> bool {
    let body = answer.object().ok();
    body.is_some_and(|body| ack::receipt_for(installation_id, &event.source_ref, &body).is_some())
}

/// How a send ended for the metrics, where there was one, and why another one has to follow, where it has.
const fn measured(delivered: &Result<Delivered, Failed>) -> (Option<metrics::Sent>, Option<Cause>) {
    match delivered {
        Err(Failed::Halted | Failed::Sign(SignError::Unrecorded(_))) => (None, Some(Cause::Other)),
        Err(Failed::Sign(_)) => (None, Some(Cause::KeyAway)),
        Err(Failed::Transport(e)) => (Some(metrics::Sent::NoAnswer), Some(Cause::of_transport(*e))),
        Ok(Delivered { verdict, answer, .. }) => match verdict {
            Verdict::Conflict => (Some(metrics::Sent::Conflict), None),
            Verdict::Judged(_) => (Some(metrics::Sent::Judged), Some(Cause::Judged)),
            Verdict::Nothing(_) => (Some(metrics::Sent::NoVerdict), Some(Cause::of_status(answer.status))),
            Verdict::Receipted => (Some(metrics::Sent::Receipted), None),
            Verdict::Revoked => (Some(metrics::Sent::Revoked), None),
        },
    }
}

const fn state_after(settlement: &Settlement) -> State {
    match settlement {
        Settlement::Receipted(_) => State::Receipted,
        Settlement::Conflict(_) => State::Conflict,
        Settlement::Ahead { state, .. } => *state,
        Settlement::Judged { retry_at: None, .. } => State::Dead,
        Settlement::Judged { .. } | Settlement::Unjudged { .. } => State::Queued,
    }
}
