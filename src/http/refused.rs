use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::header::EXPECT;
use hyper::http::request::Parts;
use tokio::time::timeout;

/// How long a refused body is read on.
const REFUSED: Duration = Duration::from_secs(2);

/// Reads what is left of a body that is refused, for a moment and so many bytes at most: a client that sends all of it
/// before it reads would find a closed connection in place of its answer, and whoever may do nothing gets no more work
/// done than that. One that waits to be asked for its body is not asked.
pub async fn pass_over(head: &Parts, body: &mut Incoming, most: usize) {
    if head.headers.contains_key(EXPECT) {
        return;
    }
    let read = async {
        let mut left = most;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            left = match left.checked_sub(length) {
                Some(left) => left,
                None => return,
            };
        }
    };
    // Whoever takes longer finds it closed.
    let _ = timeout(REFUSED, read).await;
}
