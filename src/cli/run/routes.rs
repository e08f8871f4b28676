use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Notify;

use super::look::Look;
use crate::cli::status::reduced;
use crate::cli::vault::Vault;
use crate::http::socket::Peer;
use crate::http::{Body, JSON, pass_over, respond};
use crate::ingest::{Api, LONGEST_LINE};
use crate::protocol::json::Object;
use crate::witness;

const TEXT: &str = "text/plain; charset=utf-8";

/// What the service answers over its socket: how it is, and the producers' API.
pub(super) struct Routes {
    /// The producers', where the service relays.
    pub(super) api: Option<Api>,
    pub(super) witness: Option<Arc<witness::Api>>,
    pub(super) look: Arc<Look>,
    pub(super) vault: Arc<Vault>,
    /// Rung when something may have been spooled.
    pub(super) wake: Arc<Notify>,
}

impl Routes {
    pub(super) async fn answer(&self, peer: Peer, request: Request<Incoming>) -> Response<Body> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/v1/status") => self.status(peer).await,
            (&Method::GET, "/v1/logs") if is_ours(peer) => respond(StatusCode::OK, TEXT, self.vault.log.kept().text()),
            (&Method::GET, "/v1/logs") => {
                refuse(StatusCode::FORBIDDEN, "not_allowed", "the log is for root and the service's own user")
            }
            (_, "/v1/status" | "/v1/logs") => {
                refuse(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "GET is all that this path knows")
            }
            _ => self.submit(peer, self.ask_witness(peer, request).await).await,
        }
    }

    async fn ask_witness(&self, peer: Peer, request: Request<Incoming>) -> Result<Response<Body>, Request<Incoming>> {
        match &self.witness {
            Some(witness) => witness.answer(witness::Peer::Uid(peer.uid), request).await,
            None => Err(request),
        }
    }

    /// What is not answered yet.
    async fn submit(&self, peer: Peer, asked: Result<Response<Body>, Request<Incoming>>) -> Response<Body> {
        let request = match asked {
            Ok(answer) => return answer,
            Err(request) => request,
        };
        let spools = request.method() == Method::POST;
        let answer = match &self.api {
            Some(api) => api.answer(peer, request).await,
            None => Err(request),
        };
        match answer {
            Err(request) => {
                let (head, mut body) = request.into_parts();
                pass_over(&head, &mut body, LONGEST_LINE).await;
                refuse(StatusCode::NOT_FOUND, "not_found", "there is no such path")
            }
            Ok(answer) if spools => {
                // Each part of an answer tells of events that are on the disk, and may be sent.
                let wake = self.wake.clone();
                let ring = move |part| {
                    wake.notify_one();
                    part
                };
                answer.map(|body| body.map_frame(ring).boxed_unsync())
            }
            Ok(answer) => answer,
        }
    }

    async fn status(&self, peer: Peer) -> Response<Body> {
        let status = self.look.status().await;
        let status = if is_ours(peer) { status } else { reduced(&status) };
        respond(StatusCode::OK, JSON, status.to_canonical())
    }
}

/// Whether somebody may hear everything.
fn is_ours(peer: Peer) -> bool {
    peer.uid == 0 || peer.uid == rustix::process::geteuid().as_raw()
}

/// In the form of the producers' API.
fn refuse(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let error = Object::new().with("error", Object::new().with("code", code).with("message", message));
    respond(status, JSON, error.to_canonical())
}
