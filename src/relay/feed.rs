use std::time::Duration;

use super::retry::{probe_delay, random};
use super::{Client, RetryAfter, TransportError};
use crate::facts::Timestamp;
use crate::protocol::json::JsonError;
use crate::protocol::witness::{Page, PageError};

/// The longest page of a feed that is read.
pub const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;

/// A feed of submissions for a witness (section 6).
#[derive(Debug, Clone)]
pub struct Feed {
    client: Client,
    witness_id: String,
}

/// Why there is no page. Nothing of it was taken; the same is asked for again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// What came is no JSON object.
    #[error("the feed's page does not read: {0}")]
    Json(#[from] JsonError),
    /// What came is no page.
    #[error("the feed's page is refused: {0}")]
    Page(#[from] PageError),
    /// Another status than 200 came.
    #[error("the feed answered {status}")]
    Status {
        /// Which status.
        status: u16,
        /// When the feed wants to be asked again.
        retry_after: Option<RetryAfter>,
    },
    /// No answer came.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl Feed {
    /// The feed at the endpoint of `client`, for this witness.
    pub fn new(client: Client, witness_id: &str) -> Self {
        Self { client, witness_id: witness_id.to_owned() }
    }

    /// The page of what comes after item `after`. Asks once: follows no redirect and retries nothing.
    pub async fn after(&self, after: i64) -> Result<Page, FeedError> {
        let answer = self.client.get(&format!("after={after}"), MAX_PAGE_BYTES).await?;
        if answer.status != 200 {
            return Err(FeedError::Status { status: answer.status, retry_after: answer.retry_after });
        }
        Ok(Page::from_object(&answer.object()?, after, &self.witness_id)?)
    }
}

impl FeedError {
    /// How long to leave the feed alone from `now` on, after so many failures in a row: as a parked receiver, and for as
    /// long as it asks for.
    pub fn wait(&self, failures: u32, now: Timestamp) -> Duration {
        let asked = match self {
            Self::Status { retry_after: Some(after), .. } => after.wait(now),
            _ => Duration::ZERO,
        };
        probe_delay(failures, random()).max(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_is_left_alone_as_long_as_it_asks_and_longer_with_each_failure() {
        let now = Timestamp::from_millis(0);
        let refused = |after| FeedError::Status { status: 503, retry_after: after };
        let two_minutes = refused(Some(RetryAfter::After(Duration::from_secs(120))));
        assert_eq!(two_minutes.wait(1, now), Duration::from_secs(120));
        assert!(two_minutes.wait(9, now) >= Duration::from_secs(300));
        let silent = FeedError::Transport(TransportError::Timeout);
        assert!((2..=3).contains(&silent.wait(1, now).as_secs()) && silent.wait(4, now).as_secs() >= 16);
    }
}
