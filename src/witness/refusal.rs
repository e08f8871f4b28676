use std::borrow::Cow;
use std::time::Duration;

use hyper::StatusCode;

use super::WitnessError;
use crate::custody::{CustodyError, ErrorKind, SignError};
use crate::protocol::json::Object;
use crate::protocol::witness::Refusal as Rule;
use crate::store::StoreError;

/// Why a request to the witness was refused. The names are a contract; `openapi.json` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The checkpoint lies before the floor of its stream.
    BelowFloor,
    /// The body is none of the forms that there are.
    BodyInvalid,
    /// The body did not come in time.
    BodyTimeout,
    /// The body is longer than any submission.
    BodyTooLarge,
    /// Too many at once.
    Busy,
    /// The change does not fit what is there.
    ChangeRefused,
    /// The clock is behind the time of the last statement.
    ClockBehind,
    /// A key, its device or the anchor is away.
    CustodyAway,
    /// The disk is full.
    DiskFull,
    /// A defect, or a setting that does not fit.
    Internal,
    /// The number lies too far above the last one.
    Jump,
    /// The path knows other methods.
    MethodNotAllowed,
    /// Nobody that is known, another tenant's, another's stream, or for the operator alone.
    NotAllowed,
    /// There is no such thing that the caller may see.
    NotFound,
    /// The stream's checkpoints are signed by its submitter, and this one is not.
    NotSigned,
    /// Addressed to another witness.
    OtherWitness,
    /// The path or its query is none of the forms that there are.
    PathInvalid,
    /// More requests than this caller may make in a second.
    QuotaExceeded,
    /// An incident stopped the witness, until an operator has looked.
    Stopped,
    /// The service ends.
    Stopping,
    /// The disk failed, or another process wrote to the file. The service is about to open it anew.
    StoreFailed,
    /// The body is of another type.
    TypeUnsupported,
    /// Nobody has added the stream.
    UnknownStream,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::BelowFloor,
        Self::BodyInvalid,
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::Busy,
        Self::ChangeRefused,
        Self::ClockBehind,
        Self::CustodyAway,
        Self::DiskFull,
        Self::Internal,
        Self::Jump,
        Self::MethodNotAllowed,
        Self::NotAllowed,
        Self::NotFound,
        Self::NotSigned,
        Self::OtherWitness,
        Self::PathInvalid,
        Self::QuotaExceeded,
        Self::Stopped,
        Self::Stopping,
        Self::StoreFailed,
        Self::TypeUnsupported,
        Self::UnknownStream,
    ];

    /// Its name in an answer and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BelowFloor => "below_floor",
            Self::BodyInvalid => "body_invalid",
            Self::BodyTimeout => "body_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::Busy => "busy",
            Self::ChangeRefused => "change_refused",
            Self::ClockBehind => "clock_behind",
            Self::CustodyAway => "custody_away",
            Self::DiskFull => "disk_full",
            Self::Internal => "internal",
            Self::Jump => "jump",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotAllowed => "not_allowed",
            Self::NotFound => "not_found",
            Self::NotSigned => "not_signed",
            Self::OtherWitness => "other_witness",
            Self::PathInvalid => "path_invalid",
            Self::QuotaExceeded => "quota_exceeded",
            Self::Stopped => "stopped",
            Self::Stopping => "stopping",
            Self::StoreFailed => "store_failed",
            Self::TypeUnsupported => "type_unsupported",
            Self::UnknownStream => "unknown_stream",
        }
    }

    /// The HTTP status that goes with it. 409 is fork evidence's own, which is no refusal.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BodyInvalid | Self::OtherWitness | Self::PathInvalid => StatusCode::BAD_REQUEST,
            Self::NotAllowed | Self::NotSigned => StatusCode::FORBIDDEN,
            Self::NotFound | Self::UnknownStream => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TypeUnsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BelowFloor | Self::ChangeRefused | Self::Jump => StatusCode::UNPROCESSABLE_ENTITY,
            Self::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy | Self::ClockBehind | Self::CustodyAway | Self::Stopped | Self::Stopping | Self::StoreFailed => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    /// When the same request may be taken, in whole seconds; `None` where waiting does not help.
    const fn wait(self) -> Option<u64> {
        match self {
            Self::Busy | Self::QuotaExceeded => Some(1),
            Self::CustodyAway | Self::Stopping | Self::StoreFailed => Some(5),
            Self::ClockBehind | Self::DiskFull => Some(30),
            _ => None,
        }
    }
}

/// A refusal, as it is answered. It says nothing that a submitter should not know: no path, no label of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: Code,
    message: Cow<'static, str>,
    /// What stopped the witness, by name.
    incident: Option<String>,
    /// After how many seconds the same request may be taken.
    pub retry_after: Option<u64>,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), incident: None, retry_after: code.wait() }
    }

    /// A quota that has room again after this time.
    pub(super) fn quota(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let refusal = Self::new(Code::QuotaExceeded, "more requests than this caller may make in a second");
        Self { retry_after: Some(seconds.max(1)), ..refusal }
    }

    /// No more than that: whether there is anything is not a stranger's to find out.
    pub(super) fn not_allowed() -> Self {
        Self::new(Code::NotAllowed, "this caller may not do that")
    }

    /// Nobody has come to do the work yet, or it is away.
    pub(super) fn away() -> Self {
        Self::new(Code::CustodyAway, "a key or the anchor is away; submit it again")
    }

    /// An incident, by name.
    pub(super) fn stopped(incident: &str) -> Self {
        let refusal =
            Self::new(Code::Stopped, "the witness was stopped, and signs nothing until its operator has looked");
        Self { incident: Some(incident.to_owned()), ..refusal }
    }

    /// `{"error": …}`
    pub fn to_object(&self) -> Object {
        let error = Object::new().with("code", self.code.name()).with("message", &*self.message);
        let error = match &self.incident {
            Some(incident) => error.with("incident", incident.as_str()),
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
impl From<&WitnessError> for Refusal {
    fn from(error: &WitnessError) -> Self {
        match error {
            WitnessError::Change(why) => Self::new(Code::ChangeRefused, why.clone()),
            WitnessError::Custody(e) => custody(e),
            WitnessError::Damaged(_) => Self::stopped("state-damaged"),
            WitnessError::Incident(incident) => Self::stopped(incident.what.name()),
            WitnessError::NoRandomness
            | WitnessError::NoWrappingKey
            | WitnessError::OtherKey(_)
            | WitnessError::Unauthenticated => internal(),
            WitnessError::Raced => Self::new(Code::StoreFailed, "another process wrote to the state; submit it again"),
            WitnessError::Refused(rule) => refused(*rule),
            WitnessError::Sign(e) => sign(e),
            WitnessError::Stopped(incident) => Self::stopped(incident),
            WitnessError::Store(e) => store(e),
            WitnessError::Submission(e) => Self::new(Code::BodyInvalid, e.to_string()),
        }
    }
}

fn refused(rule: Rule) -> Refusal {
    let code = match rule {
        Rule::BelowFloor => Code::BelowFloor,
        Rule::ClockBehind => Code::ClockBehind,
        Rule::Jump => Code::Jump,
        // Whoever is not the submitter learns no more than a stranger does.
        Rule::NotTheSubmitter => return Refusal::not_allowed(),
        Rule::NotSigned => Code::NotSigned,
        Rule::UnknownStream => Code::UnknownStream,
    };
    Refusal::new(code, rule.to_string())
}

fn custody(error: &CustodyError) -> Refusal {
    match error.kind {
        ErrorKind::Away => Refusal::away(),
        ErrorKind::DiskFull => Refusal::new(Code::DiskFull, "the disk is full; submit it again"),
        ErrorKind::Disk => Refusal::new(Code::StoreFailed, "the disk failed; submit it again"),
        ErrorKind::Broken
        | ErrorKind::Misconfigured
        | ErrorKind::NotFound
        | ErrorKind::Refused
        | ErrorKind::Unsupported => internal(),
    }
}

fn sign(error: &SignError) -> Refusal {
    match error {
        SignError::Busy | SignError::Deadline => Refusal::away(),
        SignError::Custody(e) => custody(e),
        SignError::Unrecorded(_) => {
            Refusal::new(Code::StoreFailed, "the audit log takes no entry, so nothing is signed; submit it again")
        }
        SignError::Gone => internal(),
    }
}

fn store(error: &StoreError) -> Refusal {
    match error {
        StoreError::Busy(_) => Refusal::new(Code::Busy, "the state is busy; submit it again"),
        StoreError::Full => Refusal::new(Code::DiskFull, "the disk is full; submit it again"),
        StoreError::Io(_) | StoreError::Stopped => {
            Refusal::new(Code::StoreFailed, "the disk failed; submit it again: what was decided is answered again")
        }
        StoreError::Damaged(_) => Refusal::stopped("state-damaged"),
        StoreError::Foreign { .. } | StoreError::Missing(_) | StoreError::Newer(_) | StoreError::Sql(_) => internal(),
    }
}

fn internal() -> Refusal {
    Refusal::new(Code::Internal, "the witness cannot do that; its log tells why")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::witness::SubmissionError;
    use crate::witness::{Incident, What};

    fn custody(kind: ErrorKind) -> CustodyError {
        CustodyError::new(kind, "file", "read", "/secret/path", "advice")
    }

    /// What is answered: status, code, Retry-After.
    fn answered(error: &WitnessError) -> (u16, &'static str, Option<u64>) {
        let refusal = Refusal::from(error);
        assert!(!String::from_utf8(refusal.to_object().to_canonical()).unwrap().contains("/secret"), "{error:?}");
        (refusal.code.status().as_u16(), refusal.code.name(), refusal.retry_after)
    }

    #[test]
    fn every_error_has_its_answer() {
        use WitnessError as E;
        let secret = || std::path::PathBuf::from("/secret/path");
        let rows = [
            (E::Change("no".into()), (422, "change_refused", None)),
            (E::Custody(custody(ErrorKind::Away)), (503, "custody_away", Some(5))),
            (E::Custody(custody(ErrorKind::Broken)), (500, "internal", None)),
            (E::Custody(custody(ErrorKind::Disk)), (503, "store_failed", Some(5))),
            (E::Custody(custody(ErrorKind::DiskFull)), (507, "disk_full", Some(30))),
            (E::Custody(custody(ErrorKind::Misconfigured)), (500, "internal", None)),
            (E::Custody(custody(ErrorKind::NotFound)), (500, "internal", None)),
            (E::Custody(custody(ErrorKind::Refused)), (500, "internal", None)),
            (E::Custody(custody(ErrorKind::Unsupported)), (500, "internal", None)),
            (E::Damaged("a row"), (503, "stopped", None)),
            (E::Incident(Box::new(Incident::new(What::RolledBack, None, None))), (503, "stopped", None)),
            (E::NoRandomness, (500, "internal", None)),
            (E::NoWrappingKey, (500, "internal", None)),
            (E::OtherKey("/secret".into()), (500, "internal", None)),
            (E::Raced, (503, "store_failed", Some(5))),
            (E::Refused(Rule::BelowFloor), (422, "below_floor", None)),
            (E::Refused(Rule::ClockBehind), (503, "clock_behind", Some(30))),
            (E::Refused(Rule::Jump), (422, "jump", None)),
            (E::Refused(Rule::NotSigned), (403, "not_signed", None)),
            (E::Refused(Rule::NotTheSubmitter), (403, "not_allowed", None)),
            (E::Refused(Rule::UnknownStream), (404, "unknown_stream", None)),
            (E::Sign(SignError::Busy), (503, "custody_away", Some(5))),
            (E::Sign(SignError::Custody(custody(ErrorKind::Away))), (503, "custody_away", Some(5))),
            (E::Sign(SignError::Deadline), (503, "custody_away", Some(5))),
            (E::Sign(SignError::Gone), (500, "internal", None)),
            (E::Sign(SignError::Unrecorded(custody(ErrorKind::Disk))), (503, "store_failed", Some(5))),
            (E::Stopped("rollback-detected".into()), (503, "stopped", None)),
            (E::Store(StoreError::Busy(secret())), (503, "busy", Some(1))),
            (E::Store(StoreError::Damaged("/secret".into())), (503, "stopped", None)),
            (E::Store(StoreError::Foreign { path: secret(), expected: "x" }), (500, "internal", None)),
            (E::Store(StoreError::Full), (507, "disk_full", Some(30))),
            (E::Store(StoreError::Io("/secret".into())), (503, "store_failed", Some(5))),
            (E::Store(StoreError::Missing(secret())), (500, "internal", None)),
            (E::Store(StoreError::Newer(secret())), (500, "internal", None)),
            (E::Store(StoreError::Sql("/secret".into())), (500, "internal", None)),
            (E::Store(StoreError::Stopped), (503, "store_failed", Some(5))),
            (E::Submission(SubmissionError::CheckpointHash), (400, "body_invalid", None)),
            (E::Unauthenticated, (500, "internal", None)),
        ];
        for (error, expected) in rows {
            assert_eq!(answered(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn an_incident_is_named() {
        let refusal = Refusal::from(&WitnessError::Stopped("rollback-detected".into())).to_object();
        assert_eq!(refusal.get_object("error").unwrap().get_str("incident"), Some("rollback-detected"));
    }

    #[test]
    fn a_wait_is_rounded_up() {
        assert_eq!(Refusal::quota(Duration::from_millis(1)).retry_after, Some(1));
        assert_eq!(Refusal::quota(Duration::from_millis(1001)).retry_after, Some(2));
    }
}
