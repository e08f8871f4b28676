//! What producers ask for over the local socket (`docs/ingest.md`, and the OpenAPI document that is served).

mod batch;
mod body;
mod log;
mod path;
mod reply;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_blocking;

use super::refusal::{Code, Refusal};
use super::rules::Rules;
use super::{Attestor, Ingest, Request as Wish, Submission, check_id};
use crate::http::socket::Peer;
use crate::http::{Body, Share, Shares, pass_over};
use crate::ingest::LONGEST_LINE;
use crate::spool::Enqueued;
use batch::Batch;
use body::{EVENT, NDJSON, Room, SMALL};
use path::Route;
use reply::Reply;

/// The OpenAPI document.
pub const OPENAPI: &str = include_str!("api/openapi.json");

/// Batches at once. Others wait.
const BATCHES: usize = 16;

/// Batches of one user at once. Further ones are refused for now.
const BATCHES_OF_ONE: usize = BATCHES / 2;

/// Long lines that are parsed at once. The text of one becomes many times its length in memory.
const LONG: usize = 2;

/// Where events are brought to. It may not be there yet, or be away for a while.
#[derive(Debug)]
pub struct Desk {
    /// Spools.
    pub ingest: Ingest,
    /// Signs; `None` where no key for source attestations is configured.
    pub attestor: Option<Attestor>,
}

/// Answers producers.
#[derive(Debug)]
pub struct Api {
    shared: Arc<Shared>,
    room: Room,
    batches: Arc<Semaphore>,
    shares: Arc<Shares<u32>>,
}

/// A batch's place among the others, until it is dropped.
#[derive(Debug)]
struct Place {
    _place: OwnedSemaphorePermit,
    _share: Share<u32>,
}

/// What outlives a request: a batch goes on while its answer is already on its way.
#[derive(Debug)]
struct Shared {
    desk: watch::Receiver<Option<Arc<Desk>>>,
    rules: watch::Receiver<Arc<Rules>>,
    stop: watch::Receiver<bool>,
    patience: Duration,
    /// Turns of long lines that are parsed.
    long: Arc<Semaphore>,
}

impl Api {
    /// While there is no desk, events are refused with 503. `stop` holds true once the service ends, and from then on
    /// nobody is waited for who was answered. Whoever ends it takes the desk away, so that a batch that is under way
    /// ends as well. `patience`: how long a body is waited for, and a line of a batch.
    pub fn new(
        desk: watch::Receiver<Option<Arc<Desk>>>,
        rules: watch::Receiver<Arc<Rules>>,
        stop: watch::Receiver<bool>,
        patience: Duration,
    ) -> Self {
        let shared = Shared { desk, rules, stop, patience, long: Arc::new(Semaphore::new(LONG)) };
        let shared = Arc::new(shared);
        let (batches, shares) = (Arc::new(Semaphore::new(BATCHES)), Shares::new(BATCHES_OF_ONE));
        Self { shared, room: Room::new(patience), batches, shares }
    }

    /// The answer to a request; the request itself where its path is none of this API.
    pub async fn answer(&self, peer: Peer, request: Request<Incoming>) -> Result<Response<Body>, Request<Incoming>> {
        let Some(route) = Route::of(request.uri().path()) else { return Err(request) };
        let asked = (request.method() == Method::POST, request.method() == Method::GET);
        Ok(match (route, asked) {
            (Ok(Route::Events), (true, _)) => self.one(peer, request).await.into(),
            (Ok(Route::Batch), (true, _)) => self.batch(peer, request).await,
            (Ok(Route::Event { stream_id, source_ref }), (_, true)) => {
                self.look_up(peer, stream_id, source_ref).await.into()
            }
            (Ok(Route::OpenApi), (_, true)) => reply::document(OPENAPI),
            (Ok(Route::Events | Route::Batch), _) => reply::not_allowed("POST"),
            (Ok(Route::Event { .. } | Route::OpenApi), _) => reply::not_allowed("GET"),
            (Err(refusal), _) => Reply::from(refusal).into(),
        })
    }

    async fn one(&self, peer: Peer, request: Request<Incoming>) -> Reply {
        let (head, mut body) = request.into_parts();
        let submitted = match self.begin(peer, &head, &body) {
            Ok(_place) => self.submit(peer, body).await,
            Err(refusal) => {
                pass_over(&head, &mut body, LONGEST_LINE).await;
                Err(refusal)
            }
        };
        submitted.unwrap_or_else(|refusal| refused(peer, refusal))
    }

    /// What is refused before anything of the body is read.
    fn begin(&self, peer: Peer, head: &Parts, body: &Incoming) -> Result<body::Place, Refusal> {
        self.shared.check_peer(peer)?;
        body::check_type(head, EVENT)?;
        self.room.take(peer.uid, body)
    }

    async fn submit(&self, peer: Peer, body: Incoming) -> Result<Reply, Refusal> {
        let body = self.room.read(body).await?;
        self.shared.rules().take(peer.uid).map_err(Refusal::quota)?;
        let submission = if body.len() > SMALL {
            self.shared.admit_apart(peer, body).await?
        } else {
            self.shared.rules().admit(peer.uid, &body)?
        };
        let (stream_id, source_ref) = (submission.stream_id.clone(), submission.source_ref.clone());
        let desk = self.shared.desk()?;
        let prepared = submission.prepare(&desk.ingest, desk.attestor.as_ref(), Some(peer.uid), Wish::new()).await?;
        let enqueued = desk.ingest.spool(prepared).await?;
        Ok(Reply::event(&stream_id, &source_ref, &enqueued))
    }

    async fn batch(&self, peer: Peer, request: Request<Incoming>) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        match self.begin_batch(peer, &head).await {
            Ok(place) => Batch::start(self.shared.clone(), peer, body, place),
            Err(refusal) => {
                pass_over(&head, &mut body, LONGEST_LINE).await;
                refused(peer, refusal).into()
            }
        }
    }

    async fn begin_batch(&self, peer: Peer, head: &Parts) -> Result<Place, Refusal> {
        self.shared.check_peer(peer)?;
        body::check_type(head, NDJSON)?;
        self.shared.desk()?;
        let busy = || Refusal::new(Code::Busy, "too many batches at once; nothing was spooled");
        let share = self.shares.take(peer.uid).ok_or_else(busy)?;
        let place = tokio::time::timeout(self.shared.patience, self.batches.clone().acquire_owned()).await;
        // Nobody closes the semaphore.
        let place = place.ok().and_then(Result::ok).ok_or_else(busy)?;
        Ok(Place { _place: place, _share: share })
    }

    async fn look_up(&self, peer: Peer, stream_id: String, source_ref: String) -> Reply {
        let unknown = || Refusal::new(Code::NotFound, "no such event that this user may see");
        let found: Result<Option<Enqueued>, Refusal> = async {
            check_id("stream_id", &stream_id)?;
            check_id("source_ref", &source_ref)?;
            // Whether there is one is not looked at for whoever may not know.
            if !self.shared.rules().allows(peer.uid, &stream_id, &source_ref) {
                return Ok(None);
            }
            Ok(self.shared.desk()?.ingest.find(&stream_id, &source_ref).await?)
        }
        .await;
        match found.and_then(|found| found.ok_or_else(unknown)) {
            Ok(enqueued) => Reply::event(&stream_id, &source_ref, &enqueued),
            Err(refusal) => refused(peer, refusal),
        }
    }
}

/// Tells the log, and answers.
fn refused(peer: Peer, refusal: Refusal) -> Reply {
    log::tell(peer, &refusal);
    refusal.into()
}

impl Shared {
    fn rules(&self) -> Arc<Rules> {
        self.rules.borrow().clone()
    }

    fn desk(&self) -> Result<Arc<Desk>, Refusal> {
        let without = || if *self.stop.borrow() { Refusal::stopping() } else { Refusal::away() };
        self.desk.borrow().clone().ok_or_else(without)
    }

    /// Returns when the service ends.
    async fn stopping(&self) {
        // A sender that is gone asks as well.
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }

    /// Returns when nothing is taken any more.
    async fn closed(&self) {
        self.stopping().await;
        let _ = self.desk.clone().wait_for(Option::is_none).await;
    }

    /// What is submitted with a long body or line. It is parsed apart from the threads that serve everybody, in its turn.
    async fn admit_apart(&self, peer: Peer, line: Bytes) -> Result<Submission, Refusal> {
        // Nobody closes the semaphore.
        let turn = self.long.clone().acquire_owned().await.ok();
        let rules = self.rules();
        let admitted = spawn_blocking(move || {
            let _turn = turn;
            rules.admit(peer.uid, &line)
        });
        let broken = |_| Err(Refusal::new(Code::Internal, "the event could not be read"));
        admitted.await.unwrap_or_else(broken)
    }

    /// Refuses whoever may submit nothing at all, before anything of theirs is read.
    fn check_peer(&self, peer: Peer) -> Result<(), Refusal> {
        if self.rules().knows(peer.uid) { Ok(()) } else { Err(Refusal::not_allowed()) }
    }
}
