use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};

use super::router::Broken;

/// The body of an answer: its length is promised first, and not every one keeps the promise.
#[derive(Debug)]
pub(super) struct Body {
    promised: u64,
    chunk: Bytes,
    /// How often the chunk is still to be sent.
    repeats: u64,
    then: Then,
}

/// What comes after the last chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Break,
    /// Lets what was sent go out before the connection breaks.
    BreakAfterFlush,
    End,
    Stall,
}

impl Body {
    /// All of it.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        let chunk = bytes.into();
        Self { promised: chunk.len() as u64, repeats: u64::from(!chunk.is_empty()), chunk, then: Then::End }
    }

    /// Half of it; then the connection breaks.
    pub(super) fn broken(bytes: impl Into<Bytes>) -> Self {
        Self::half(bytes.into(), Then::BreakAfterFlush)
    }

    /// Half of it; then nothing more, until the client goes.
    pub(super) fn stalled(bytes: impl Into<Bytes>) -> Self {
        Self::half(bytes.into(), Then::Stall)
    }

    /// 2 GiB of spaces, as fast as the client reads them.
    pub(super) fn huge() -> Self {
        let chunk = Bytes::from_static(&[b' '; 64 * 1024]);
        let repeats = 32 * 1024;
        Self { promised: repeats * chunk.len() as u64, chunk, repeats, then: Then::End }
    }

    fn half(bytes: Bytes, then: Then) -> Self {
        Self { promised: bytes.len() as u64, chunk: bytes.slice(..bytes.len() / 2), repeats: 1, then }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.repeats > 0 {
            self.repeats -= 1;
            self.promised -= self.chunk.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(self.chunk.clone()))));
        }
        match self.then {
            Then::Break => Poll::Ready(Some(Err(Broken))),
            Then::BreakAfterFlush => {
                self.then = Then::Break;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Then::End => Poll::Ready(None),
            // Nothing wakes this again; the connection sees by itself that the client has gone.
            Then::Stall => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.repeats == 0 && self.then == Then::End
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.promised)
    }
}
