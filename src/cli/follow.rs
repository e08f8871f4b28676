//! A witness that only goes out: fetches submissions from a feed, and posts what it signed out of a spool of its own.
//! Neither of the two waits for the other, and neither for the relay.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::failure::Failure;
use super::stop::Stop;
use super::vault::Vault;
use crate::config::FEED;
use crate::facts::Clock;
use crate::protocol::json::Object;
use crate::protocol::witness::{Item, Submission};
use crate::relay::{Feed, Outbox, Step};
use crate::store::StoreError;
use crate::witness::{Request, StreamName, Verdict, WitnessError};

/// Where submissions of the feed are brought to.
pub(super) trait Submit: Clone + Send + Sync + 'static {
    fn submit(&self, request: Request) -> impl Future<Output = Result<Verdict, WitnessError>> + Send;
}

/// The feed, the outbox, and who signs.
pub(super) struct Follow<S> {
    witness_id: String,
    feed: Feed,
    outbox: Arc<Outbox>,
    submit: S,
    clock: Arc<dyn Clock>,
    idle: Duration,
    /// Rings when something is to be posted.
    wake: Notify,
}

/// Between two tries to post what is away.
const LONGEST: Duration = Duration::from_secs(30);

impl<S: Submit> Follow<S> {
    /// Opens the outbox. Blocks on the disk, and on the device that opens it.
    pub(super) async fn open(vault: &Vault, submit: S) -> Result<Self, Failure> {
        let witness_id = vault.witness_id()?.to_owned();
        let feed = Feed::new(vault.feed_client()?, &witness_id);
        let idle = Duration::try_from_secs_f64(vault.settings.relay.idle_sleep).unwrap_or(LONGEST);
        let (clock, outbox) = (vault.clock.clone(), Arc::new(vault.outbox().await?));
        Ok(Self { witness_id, feed, outbox, submit, clock, idle, wake: Notify::new() })
    }

    /// Fetches, signs and posts until asked to end, or until something fails on this side. Then neither goes on alone, and
    /// whoever begins anew opens the outbox anew. A feed or a receiver that is away is waited for.
    pub(super) async fn run(&self, vault: &Vault, stop: &Stop) -> Result<(), Failure> {
        tokio::try_join!(self.fetch(stop.clone()), self.post(vault, stop.clone())).map(|_| ())
    }

    /// Fetches and signs what there is now, and posts it, once. What was signed before is posted also where the feed is
    /// away. Gives how many items were read.
    pub(super) async fn once(&self, vault: &Vault) -> Result<usize, Failure> {
        let read = self.fetch_once().await;
        let mut drain = vault.outbox_drain(&self.outbox).await?;
        while let Step::Settled(_) = drain.next(usize::MAX).await? {}
        read
    }

    async fn fetch_once(&self) -> Result<usize, Failure> {
        let mut after = self.outbox.position().await?;
        let mut read = 0;
        loop {
            let page = self.feed.after(after).await.map_err(|e| Failure::unavailable(e.to_string(), TRY_AGAIN))?;
            if page.items.is_empty() {
                return Ok(read);
            }
            read += page.items.len();
            if let Some(e) = self.take(page.items).await? {
                return Err(e.into());
            }
            after = page.next;
        }
    }

    async fn fetch(&self, mut stop: Stop) -> Result<(), Failure> {
        // What the feed says of its own end holds for as long as the process runs, and no longer.
        let mut after = self.outbox.position().await?;
        let mut failures = 0;
        while !stop.is_asked() {
            let page = tokio::select! {
                page = self.feed.after(after) => page,
                () = stop.asked() => return Ok(()),
            };
            let wait = match page {
                Ok(page) if page.items.is_empty() => {
                    (after, failures) = (page.next, 0);
                    self.idle
                }
                Ok(page) => {
                    let failure = match self.take(page.items).await {
                        Ok(None) => None,
                        // Whoever signs has ended, and answers no more: it is to be opened anew.
                        Ok(Some(e @ WitnessError::Store(StoreError::Stopped))) => return Err(e.into()),
                        Ok(Some(e)) => Some(Failure::from(e)),
                        Err(failure) => Some(failure),
                    };
                    if let Some(failure) = failure {
                        tracing::warn!(error = failure.message(), "what the feed gave is not signed");
                        after = self.outbox.position().await?;
                        LONGEST
                    } else {
                        (after, failures) = (page.next, 0);
                        Duration::ZERO
                    }
                }
                Err(e) => {
                    failures += 1;
                    tracing::warn!(error = %e, "the feed gives nothing");
                    e.wait(failures, self.clock.now())
                }
            };
            stop.sleep(wait).await;
        }
        Ok(())
    }

    /// Signs a page, stream by stream, and spools the answers. Gives why the first could not be answered now that could
    /// not: what comes behind it is read again.
    async fn take(&self, items: Vec<Item>) -> Result<Option<WitnessError>, Failure> {
        let numbers: Vec<i64> = items.iter().map(|item| item.n).collect();
        let mut streams: BTreeMap<StreamName, Vec<(i64, Submission)>> = BTreeMap::new();
        for Item { n, submission } in items {
            match submission {
                // With first use accepted its stream would be begun here, in another witness's name.
                Ok(submission) if submission.witness_id != self.witness_id => {
                    tracing::warn!(item = n, error = "it is for another witness", "an item of the feed is passed over");
                }
                Ok(submission) => streams.entry(StreamName::from(&submission)).or_default().push((n, submission)),
                Err(why) => tracing::warn!(item = n, error = %why, "an item of the feed is passed over"),
            }
        }
        let mut signing = JoinSet::new();
        for submissions in streams.into_values() {
            let submit = self.submit.clone();
            signing.spawn(async move { sign(&submit, submissions).await });
        }
        let mut answers: BTreeMap<i64, Result<Object, WitnessError>> = BTreeMap::new();
        while let Some(signed) = signing.join_next().await {
            answers.extend(signed.map_err(|_| Failure::software("signing a page broke off"))?);
        }
        let (mut lines, mut position, mut failed) = (Vec::new(), None, None);
        for n in numbers {
            match answers.remove(&n) {
                Some(Err(e)) if is_for_now(&e) => {
                    failed = Some(e);
                    break;
                }
                Some(Err(e)) => tracing::warn!(item = n, error = %e, "an item of the feed is passed over"),
                Some(Ok(line)) => lines.push((n, line)),
                None => {}
            }
            position = Some(n);
        }
        if let Some(position) = position {
            self.outbox.read_up_to(position, lines).await?;
            self.wake.notify_one();
        }
        Ok(failed)
    }

    async fn post(&self, vault: &Vault, mut stop: Stop) -> Result<(), Failure> {
        let mut drain = vault.outbox_drain(&self.outbox).await?;
        loop {
            let budget = if stop.is_asked() { 0 } else { usize::MAX };
            match drain.next(budget).await? {
                Step::Settled(_) => {}
                Step::Idle { .. } if stop.is_asked() => return Ok(()),
                Step::Idle { until, .. } => {
                    let left =
                        until.map(|until| until.as_millis().saturating_sub(self.clock.now().as_millis()).max(10));
                    let time = left.map_or(LONGEST, |left| LONGEST.min(Duration::from_millis(left.unsigned_abs())));
                    tokio::select! {
                        () = stop.sleep(time) => {}
                        () = self.wake.notified() => {}
                    }
                }
            }
        }
    }
}

/// The submissions of one stream, one behind the other, up to the first that cannot be answered now.
async fn sign(submit: &impl Submit, submissions: Vec<(i64, Submission)>) -> Vec<(i64, Result<Object, WitnessError>)> {
    let mut answers = Vec::with_capacity(submissions.len());
    for (n, submission) in submissions {
        let answer = submit.submit(Request::new(submission, FEED)).await.map(|verdict| verdict.to_object());
        let ends = answer.as_ref().is_err_and(is_for_now);
        answers.push((n, answer));
        if ends {
            break;
        }
    }
    answers
}

/// Whether the same submission may be answered later. Everything else is refused for good: what is damaged stays so, and
/// nothing that waits behind it would ever be read.
fn is_for_now(error: &WitnessError) -> bool {
    use crate::protocol::witness::Refusal;
    !matches!(
        error,
        WitnessError::Damaged(_)
            | WitnessError::Submission(_)
            | WitnessError::Refused(
                Refusal::BelowFloor
                    | Refusal::Jump
                    | Refusal::NotSigned
                    | Refusal::NotTheSubmitter
                    | Refusal::UnknownStream
            )
    )
}

const TRY_AGAIN: &str = "What was read before is kept. Try again.";
