use crate::http::socket::Peer;
use crate::ingest::IngestError;
use crate::ingest::refusal::{Code, Refusal};

/// Says that a producer was refused, where that is somebody else's business, too.
pub(super) fn tell(peer: Peer, refusal: &Refusal) {
    let uid = peer.uid;
    let error = match refusal.cause() {
        Some(IngestError::Sign(error)) => error.origin(),
        _ => refusal.code.name().to_owned(),
    };
    match refusal.code {
        Code::Internal | Code::StoreFailed => tracing::error!(error, "an event was not taken"),
        Code::NotAllowed => tracing::warn!(uid, "the allow-list refused a user"),
        Code::QuotaExceeded => tracing::debug!(uid, "a quota is used up"),
        _ if refusal.is_temporary() => tracing::warn!(error, "no event is taken for now"),
        _ => tracing::debug!(uid, error, "an event was refused"),
    }
    if let Some(cause) = refusal.cause() {
        tracing::debug!(error = %cause, "why an event was not taken");
    }
}
