use std::borrow::Cow;
use std::time::Duration;

use hyper::StatusCode;

use super::{IngestError, LONGEST_LINE};
use crate::custody::SignError;
use crate::epochs::EpochError;
use crate::facts::EventId;
use crate::protocol::json::Object;
use crate::spool::SpoolError;
use crate::store::StoreError;

/// Why a producer's request was refused. The names are a contract; `openapi.json` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// No key for source attestations is configured.
    AttestationUnavailable,
    /// The body is no event.
    BodyInvalid,
    /// The body did not come in time.
    BodyTimeout,
    /// The body, or a line of it, is longer than an event may be.
    BodyTooLarge,
    /// Too many at once.
    Busy,
    /// A key or its device is away.
    CustodyAway,
    /// A stream_id or source_ref that is empty or too long.
    IdInvalid,
    /// A defect, or a spool that is damaged.
    Internal,
    /// How long the body is was not said.
    LengthRequired,
    /// The operator takes no events now.
    Maintenance,
    /// There is no such event that this producer may see.
    NotFound,
    /// The path knows other methods.
    MethodNotAllowed,
    /// The allow-list does not have it.
    NotAllowed,
    /// More events than this producer may submit in a second.
    QuotaExceeded,
    /// The source_ref holds other content.
    SourceRefConflict,
    /// The source_ref is in use in another stream.
    SourceRefInUse,
    /// The spool or its disk is full.
    SpoolFull,
    /// The service ends.
    Stopping,
    /// The disk failed, and the service is about to start anew.
    StoreFailed,
    /// The body is of another type.
    TypeUnsupported,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::AttestationUnavailable,
        Self::BodyInvalid,
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::Busy,
        Self::CustodyAway,
        Self::IdInvalid,
        Self::Internal,
        Self::LengthRequired,
        Self::Maintenance,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAllowed,
        Self::QuotaExceeded,
        Self::SourceRefConflict,
        Self::SourceRefInUse,
        Self::SpoolFull,
        Self::Stopping,
        Self::StoreFailed,
        Self::TypeUnsupported,
    ];

    /// Its name in an answer.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AttestationUnavailable => "attestation_unavailable",
            Self::BodyInvalid => "body_invalid",
            Self::BodyTimeout => "body_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::Busy => "busy",
            Self::CustodyAway => "custody_away",
            Self::IdInvalid => "id_invalid",
            Self::Internal => "internal",
            Self::LengthRequired => "length_required",
            Self::Maintenance => "maintenance",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotAllowed => "not_allowed",
            Self::QuotaExceeded => "quota_exceeded",
            Self::SourceRefConflict => "source_ref_conflict",
            Self::SourceRefInUse => "source_ref_in_use",
            Self::SpoolFull => "spool_full",
            Self::Stopping => "stopping",
            Self::StoreFailed => "store_failed",
            Self::TypeUnsupported => "type_unsupported",
        }
    }

    /// The HTTP status that goes with it.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BodyInvalid | Self::IdInvalid => StatusCode::BAD_REQUEST,
            Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::SourceRefConflict | Self::SourceRefInUse => StatusCode::CONFLICT,
            Self::LengthRequired => StatusCode::LENGTH_REQUIRED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TypeUnsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::AttestationUnavailable => StatusCode::NOT_IMPLEMENTED,
            Self::Busy | Self::CustodyAway | Self::Maintenance | Self::Stopping | Self::StoreFailed => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::SpoolFull => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    /// When the same request may be taken, in whole seconds; `None` where waiting does not help.
    const fn wait(self) -> Option<u64> {
        match self {
            Self::Busy | Self::QuotaExceeded => Some(1),
            Self::CustodyAway | Self::Stopping | Self::StoreFailed => Some(5),
            Self::Maintenance | Self::SpoolFull => Some(30),
            _ => None,
        }
    }
}

/// A refusal, as it is answered. It says nothing that a producer should not know: no path, no label of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: Code,
    message: Cow<'static, str>,
    event_id: Option<EventId>,
    /// After how many seconds the same request may be taken.
    pub retry_after: Option<u64>,
    /// For whoever runs the service, and never answered.
    cause: Option<Box<IngestError>>,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), event_id: None, retry_after: code.wait(), cause: None }
    }

    /// A quota that has room again after this time.
    pub(super) fn quota(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let refusal = Self::new(Code::QuotaExceeded, "more events than this user may submit in a second");
        Self { retry_after: Some(seconds.max(1)), ..refusal }
    }

    /// A line that is longer than a line may be.
    pub fn too_large() -> Self {
        Self::new(Code::BodyTooLarge, format!("an event has at most {} MiB", LONGEST_LINE / 1024 / 1024))
    }

    /// No more than that. What the allow-list has is not a producer's to find out.
    pub(super) fn not_allowed() -> Self {
        Self::new(Code::NotAllowed, "the allow-list does not let this user do that")
    }

    /// Nobody has come to do the work yet, or it is away.
    pub(super) fn away() -> Self {
        Self::new(Code::CustodyAway, "the keys are away; nothing was spooled")
    }

    /// Nobody does the work any more, until the next start.
    pub(super) fn stopping() -> Self {
        Self::new(Code::Stopping, "the service ends; nothing was spooled")
    }

    /// Whether the same request may be taken later.
    pub fn is_temporary(&self) -> bool {
        self.retry_after.is_some()
    }

    /// What went wrong, in full. It may name paths and devices.
    pub fn cause(&self) -> Option<&IngestError> {
        self.cause.as_deref()
    }

    /// What went wrong, for a person.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// `{"error": …}`
    pub fn to_object(&self) -> Object {
        let error = Object::new().with("code", self.code.name()).with("message", &*self.message);
        let error = match self.event_id {
            Some(event_id) => error.with("event_id", event_id.to_string()),
            None => error,
        };
        let error = match self.retry_after {
            Some(seconds) => error.with("retry_after", seconds),
            None => error,
        };
        Object::new().with("error", error)
    }
}

/// The one place where an error becomes an answer.
impl From<IngestError> for Refusal {
    fn from(error: IngestError) -> Self {
        let refusal = match &error {
            IngestError::Id { .. } => Self::new(Code::IdInvalid, error.to_string()),
            IngestError::Payload(_) => Self::new(Code::BodyInvalid, error.to_string()),
            IngestError::TooLong => Self::new(Code::BodyTooLarge, error.to_string()),
            IngestError::Sign(error) => sign(error),
            IngestError::Spool(error) => spool(error),
        };
        Self { cause: Some(Box::new(error)), ..refusal }
    }
}

impl From<SpoolError> for Refusal {
    fn from(error: SpoolError) -> Self {
        IngestError::from(error).into()
    }
}

fn spool(error: &SpoolError) -> Refusal {
    match error {
        SpoolError::Conflict { event_id } => Refusal {
            event_id: Some(*event_id),
            ..Refusal::new(Code::SourceRefConflict, "the source_ref already holds other content")
        },
        SpoolError::Epoch(EpochError::Custody(_)) => Refusal::away(),
        SpoolError::Epoch(EpochError::Store(error)) | SpoolError::Store(error) => store(error),
        SpoolError::Full { .. } => Refusal::new(Code::SpoolFull, "the spool is full; nothing was spooled"),
        SpoolError::Maintenance { .. } => {
            Refusal::new(Code::Maintenance, "the operator takes no events now; nothing was spooled")
        }
        // Which event that is may be none of this producer's business.
        SpoolError::RefReuse { .. } => Refusal::new(Code::SourceRefInUse, "the source_ref is in use in another stream"),
        SpoolError::Epoch(_)
        | SpoolError::NotDead { .. }
        | SpoolError::OtherInstallation { .. }
        | SpoolError::OtherUse { .. }
        | SpoolError::Purged { .. }
        | SpoolError::Tampered { .. } => internal(),
    }
}

fn sign(error: &SignError) -> Refusal {
    match error {
        SignError::Busy | SignError::Deadline | SignError::Custody(_) => Refusal::away(),
        SignError::Unrecorded(_) => {
            Refusal::new(Code::StoreFailed, "the audit log takes no entry; nothing was signed or spooled")
        }
        SignError::Gone => internal(),
    }
}

fn store(error: &StoreError) -> Refusal {
    match error {
        StoreError::Busy(_) => Refusal::new(Code::Busy, "the spool is busy; nothing was spooled"),
        StoreError::Full => Refusal::new(Code::SpoolFull, "the disk is full; nothing was spooled"),
        StoreError::Io(_) | StoreError::Stopped => {
            Refusal::new(Code::StoreFailed, "the disk failed; the event may or may not be spooled, so send it again")
        }
        StoreError::Damaged(_)
        | StoreError::Foreign { .. }
        | StoreError::Missing(_)
        | StoreError::Newer(_)
        | StoreError::Sql(_) => internal(),
    }
}

fn internal() -> Refusal {
    Refusal::new(Code::Internal, "the service cannot do that; its log tells why")
}
