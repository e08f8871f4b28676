use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::cli::apart::apart;
use crate::cli::failure::Failure;
use crate::cli::follow::{Follow, Submit};
use crate::cli::stop::Stop;
use crate::cli::vault::Vault;
use crate::protocol::json::Object;
use crate::witness::{Counter, Request, Verdict, WitnessError};

/// Between two tries to open what is away.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Follows the feed for as long as the witness is open, and ends with the service. What is wrong is tried again; the
/// witness and the relay go on.
pub(super) async fn follow(vault: Arc<Vault>, counter: Arc<Counter>, forks: mpsc::Sender<Object>, mut stop: Stop) {
    let mut wait = FIRST;
    while !stop.is_asked() {
        let submit = AtTheCounter { counter: counter.clone(), forks: forks.clone() };
        match try_following(&vault, submit, &stop).await {
            Ok(()) => return,
            Err(failure) if failure.is_away() || failure.is_temporary() => {
                tracing::warn!(error = failure.message(), "the feed is not followed for now");
            }
            Err(failure) => {
                tracing::error!(error = failure.message(), "the feed is not followed");
                // Until an operator has mended it, which shows by itself.
                wait = LONGEST;
            }
        }
        stop.sleep(wait).await;
        wait = (wait * 2).min(LONGEST);
    }
}

/// Opening may block in a device.
async fn try_following(vault: &Arc<Vault>, submit: AtTheCounter, stop: &Stop) -> Result<(), Failure> {
    let opened = vault.clone();
    let opening = apart("follow", move |runtime| runtime.block_on(Follow::open(&opened, submit)));
    let follow = tokio::select! {
        follow = opening => follow??,
        () = stop.asked() => return Ok(()),
    };
    follow.run(vault, stop).await
}

/// Submissions of the feed, whose forks are told of as others are.
#[derive(Clone)]
struct AtTheCounter {
    counter: Arc<Counter>,
    forks: mpsc::Sender<Object>,
}

impl Submit for AtTheCounter {
    async fn submit(&self, request: Request) -> Result<Verdict, WitnessError> {
        let verdict = self.counter.desk.submit(request).await?;
        if let Verdict::Forked(evidence) = &verdict {
            // Where too many wait to be told of, it is kept all the same.
            let _ = self.forks.try_send(evidence.clone());
        }
        Ok(verdict)
    }
}
