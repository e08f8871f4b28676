use std::sync::Arc;

use tracing::Span;

use crate::facts::random_id;

/// A wish to have something spooled, by its name in the logs.
#[derive(Debug)]
pub struct Request {
    pub(super) id: Arc<str>,
    pub(super) span: Span,
}

impl Default for Request {
    fn default() -> Self {
        Self::new()
    }
}

impl Request {
    /// With an id of its own.
    pub fn new() -> Self {
        Self::named(random_id("req_").into())
    }

    /// For one event more of the same request.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self::named(self.id.clone())
    }

    fn named(id: Arc<str>) -> Self {
        // At error, so that a warning within it names the request whatever the level. Its event is known once it is
        // spooled.
        let span = tracing::error_span!("ingest", request = &*id, event = tracing::field::Empty);
        Self { id, span }
    }
}

/// Neighbours that are of one request: the place of the first, and how many.
pub(super) fn runs(requests: &[Request]) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    requests.chunk_by(|a, b| a.id == b.id).map(move |run| {
        at += run.len();
        (at - run.len(), run.len())
    })
}
