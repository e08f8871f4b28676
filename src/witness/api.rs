//! What submitters ask for (`docs/witness-api.md`, and the OpenAPI document that is served).

mod body;
mod route;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::callers::{Caller, Callers, Peer};
use super::counter::{Counter, Presence};
use super::metrics::Metrics;
use super::refusal::{Code, Refusal};
use super::{Change, Verdict, WitnessError};
use crate::http::{Body, JSON, respond};
use crate::protocol::json::Object;
use route::{Query, Route};

/// The OpenAPI document.
pub const OPENAPI: &str = include_str!("api/openapi.json");

/// Requests at once, each with a body in memory. Further ones are refused for now.
const AT_ONCE: usize = 512;

/// Receipts, or bundles of evidence, of one page at most, and where nobody says how many.
const LONGEST_PAGE: usize = 500;
const PAGE: usize = 100;

/// Answers submitters and relying parties.
#[derive(Debug)]
pub struct Api {
    presence: watch::Receiver<Presence>,
    callers: Arc<Callers>,
    /// Told of fork evidence, when it was signed.
    forks: mpsc::Sender<Object>,
    metrics: Metrics,
    patience: Duration,
    places: Arc<Semaphore>,
}

/// What goes well: a status and an object.
type Answer = Result<(StatusCode, Object), Refusal>;

impl Api {
    /// While the witness is away or stopped, requests are refused with 503. `patience`: how long a body is waited for.
    pub fn new(
        presence: watch::Receiver<Presence>,
        callers: Arc<Callers>,
        forks: mpsc::Sender<Object>,
        metrics: Metrics,
        patience: Duration,
    ) -> Self {
        Self { presence, callers, forks, metrics, patience, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The answer to a request; the request itself where its path is none of this API.
    pub async fn answer(&self, peer: Peer, request: Request<Incoming>) -> Result<Response<Body>, Request<Incoming>> {
        let Some(route) = Route::of(request.uri().path()) else { return Err(request) };
        let route = match route {
            Ok(route) if route.method() == request.method().as_str() => route,
            Ok(route) => return Ok(not_allowed(route.method())),
            Err(refusal) => return Ok(refused(&refusal)),
        };
        if route == Route::OpenApi {
            return Ok(respond(StatusCode::OK, JSON, OPENAPI));
        }
        let answer = if request.method() == Method::POST {
            self.take(peer, &route, request).await
        } else {
            self.look_up(peer, route, request.uri().query()).await
        };
        Ok(match answer {
            Ok((status, object)) => respond(status, JSON, object.to_canonical()),
            Err(refusal) => refused(&refusal),
        })
    }

    /// What comes with a body.
    async fn take(&self, peer: Peer, route: &Route, request: Request<Incoming>) -> Answer {
        let (head, mut body) = request.into_parts();
        let begun = self.begin(peer).and_then(|begun| body::check(&head, &body).map(|()| begun));
        let (_place, caller) = match begun {
            Ok(begun) => begun,
            Err(refusal) => {
                self.note(route, &refusal);
                body::pass_over(&head, &mut body).await;
                return Err(refusal);
            }
        };
        let taken = match body::read(&mut body, self.patience).await {
            Ok(object) if *route == Route::Changes => return self.change(peer, &object).await,
            Ok(object) => self.request(&caller, &object),
            Err(refusal) => {
                if refusal.code == Code::BodyTooLarge {
                    body::pass_over(&head, &mut body).await;
                }
                Err(refusal)
            }
        };
        match taken {
            Ok((counter, request)) => self.submit(&counter, request).await,
            Err(refusal) => {
                self.note(route, &refusal);
                Err(refusal)
            }
        }
    }

    /// What is refused before anything of a body is read.
    fn begin(&self, peer: Peer) -> Result<(OwnedSemaphorePermit, Arc<Caller>), Refusal> {
        let caller = self.callers.find(peer).ok_or_else(|| {
            self.metrics.stranger();
            Refusal::not_allowed()
        })?;
        if let Some(quota) = &caller.quota {
            quota.take(Instant::now()).map_err(Refusal::quota)?;
        }
        let busy = |_| Refusal::new(Code::Busy, "too many requests at once; nothing was signed");
        Ok((self.places.clone().try_acquire_owned().map_err(busy)?, caller.clone()))
    }

    /// A submission that its caller may make. Nothing is looked up for it.
    fn request(&self, caller: &Caller, object: &Object) -> Result<(Arc<Counter>, super::Request), Refusal> {
        let counter = self.counter()?;
        let request = body::submission(object, &counter.witness_id, &caller.name)?;
        let may = caller.speaks_for(&request.submission.tenant_id);
        if may { Ok((counter, request)) } else { Err(Refusal::not_allowed()) }
    }

    async fn submit(&self, counter: &Counter, request: super::Request) -> Answer {
        let verdict = counter.desk.submit(request).await.map_err(told)?;
        let status = match &verdict {
            Verdict::Accepted(_) => StatusCode::CREATED,
            Verdict::Replayed(_) => StatusCode::OK,
            Verdict::Forked(evidence) => {
                // Where too many wait to be told of, it is kept all the same.
                let _ = self.forks.try_send(evidence.clone());
                StatusCode::CONFLICT
            }
        };
        Ok((status, verdict.to_object()))
    }

    async fn change(&self, peer: Peer, object: &Object) -> Answer {
        if !self.callers.is_operator(peer) {
            return Err(Refusal::not_allowed());
        }
        let counter = self.counter()?;
        let change = Change::from_object(object, &counter.witness_id);
        let change = change.map_err(|e| Refusal::new(Code::BodyInvalid, e.to_string()))?;
        if let Change::AddStream { stream, .. } | Change::Reoriginate { stream, .. } = &change
            && stream.witness_id != counter.witness_id
        {
            return Err(Refusal::new(Code::OtherWitness, "the change is addressed to another witness"));
        }
        counter.desk.change(change).await.map_err(told)?;
        Ok((StatusCode::OK, Object::new().with("changed", true)))
    }

    async fn look_up(&self, peer: Peer, route: Route, query: Option<&str>) -> Answer {
        let (_place, caller) = self.begin(peer)?;
        match route {
            Route::Checkpoint(id) => self.checkpoint(&caller, id, &Query::read(query, &["tenant_id"])?).await,
            Route::Forks => self.forks(&caller, &Query::read(query, &["after", "limit", "tenant_id"])?).await,
            Route::Heads => self.heads(&caller, &Query::read(query, &["after", "tenant_id"])?).await,
            Route::Identity => Ok((StatusCode::OK, self.counter()?.identity().await.map_err(told)?)),
            Route::Changes | Route::Checkpoints | Route::OpenApi => Err(no_path()),
        }
    }

    async fn checkpoint(&self, caller: &Caller, id: String, query: &Query) -> Answer {
        let (counter, tenants) = (self.counter()?, whose(caller, query)?);
        let found = counter.read(move |reader| reader.checkpoint(tenants.as_ref(), &id)).await.map_err(told)?;
        if found.is_empty() {
            return Err(Refusal::new(Code::NotFound, "no such checkpoint that this caller may see"));
        }
        Ok((StatusCode::OK, Object::new().with("receipts", found)))
    }

    async fn forks(&self, caller: &Caller, query: &Query) -> Answer {
        let (counter, tenants) = (self.counter()?, whose(caller, query)?);
        let after = query.after.unwrap_or(0).unsigned_abs();
        let limit = query.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
        let read = move |reader: &super::WitnessReader| {
            let found = reader.forks(tenants.as_ref(), after, limit)?;
            let next = found.last().filter(|_| found.len() == limit).map(|fork| fork.n);
            let forks: Vec<Object> = found.iter().map(super::Fork::to_object).collect::<Result<_, _>>()?;
            Ok((forks, next))
        };
        let (forks, next) = counter.read(read).await.map_err(told)?;
        let page = Object::new().with("forks", forks);
        Ok((StatusCode::OK, next.into_iter().fold(page, |page, next| page.with("next", next))))
    }

    async fn heads(&self, caller: &Caller, query: &Query) -> Answer {
        let (counter, tenants) = (self.counter()?, whose(caller, query)?);
        let after = query.after.unwrap_or(0);
        let read = move |reader: &super::WitnessReader| reader.heads(tenants.as_ref(), after, LONGEST_PAGE);
        let (heads, next) = counter.read(read).await.map_err(told)?;
        let next = (heads.len() == LONGEST_PAGE).then_some(next);
        let page = Object::new().with("heads", heads);
        Ok((StatusCode::OK, next.into_iter().fold(page, |page, next| page.with("next", next))))
    }

    fn counter(&self) -> Result<Arc<Counter>, Refusal> {
        match &*self.presence.borrow() {
            Presence::Away => Err(Refusal::away()),
            Presence::Ending => Err(Refusal::new(Code::Stopping, "the service ends; nothing was signed")),
            Presence::Stopped(incident) => Err(Refusal::stopped(incident)),
            Presence::There(counter) => Ok(counter.clone()),
        }
    }

    /// Counts a submission that does not come before the desk. What a stranger sends is that and no more.
    fn note(&self, route: &Route, refusal: &Refusal) {
        if *route == Route::Checkpoints {
            self.metrics.refused(refusal.code);
        }
    }
}

/// Whose streams a caller looks at: of one tenant, or of all that they speak for.
fn whose(caller: &Caller, query: &Query) -> Result<Option<BTreeSet<String>>, Refusal> {
    match &query.tenant_id {
        None => Ok(caller.tenants.clone()),
        Some(tenant) if caller.speaks_for(tenant) => Ok(Some([tenant.clone()].into())),
        Some(_) => Err(Refusal::not_allowed()),
    }
}

/// Tells the log what whoever asked is not told, and answers.
fn told(error: WitnessError) -> Refusal {
    let refusal = Refusal::from(&error);
    match refusal.code {
        Code::Internal | Code::Stopped | Code::StoreFailed => {
            tracing::error!(code = refusal.code.name(), "the witness signed nothing");
        }
        Code::ClockBehind | Code::CustodyAway | Code::DiskFull => {
            tracing::warn!(code = refusal.code.name(), "the witness signs nothing for now");
        }
        code => tracing::debug!(code = code.name(), "a request to the witness was refused"),
    }
    tracing::debug!(%error, "why the witness refused");
    refusal
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let mut response = respond(refusal.code.status(), JSON, refusal.to_object().to_canonical());
    if let Some(seconds) = refusal.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// 405, with the method that there is.
fn not_allowed(method: &'static str) -> Response<Body> {
    let refusal = Refusal::new(Code::MethodNotAllowed, format!("{method} is all that this path knows"));
    let mut response = refused(&refusal);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(method));
    response
}

fn no_path() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such path")
}
