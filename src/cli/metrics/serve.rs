use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::collect::Sources;
use crate::cli::failure::Failure;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Who asks at the same time: a monitoring system, and a person. Others wait until the system lets them in.
const CONNECTIONS: usize = 8;

/// How long a request's head may take, and a connection as a whole.
const HEAD: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(30);

/// Listens, where nobody else does.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = bound.map_err(|e| {
        let advice = "Name another port as metrics.listen, or end what listens there.";
        Failure::unavailable(format!("cannot listen on {address}: {e}"), advice)
    })?;
    tracing::info!(url = format!("http://{address}/metrics"), "metrics are served");
    Ok(listener)
}

/// Serves for as long as it is polled.
pub(super) async fn serve(listener: TcpListener, sources: Arc<Sources>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    // They end with this.
    let mut connections = JoinSet::new();
    while let Ok(place) = room.clone().acquire_owned().await {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let sources = sources.clone();
                connections.spawn(async move {
                    let _place = place;
                    converse(stream, sources).await;
                });
            }
            // Out of file descriptors, most likely: something has to end before the next can be taken.
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// One request. How the connection ends is its client's affair.
async fn converse(stream: TcpStream, sources: Arc<Sources>) {
    let service = service_fn(|request| answer(request, sources.clone()));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).keep_alive(false);
    let _ = timeout(WHOLE, http.serve_connection(TokioIo::new(stream), service)).await;
}

async fn answer(request: Request<Incoming>, sources: Arc<Sources>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/metrics" {
        return Ok(short(StatusCode::NOT_FOUND, "see /metrics\n"));
    }
    if request.method() != Method::GET {
        let mut response = short(StatusCode::METHOD_NOT_ALLOWED, "GET is all there is\n");
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET"));
        return Ok(response);
    }
    let collected = spawn_blocking(move || sources.with_text(str::to_owned)).await;
    Ok(match collected {
        Ok(Ok(text)) => respond(StatusCode::OK, TEXT, text),
        _ => short(StatusCode::INTERNAL_SERVER_ERROR, "the metrics were not collected\n"),
    })
}

fn short(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", text)
}

fn respond(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
