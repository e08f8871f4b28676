use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::geteuid;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::timed::Timed;
use super::users::Users;
use super::{Body, Listener, Peer};
use crate::ingest::rules::Rules;

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

impl Listener {
    /// Answers requests by `handler`, of few who stand in no `rules`, until `stop` holds true, or its sender is gone. Then nobody is let in any more,
    /// connections that wait for a next request are closed, and it returns once what is under way is answered.
    ///
    /// Every connection is a task of its own; those that are left end when this is dropped.
    pub async fn serve<H, F>(
        self,
        patience: Patience,
        rules: watch::Receiver<Arc<Rules>>,
        handler: H,
        mut stop: watch::Receiver<bool>,
    ) where
        H: Fn(Peer, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send,
    {
        let Self { listener, place } = self;
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let users = Users::new(rules, geteuid().as_raw());
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
                (listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                biased;
                () = &mut asked => break,
                next = next => next,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, _)) => {
                    // The kernel knows whose it is, or it is nobody's.
                    let Ok(credentials) = stream.peer_cred() else { continue };
                    let peer = Peer { uid: credentials.uid() };
                    let Some(let_in) = users.let_in(peer.uid) else { continue };
                    let (handler, stopped) = (handler.clone(), stopped.clone());
                    connections.spawn(async move {
                        let _held = (place, let_in);
                        converse(stream, peer, patience, handler, stopped).await;
                    });
                }
                // Out of file descriptors, most likely: something has to end before the next can be taken.
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
        drop(place);
    }
}

/// One connection. How it ends is its client's affair.
async fn converse<H, F>(stream: UnixStream, peer: Peer, patience: Patience, handler: H, mut stop: watch::Receiver<bool>)
where
    H: Fn(Peer, Request<Incoming>) -> F,
    F: Future<Output = Response<Body>>,
{
    let service = service_fn(|request| {
        let answer = handler(peer, request);
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
