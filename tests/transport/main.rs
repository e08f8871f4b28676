//! The relay's transport against receivers on loopback, over real TLS: who is believed, what breaks, and what is
//! said about it.

#![allow(clippy::unwrap_used)] // helpers of tests, which the exemption for tests does not reach

mod endpoint;
mod exchange;
mod proxy;
mod receiver;
mod trust;

use std::time::Duration;

use local_vault::facts::Digest;
use local_vault::protocol::{PublicKey, Signature};
use local_vault::relay::{Answer, Client, ClientConfig, Endpoint, TransportError, Trust};

/// Long enough never to be met by a test that is not about time-outs, and no test waits for it.
const PATIENT: Duration = Duration::from_secs(60);

/// For tests in which nothing but the deadline can end the exchange.
const HASTY: Duration = Duration::from_secs(2);

fn config(url: &str) -> ClientConfig {
    let endpoint = Endpoint::parse(url, None).unwrap();
    ClientConfig { endpoint, trust: Trust::default(), proxy: None, timeout: PATIENT }
}

async fn post(client: &Client) -> Result<Answer, TransportError> {
    let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key();
    let key = PublicKey::ed25519(key.as_bytes()).unwrap();
    client.post_event(&Digest::of(b"envelope"), &Signature::from_bytes([7; 64]), &key, b"{\"a\":1}".to_vec()).await
}

async fn post_once(config: &ClientConfig) -> Result<Answer, TransportError> {
    post(&Client::new(config).unwrap()).await
}
