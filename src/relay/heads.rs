use super::{Client, TransportError};
use crate::protocol::json::{JsonError, Object};

/// The longest page of heads that is read.
const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;

/// What another witness has witnessed last of each stream that it shows us (section 6, ours). It is read as it came:
/// whoever asked judges what it is worth.
#[derive(Debug, Clone)]
pub struct Heads {
    client: Client,
}

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadsError {
    /// What came is no JSON object.
    #[error("its answer does not read: {0}")]
    Json(#[from] JsonError),
    /// Another status than 200 came.
    #[error("it answered {0}")]
    Status(u16),
    /// No answer came.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl Heads {
    /// The heads at the endpoint of `client`.
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// The page behind `after`. Asks once: follows no redirect and retries nothing.
    pub async fn after(&self, after: i64) -> Result<Object, HeadsError> {
        let answer = self.client.get(&format!("after={after}"), MAX_PAGE_BYTES).await?;
        if answer.status != 200 {
            return Err(HeadsError::Status(answer.status));
        }
        Ok(answer.object()?)
    }
}
