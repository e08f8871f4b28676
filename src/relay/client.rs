use std::fmt;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response, retry};

use super::answer::date;
use super::{Answer, Endpoint, Identity, Proxy, RetryAfter, TransportError, Trust, TrustError};
use crate::facts::Digest;
use crate::protocol::envelope::{HEADER_ENVELOPE_HASH, HEADER_PUBLIC_KEY, HEADER_SIGNATURE};
use crate::protocol::{PublicKey, Signature};

/// The time-out of the contract (section 3).
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer that is read. An acknowledgement has a few kilobytes.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Idle connections are closed before the usual receiver or load balancer closes them (60 s), so that a request
/// seldom meets a connection that is just going away.
const IDLE: Duration = Duration::from_secs(30);

const USER_AGENT: &str = concat!("local-vault/", env!("CARGO_PKG_VERSION"));

/// What a [`Client`] is made from. Proxies that the environment names have no say.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Where events go, or whatever else is posted or asked for.
    pub endpoint: Endpoint,
    /// Who may answer. Not looked at for plain http, so that a container needs no trust store for that.
    pub trust: Trust,
    /// The way to an https endpoint, where it is not direct.
    pub proxy: Option<Proxy>,
    /// From the first look-up of the name to the last byte of the answer; [`TIMEOUT`] by the contract. Four fifths
    /// of it are for connecting, so that a time-out tells on which side of that it fell.
    pub timeout: Duration,
}

/// Speaks to one endpoint over kept-alive HTTP/1.1 connections. Clones share them.
#[derive(Clone)]
pub struct Client {
    endpoint: Endpoint,
    pooled: reqwest::Client,
    unpooled: reqwest::Client,
}

impl Client {
    /// Blocking: reads certificate files. Connects to nothing yet.
    pub fn new(config: &ClientConfig) -> Result<Self, ClientError> {
        Self::of(config, None)
    }

    /// The same, for a server that asks who we are.
    pub fn identified(config: &ClientConfig, identity: &Identity) -> Result<Self, ClientError> {
        Self::of(config, Some(identity))
    }

    fn of(config: &ClientConfig, identity: Option<&Identity>) -> Result<Self, ClientError> {
        let tls = if config.endpoint.is_https() { Some(config.trust.client_config(identity)?) } else { None };
        let pooled = build(config, tls.clone(), usize::MAX)?;
        let unpooled = build(config, tls, 0)?;
        Ok(Self { endpoint: config.endpoint.clone(), pooled, unpooled })
    }

    /// This client, but every request makes a connection of its own and checks the certificate anew.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self { endpoint: self.endpoint.clone(), pooled: self.unpooled.clone(), unpooled: self.unpooled.clone() }
    }

    /// Posts `body`, an envelope and its payload (section 3), and reads the whole answer, whatever its status.
    ///
    /// Sends once: follows no redirect and retries nothing, since every send is an attempt of its own.
    pub async fn post_event(
        &self,
        envelope_hash: &Digest,
        signature: &Signature,
        public_key: &PublicKey,
        body: Vec<u8>,
    ) -> Result<Answer, TransportError> {
        let request = self
            .pooled
            .post(self.endpoint.url().clone())
            .header(CONTENT_TYPE, "application/json")
            .header(HEADER_ENVELOPE_HASH, envelope_hash.to_string())
            .header(HEADER_SIGNATURE, signature.to_hex())
            .header(HEADER_PUBLIC_KEY, public_key.to_hex())
            .body(body);
        exchange(request, MAX_ANSWER_BYTES).await
    }

    /// Posts JSON as it is, and reads the whole answer. Sends once, as [`post_event`](Self::post_event) does.
    pub async fn post(&self, body: Vec<u8>) -> Result<Answer, TransportError> {
        let request = self.pooled.post(self.endpoint.url().clone()).header(CONTENT_TYPE, "application/json").body(body);
        exchange(request, MAX_ANSWER_BYTES).await
    }

    /// Asks for what is behind the endpoint, with this query, and reads an answer of up to `limit` bytes.
    pub(super) async fn get(&self, query: &str, limit: usize) -> Result<Answer, TransportError> {
        let mut url = self.endpoint.url().clone();
        url.set_query(Some(query));
        exchange(self.pooled.get(url), limit).await
    }
}

/// Shows the endpoint alone.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The HTTP library refuses its settings.
    #[error("cannot set up HTTP: {0}")]
    Setup(#[from] reqwest::Error),
    /// The trust settings cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

fn build(
    config: &ClientConfig,
    tls: Option<rustls::ClientConfig>,
    max_idle: usize,
) -> Result<reqwest::Client, ClientError> {
    let mut builder = reqwest::Client::builder()
        .http1_only()
        .no_proxy()
        .redirect(Policy::none())
        .retry(retry::never())
        .referer(false)
        .pool_max_idle_per_host(max_idle)
        .pool_idle_timeout(IDLE)
        .connect_timeout(config.timeout * 4 / 5)
        .timeout(config.timeout)
        .user_agent(USER_AGENT);
    builder = match tls {
        // With this, reqwest ignores its own TLS options; that is why none is set here.
        Some(tls) => builder.tls_backend_preconfigured(tls),
        None => builder.tls_certs_only([]),
    };
    if let Some(proxy) = &config.proxy {
        // For https alone: plain http stays on this machine.
        builder = builder.proxy(reqwest::Proxy::https(proxy.url().clone())?);
    }
    Ok(builder.build()?)
}

async fn exchange(request: RequestBuilder, limit: usize) -> Result<Answer, TransportError> {
    let response = request.send().await.map_err(|error| TransportError::before_the_status(&error))?;
    let status = response.status().as_u16();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = header(RETRY_AFTER).and_then(RetryAfter::parse);
    let date = header(DATE).and_then(date);
    Ok(Answer { status, retry_after, date, body: read_body(response, limit).await? })
}

/// Reads to the end, or gives up and closes the connection as soon as the answer is too long.
async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, TransportError> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(TransportError::TooLarge);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| TransportError::in_the_body(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(TransportError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
