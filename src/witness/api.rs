//! What submitters ask for (`docs/witness-api.md`, and the OpenAPI document that is served).

mod body;
mod route;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::sleep;

use super::callers::{Caller, Callers, Peer};
use super::counter::{Counter, Presence};
use super::metrics::Metrics;
use super::refusal::{Code, Refusal};
use super::{Archive, Change, Verdict, WitnessError, WitnessReader};
use crate::http::{Body, JSON, pass_over, respond};
use crate::protocol::json::Object;
use route::{Query, Route};

/// The OpenAPI document.
pub const OPENAPI: &str = include_str!("api/openapi.json");

/// Requests at once, each with a body in memory. Further ones are refused for now.
const AT_ONCE: usize = 512;

/// How long bodies that are under way are waited for when the service ends.
const LAST_BODIES: Duration = Duration::from_secs(2);

/// Receipts, or bundles of evidence, of one page at most, and where nobody says how many.
const LONGEST_PAGE: usize = 500;
const PAGE: usize = 100;

/// What there is behind the API.
#[derive(Debug, Clone)]
pub struct Inside {
    /// While the witness is away or stopped, nothing is signed, and what was signed is looked up all the same.
    pub presence: watch::Receiver<Presence>,
    /// What was signed.
    pub archive: Archive,
    /// Becomes true when the service ends: then no body is waited for any longer.
    pub closed: watch::Receiver<bool>,
}

/// Answers submitters and relying parties.
#[derive(Debug)]
pub struct Api {
    inside: Inside,
    callers: Arc<Callers>,
    /// Told of fork evidence, when it was signed.
    forks: mpsc::Sender<Object>,
    metrics: Metrics,
    patience: Duration,
    /// What the log was told last, where nothing has gone well since.
    told: Mutex<Option<Code>>,
    places: Arc<Semaphore>,
}

/// What goes well: a status and an object.
type Answer = Result<(StatusCode, Object), Refusal>;

impl Api {
    /// `patience`: how long a body is waited for.
    pub fn new(
        inside: Inside,
        callers: Arc<Callers>,
        forks: mpsc::Sender<Object>,
        metrics: Metrics,
        patience: Duration,
    ) -> Self {
        Self {
            inside,
            callers,
            forks,
            metrics,
            patience,
            told: Mutex::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
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
                pass_over(&head, &mut body, body::REFUSED).await;
                return Err(refusal);
            }
        };
        let read = tokio::select! {
            biased;
            read = body::read(&mut body, self.patience) => read,
            () = self.ends() => Err(stopping()),
        };
        let taken = match read {
            Ok(object) if *route == Route::Changes => return self.change(peer, &object).await,
            Ok(object) => self.request(&caller, &object),
            Err(refusal) => {
                if refusal.code == Code::BodyTooLarge {
                    pass_over(&head, &mut body, body::REFUSED).await;
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
        let verdict = counter.desk.submit(request).await.map_err(|e| self.told(&e))?;
        *self.last_told() = None;
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
        counter.desk.change(change).await.map_err(|e| self.told(&e))?;
        Ok((StatusCode::OK, Object::new().with("changed", true)))
    }

    async fn look_up(&self, peer: Peer, route: Route, query: Option<&str>) -> Answer {
        let (_place, caller) = self.begin(peer)?;
        match route {
            Route::Checkpoint(id) => self.checkpoint(&caller, id, &Query::read(query, &["tenant_id"])?).await,
            Route::Forks => self.forks(&caller, &Query::read(query, &["after", "limit", "tenant_id"])?).await,
            Route::Heads => self.heads(&caller, &Query::read(query, &["after", "tenant_id"])?).await,
            Route::Identity => Ok((StatusCode::OK, self.counter()?.identity().await.map_err(|e| self.told(&e))?)),
            Route::Changes | Route::Checkpoints | Route::OpenApi => Err(no_path()),
        }
    }

    async fn checkpoint(&self, caller: &Caller, id: String, query: &Query) -> Answer {
        let tenants = whose(caller, query)?;
        let found = self.read(move |reader| reader.checkpoint(tenants.as_ref(), &id)).await?;
        if found.is_empty() {
            return Err(Refusal::new(Code::NotFound, "no such checkpoint that this caller may see"));
        }
        Ok((StatusCode::OK, Object::new().with("receipts", found)))
    }

    async fn forks(&self, caller: &Caller, query: &Query) -> Answer {
        let tenants = whose(caller, query)?;
        let after = query.after.unwrap_or(0);
        let limit = query.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
        let read = move |reader: &WitnessReader| {
            let found = reader.forks(tenants.as_ref(), after, limit)?;
            let next = found.last().filter(|_| found.len() == limit).map(|fork| fork.n);
            let forks: Vec<Object> = found.iter().map(super::Fork::to_object).collect::<Result<_, _>>()?;
            Ok((forks, next))
        };
        let (forks, next) = self.read(read).await?;
        let page = Object::new().with("forks", forks);
        Ok((StatusCode::OK, next.into_iter().fold(page, |page, next| page.with("next", next))))
    }

    async fn heads(&self, caller: &Caller, query: &Query) -> Answer {
        let tenants = whose(caller, query)?;
        let after = query.after.unwrap_or(0);
        let read = move |reader: &WitnessReader| reader.heads(tenants.as_ref(), after, LONGEST_PAGE);
        let (heads, next) = self.read(read).await?;
        let next = (heads.len() == LONGEST_PAGE).then_some(next);
        let page = Object::new().with("heads", heads);
        // Whoever takes them for floors has to know that they may be too low.
        let page = self.stopped().into_iter().fold(page, |page, incident| page.with("stopped", incident));
        Ok((StatusCode::OK, next.into_iter().fold(page, |page, next| page.with("next", next))))
    }

    /// Looks something up, whether or not anything may be signed.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&WitnessReader) -> Result<T, WitnessError> + Send + 'static,
    ) -> Result<T, Refusal> {
        match self.counter() {
            Ok(counter) => counter.read(read).await.map_err(|e| self.told(&e)),
            Err(refusal) if refusal.code == Code::Stopping => Err(refusal),
            // Where it cannot be read either, that the witness is not there says more.
            Err(refusal) => self.inside.archive.read(read).await.map_err(|_| refusal),
        }
    }

    /// The incident that stopped the witness.
    fn stopped(&self) -> Option<String> {
        match &*self.inside.presence.borrow() {
            Presence::Stopped(incident) => Some(incident.clone()),
            Presence::There(counter) => counter.desk.standing().stopped,
            Presence::Away | Presence::Ending => None,
        }
    }

    /// Returns when bodies are not waited for any longer.
    async fn ends(&self) {
        // A sender that is gone says so as well.
        let _ = self.inside.closed.clone().wait_for(|closed| *closed).await;
        sleep(LAST_BODIES).await;
    }

    fn counter(&self) -> Result<Arc<Counter>, Refusal> {
        match &*self.inside.presence.borrow() {
            Presence::Away => Err(Refusal::away()),
            Presence::Ending => Err(stopping()),
            Presence::Stopped(incident) => Err(Refusal::stopped(incident)),
            Presence::There(counter) => Ok(counter.clone()),
        }
    }

    /// Tells the log what whoever asked is not told, and answers. The log is told once until something goes well again:
    /// who asks all the time fills no disk.
    fn told(&self, error: &WitnessError) -> Refusal {
        let refusal = Refusal::from(error);
        let code = refusal.code;
        let is_news = || self.last_told().replace(code) != Some(code);
        match code {
            Code::Internal | Code::Stopped | Code::StoreFailed if is_news() => {
                tracing::error!(code = code.name(), "the witness signed nothing");
            }
            Code::ClockBehind | Code::CustodyAway | Code::DiskFull if is_news() => {
                tracing::warn!(code = code.name(), "the witness signs nothing for now");
            }
            _ => tracing::debug!(code = code.name(), "a request to the witness was refused"),
        }
        tracing::debug!(%error, "why the witness refused");
        refusal
    }

    fn last_told(&self) -> MutexGuard<'_, Option<Code>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
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

fn stopping() -> Refusal {
    Refusal::new(Code::Stopping, "the service ends; nothing was signed")
}

fn no_path() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such path")
}
