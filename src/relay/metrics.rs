use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::TransportError;
use crate::spool::State;

/// From a receiver beside us to one that lets every send run into its deadline.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What the relay measures of itself. Clones count together.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    send: HistogramVec,
    settled: IntCounterVec,
    retries: IntCounterVec,
    alarms: IntCounter,
}

impl Default for Metrics {
    fn default() -> Self {
        let help = "Time of a send, from its signature to what was made of the answer.";
        let send = HistogramOpts::new("local_vault_send_seconds", help).buckets(SECONDS.to_vec());
        let settled = Opts::new("local_vault_settled_total", "Events that this process settled.");
        let retries = Opts::new("local_vault_retries_total", "Sends after which the event waits to be sent again.");
        let alarms =
            Opts::new("local_vault_alarms_total", "What stopped a stream or the relay until an operator looks.");
        // Only a name or a bucket that is none is refused.
        let metrics = Self {
            send: HistogramVec::new(send, &["outcome"]).expect("a histogram of our own"),
            settled: IntCounterVec::new(settled, &["state"]).expect("a counter of our own"),
            retries: IntCounterVec::new(retries, &["cause"]).expect("a counter of our own"),
            alarms: IntCounter::with_opts(alarms).expect("a counter of our own"),
        };
        // What never happened is told as 0: a rate needs a value before the first one.
        Sent::ALL.iter().for_each(|sent| drop(metrics.send.with_label_values(&[sent.name()])));
        [State::Receipted, State::Conflict, State::Dead].iter().for_each(|state| drop(metrics.settled(*state)));
        Cause::ALL.iter().for_each(|cause| drop(metrics.retries.with_label_values(&[cause.name()])));
        metrics
    }
}

impl Metrics {
    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.send.clone()))?;
        registry.register(Box::new(self.settled.clone()))?;
        registry.register(Box::new(self.retries.clone()))?;
        registry.register(Box::new(self.alarms.clone()))
    }

    /// Notes a send that reached its end.
    pub(super) fn sent(&self, sent: Sent, took: Duration) {
        self.send.with_label_values(&[sent.name()]).observe(took.as_secs_f64());
    }

    /// Notes what only the operator can put right.
    pub(super) fn alarm(&self) {
        self.alarms.inc();
    }

    /// Notes where an event is after its send, once that is on the disk.
    pub(super) fn ended(&self, state: State, cause: Option<Cause>) {
        match (state, cause) {
            (State::Queued | State::Relaying, Some(cause)) => self.retries.with_label_values(&[cause.name()]).inc(),
            // A revocation: nothing is sent again.
            (State::Queued | State::Relaying, None) => {}
            _ => self.settled(state).inc(),
        }
    }

    fn settled(&self, state: State) -> prometheus::IntCounter {
        self.settled.with_label_values(&[state.name()])
    }
}

/// How a send ended that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Conflict,
    Judged,
    NoAnswer,
    NoVerdict,
    Receipted,
    Revoked,
}

impl Sent {
    const ALL: [Self; 6] =
        [Self::Conflict, Self::Judged, Self::NoAnswer, Self::NoVerdict, Self::Receipted, Self::Revoked];

    const fn name(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Judged => "judged",
            Self::NoAnswer => "no_answer",
            Self::NoVerdict => "no_verdict",
            Self::Receipted => "receipted",
            Self::Revoked => "revoked",
        }
    }
}

/// Why an event is to be sent again. A closed list: what a receiver answers makes no label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// What came back is no answer, or a 2xx that is no receipt.
    BadAnswer,
    Http4xx,
    Http5xx,
    HttpOther,
    /// The receiver judged against the event.
    Judged,
    /// No signature.
    KeyAway,
    /// The send broke off on our side.
    Other,
    Timeout,
    Tls,
    Unreachable,
}

impl Cause {
    const ALL: [Self; 10] = [
        Self::BadAnswer,
        Self::Http4xx,
        Self::Http5xx,
        Self::HttpOther,
        Self::Judged,
        Self::KeyAway,
        Self::Other,
        Self::Timeout,
        Self::Tls,
        Self::Unreachable,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::BadAnswer => "bad_answer",
            Self::Http4xx => "http_4xx",
            Self::Http5xx => "http_5xx",
            Self::HttpOther => "http_other",
            Self::Judged => "judged",
            Self::KeyAway => "key_away",
            Self::Other => "other",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Unreachable => "unreachable",
        }
    }

    /// Of an answer that says nothing about the event, by its status.
    pub(super) const fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::BadAnswer,
            400..=499 => Self::Http4xx,
            500..=599 => Self::Http5xx,
            _ => Self::HttpOther,
        }
    }

    /// Of a send without an answer.
    pub(super) const fn of_transport(error: TransportError) -> Self {
        use TransportError as E;
        match error {
            E::Certificate(_) | E::Tls => Self::Tls,
            E::Closed | E::Incomplete | E::NotHttp | E::Reset | E::TooLarge => Self::BadAnswer,
            E::Connect(_) | E::ConnectTimeout | E::Dns | E::Proxy => Self::Unreachable,
            E::Timeout => Self::Timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(metrics: &Metrics, cause: Cause) -> u64 {
        metrics.retries.with_label_values(&[cause.name()]).get()
    }

    #[test]
    fn a_judgement_is_a_retry_until_it_is_the_last_one() {
        let metrics = Metrics::default();
        metrics.ended(State::Queued, Some(Cause::Judged));
        assert_eq!((retries(&metrics, Cause::Judged), metrics.settled(State::Dead).get()), (1, 0));
        metrics.ended(State::Dead, Some(Cause::Judged));
        assert_eq!((retries(&metrics, Cause::Judged), metrics.settled(State::Dead).get()), (1, 1));
    }

    #[test]
    fn after_a_revocation_nothing_is_tried_again() {
        let metrics = Metrics::default();
        metrics.ended(State::Queued, None);
        assert!(Cause::ALL.iter().all(|cause| retries(&metrics, *cause) == 0));
    }

    #[test]
    fn every_status_has_a_cause_of_the_closed_list() {
        let causes: Vec<_> = [200, 299, 302, 401, 429, 500, 503, 599, 100, 999].map(Cause::of_status).into();
        let (bad, client, server, other) = (Cause::BadAnswer, Cause::Http4xx, Cause::Http5xx, Cause::HttpOther);
        assert_eq!(causes, [bad, bad, other, client, client, server, server, server, other, other]);
    }
}
