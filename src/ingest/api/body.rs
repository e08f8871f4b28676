use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::http::request::Parts;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::Shared;
use crate::http::{Share, Shares};
use crate::ingest::LONGEST_LINE;
use crate::ingest::refusal::{Code, Refusal};

/// The type of one event.
pub(super) const EVENT: &str = "application/json";
/// The type of many.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// A body, or a line, that needs no more memory than its connection has in any case.
pub(super) const SMALL: usize = 64 * 1024;

/// Longer bodies of single events that are in memory at once, in KiB.
const ROOM: usize = 48 * 1024;

/// Of one user: the longest event there is.
const ROOM_OF_ONE: usize = LONGEST_LINE / 1024;

/// The memory for the longer bodies of single events. Each takes its part before it is read; the usual event waits for
/// nobody.
#[derive(Debug)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    shares: Arc<Shares<u32>>,
    patience: Duration,
}

/// A body's place in memory, until it is dropped; none for a short one.
pub(super) type Place = Option<(OwnedSemaphorePermit, Share<u32>)>;

impl Room {
    pub(super) fn new(patience: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(ROOM)), shares: Shares::new(ROOM_OF_ONE), patience }
    }

    /// A place for a body of a length that was said before. Where there is no room now, it is refused for now.
    pub(super) fn take(&self, uid: u32, body: &Incoming) -> Result<Place, Refusal> {
        let unknown = || Refusal::new(Code::LengthRequired, "the request does not say how long its body is");
        let length = body.size_hint().exact().ok_or_else(unknown)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST_LINE);
        let length = length.ok_or_else(Refusal::too_large)?;
        if length <= SMALL {
            return Ok(None);
        }
        let busy = || Refusal::new(Code::Busy, "too many long events at once; nothing was spooled");
        let kibibytes = length.div_ceil(1024);
        let share = self.shares.take_many(uid, kibibytes).ok_or_else(busy)?;
        let kibibytes = u32::try_from(kibibytes).unwrap_or(u32::MAX);
        let place = self.places.clone().try_acquire_many_owned(kibibytes).map_err(|_| busy())?;
        Ok(Some((place, share)))
    }

    /// The whole body.
    pub(super) async fn read(&self, body: Incoming) -> Result<Bytes, Refusal> {
        let late = || Refusal::new(Code::BodyTimeout, "the body did not come in time");
        // A client that goes away in the middle is told nothing any more.
        let body = timeout(self.patience, body.collect()).await.ok().and_then(Result::ok).ok_or_else(late)?;
        Ok(body.to_bytes())
    }
}

/// Refuses a body of another type, or one that is encoded besides.
pub(super) fn check_type(head: &Parts, expected: &'static str) -> Result<(), Refusal> {
    let given = head.headers.get(CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    if !given.eq_ignore_ascii_case(expected) {
        return Err(Refusal::new(Code::TypeUnsupported, format!("the Content-Type must be {expected}")));
    }
    if head.headers.contains_key(CONTENT_ENCODING) {
        return Err(Refusal::new(Code::TypeUnsupported, "a Content-Encoding is not understood"));
    }
    Ok(())
}

/// How long a client that was answered may go on sending while the service ends.
const LEAVE: Duration = Duration::from_secs(2);

/// Reads what is left of a body and looks at nothing of it, for so long: a client that sends all of it before it reads
/// would find a closed connection in place of its answer.
pub(super) async fn pass_over(body: &mut Incoming, shared: &Shared) {
    let read = async { while let Some(Ok(_)) = body.frame().await {} };
    let ends = async {
        shared.stopping().await;
        sleep(LEAVE).await;
    };
    // Whoever takes longer finds it closed.
    tokio::select! {
        () = read => {}
        () = sleep(shared.patience) => {}
        () = ends => {}
    }
}
