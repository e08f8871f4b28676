//! The two ways to deliver: in an envelope that is signed for each send, and as the payload is.

use super::exchange::Exchange;
use super::judge::{Verdict, judge};
use super::{Answer, TransportError, posted};
use crate::custody::{SignError, Signer};
use crate::protocol::envelope::request_body;
use crate::spool::{Event, Leased, SignedEnvelope};

/// How what is leased goes out.
#[derive(Debug)]
pub(super) enum Delivery {
    /// In an envelope, signed for this send, which a receipt has to match (sections 3 to 5).
    Envelope(Signer),
    /// The payload alone: a witness has signed it (section 6).
    Payload,
}

/// What was sent with what came back.
pub(super) struct Delivered {
    pub(super) sent: Option<SignedEnvelope>,
    pub(super) answer: Answer,
    pub(super) verdict: Verdict,
}

/// Why nothing came back.
pub(super) enum Failed {
    Halted,
    Sign(SignError),
    Transport(TransportError),
}

impl Exchange {
    /// Sends what is leased in the way of this drain, and judges the answer.
    pub(super) async fn deliver(&self, leased: &Leased, request: &str) -> Result<Delivered, Failed> {
        let Event { stream_id, attempt, .. } = &leased.event;
        tracing::debug!(stream = stream_id, attempt, "leased");
        self.go_on()?;
        let delivered = match &self.delivery {
            Delivery::Envelope(signer) => self.deliver_enveloped(signer, leased, request).await?,
            Delivery::Payload => self.deliver_payload(leased).await?,
        };
        tracing::debug!(status = delivered.answer.status, verdict = ?delivered.verdict, "judged");
        Ok(delivered)
    }

    /// What is leased when a revocation shows is neither signed nor sent any more.
    fn go_on(&self) -> Result<(), Failed> {
        if self.halt.is_on() { Err(Failed::Halted) } else { Ok(()) }
    }

    async fn deliver_enveloped(&self, signer: &Signer, leased: &Leased, request: &str) -> Result<Delivered, Failed> {
        let signed_at = self.clock.now();
        let envelope = leased.event.envelope(&self.installation_id, leased.event.attempt, signed_at);
        let (preimage, signature) = signer.sign(envelope.preimage(), request).await.map_err(Failed::Sign)?;
        let hash = preimage.hash();
        tracing::debug!("signed");
        self.go_on()?;
        let body = || request_body(&preimage, &leased.payload);
        let key = signer.public_key();
        let mut answer = self.client.post_event(&hash, &signature, key, body()).await.map_err(Failed::Transport)?;
        tracing::debug!(status = answer.status, "posted");
        let mut verdict = judge(&envelope, &hash, &answer);
        if verdict == Verdict::Revoked {
            // Never believed once: the same bytes again, over a connection and a handshake of their own.
            let again = self.client.fresh().post_event(&hash, &signature, key, body()).await;
            answer = again.map_err(Failed::Transport)?;
            verdict = judge(&envelope, &hash, &answer);
            if verdict == Verdict::Revoked {
                self.halt.revoked();
            }
        }
        let sent = SignedEnvelope {
            installation_id: self.installation_id.clone(),
            attempt: leased.event.attempt,
            signed_at,
            signature,
            public_key: key.clone(),
        };
        Ok(Delivered { sent: Some(sent), answer, verdict })
    }

    async fn deliver_payload(&self, leased: &Leased) -> Result<Delivered, Failed> {
        let answer = self.client.post(leased.payload.to_vec()).await.map_err(Failed::Transport)?;
        tracing::debug!(status = answer.status, "posted");
        let verdict = posted::judge(&answer);
        Ok(Delivered { sent: None, answer, verdict })
    }
}
