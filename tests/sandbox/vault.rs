use ed25519_dalek::{Signer as _, SigningKey};
use local_vault::facts::{Digest, Timestamp};
use local_vault::protocol::ack::{self, AckError, Acknowledgement};
use local_vault::protocol::envelope::{
    Envelope, HEADER_ENVELOPE_HASH, HEADER_PUBLIC_KEY, HEADER_SIGNATURE, request_body,
};
use local_vault::protocol::json::{self, Object};
use local_vault::protocol::{Preimage, PublicKey, Signature};
use reqwest::{Client, RequestBuilder, Response};

use super::support::Sandbox;

pub(crate) const INSTALLATION: &str = "ins_1";
pub(crate) const EVENT: &str = "lv_00000000000000000000000000000001";
pub(crate) const PAYLOAD: &[u8] = br#"{"n":1}"#;

/// The signing side of an installation.
pub(crate) struct Vault(SigningKey);

impl Vault {
    pub(crate) fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        PublicKey::ed25519(self.0.verifying_key().as_bytes()).unwrap()
    }

    pub(crate) fn sign(&self, preimage: &Preimage) -> Signature {
        Signature::from_bytes(self.0.sign(preimage.as_bytes()).to_bytes())
    }

    /// An envelope's request, as the relay sends it.
    pub(crate) fn request(&self, client: &Client, url: &str, envelope: &Envelope, payload: &[u8]) -> RequestBuilder {
        let preimage = envelope.preimage();
        let signature = self.sign(&preimage);
        client
            .post(url)
            .header("content-type", "application/json")
            .header(HEADER_ENVELOPE_HASH, preimage.hash().to_string())
            .header(HEADER_SIGNATURE, signature.to_hex())
            .header(HEADER_PUBLIC_KEY, self.public_key().to_hex())
            .body(request_body(&envelope.preimage(), payload))
    }
}

/// A sandbox that trusts a vault, and a client to it.
pub(crate) struct Pair {
    pub(crate) sandbox: Sandbox,
    pub(crate) vault: Vault,
    pub(crate) client: Client,
}

impl Pair {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        Self::of(Vault::new(7), arguments)
    }

    /// A sandbox that trusts this vault.
    pub(crate) fn of(vault: Vault, arguments: &[&str]) -> Self {
        let trust = format!("{INSTALLATION}={}", vault.public_key().to_hex());
        let sandbox = Sandbox::start(&[&["--trust", trust.as_str()], arguments].concat());
        let client = sandbox.client();
        Self { sandbox, vault, client }
    }

    pub(crate) fn request(&self, envelope: &Envelope, payload: &[u8]) -> RequestBuilder {
        self.vault.request(&self.client, self.sandbox.url(), envelope, payload)
    }

    /// Sends the envelope with the payload that it names.
    pub(crate) async fn send(&self, envelope: &Envelope) -> Answer {
        Answer::of(self.request(envelope, PAYLOAD).send().await.unwrap()).await
    }

    /// Posts JSON to a path of the installation.
    pub(crate) async fn post(&self, path: &str, body: &Object) -> Answer {
        let url = self.sandbox.at(&format!("/v2/local-vault/installations/{INSTALLATION}/{path}"));
        Answer::of(self.client.post(url).body(body.to_canonical()).send().await.unwrap()).await
    }
}

/// An envelope about `PAYLOAD`.
pub(crate) fn envelope() -> Envelope {
    about(PAYLOAD)
}

pub(crate) fn about(payload: &[u8]) -> Envelope {
    Envelope {
        installation_id: INSTALLATION.into(),
        event_id: EVENT.into(),
        stream_id: "str_1".into(),
        source_ref: "invoice/7".into(),
        payload_sha256: Digest::of(payload),
        payload_size: payload.len() as u64,
        attempt: 1,
        created_at: Timestamp::from_millis(1_800_000_000_000),
        signed_at: Timestamp::from_millis(1_800_000_000_001),
    }
}

/// An answer that arrived whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let status = response.status().as_u16();
        Self { status, body: response.bytes().await.unwrap().into() }
    }

    pub(crate) fn object(&self) -> Object {
        json::parse(&self.body).unwrap()
    }

    /// The status and the error form's code.
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status, ack::ErrorForm::from_object(&self.object()).unwrap().code)
    }

    /// What the relay makes of it.
    pub(crate) fn check(&self, envelope: &Envelope) -> Result<Acknowledgement, AckError> {
        ack::check(envelope, &envelope.preimage().hash(), json::parse(&self.body).ok().as_ref())
    }
}
