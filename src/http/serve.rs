use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Body;
use super::timed::Timed;

/// Connections at once. Others wait until the system lets them in.
pub(super) const CONNECTIONS: usize = 256;

/// The longest head of a request, in bytes, and as much of a body as is read at once.
const BUFFER: usize = 64 * 1024;

/// How long a peer is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the head of a request, and for the next request on a connection.
    pub head: Duration,
    /// For the peer to take more of an answer.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: Duration::from_secs(30), answer: Duration::from_secs(30) }
    }
}

/// Where connections come in.
pub(super) trait Door: Send + Sync {
    type Connection: Send + 'static;

    /// Takes the next one.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

/// Whoever was let in.
pub(super) struct Guest<S, P, L> {
    pub(super) stream: S,
    pub(super) peer: P,
    /// Their place among others, until it is dropped.
    pub(super) let_in: L,
}

/// Answers requests by `handler` until `stop` holds true, or its sender is gone. Then nobody is let in any more,
/// connections that wait for a next request are closed, and it returns once what is under way is answered.
///
/// `greet` finds out whose it is: `None` is nobody's, and closed. Every
/// connection is a task of its own; those that are left end when this is dropped.
pub(super) async fn serve<D, S, P, L, G, GF, H, HF>(
    door: D,
    greet: G,
    patience: Patience,
    handler: H,
    mut stop: watch::Receiver<bool>,
) where
    D: Door,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    P: Clone + Send + Sync + 'static,
    L: Send + 'static,
    G: Fn(D::Connection) -> GF,
    GF: Future<Output = Option<Guest<S, P, L>>> + Send + 'static,
    H: Fn(P, Request<Incoming>) -> HF + Clone + Send + Sync + 'static,
    HF: Future<Output = Response<Body>> + Send,
{
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let stopped = stop.clone();
    let mut asked = pin!(async move {
        // A sender that is gone asks as well.
        let _ = stop.wait_for(|stop| *stop).await;
    });
    loop {
        let next = async {
            // Nobody closes the semaphore.
            let place = room.clone().acquire_owned().await.ok();
            (door.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            biased;
            () = &mut asked => break,
            next = next => next,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok(connection) => {
                let (greeting, handler, stopped) = (greet(connection), handler.clone(), stopped.clone());
                connections.spawn(async move {
                    let _place = place;
                    if let Some(Guest { stream, peer, let_in }) = greeting.await {
                        let _let_in = let_in;
                        converse(stream, peer, patience, handler, stopped).await;
                    }
                });
            }
            // Out of file descriptors, most likely: something has to end before the next can be taken.
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
    // Whoever comes now finds nobody, in place of waiting.
    drop(door);
    while connections.join_next().await.is_some() {}
}

/// One connection. How it ends is its client's affair.
async fn converse<S, P, H, F>(stream: S, peer: P, patience: Patience, handler: H, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    P: Clone,
    H: Fn(P, Request<Incoming>) -> F,
    F: Future<Output = Response<Body>>,
{
    let service = service_fn(|request| {
        let answer = handler(peer.clone(), request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience.head).max_buf_size(BUFFER);
    let stream = TokioIo::new(Timed::new(stream, patience.answer));
    let mut connection = pin!(http.serve_connection(stream, service));
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
