use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};

use super::body::Body;
use crate::protocol::ack::ErrorForm;
use crate::protocol::json::{self, Object};

/// What becomes of a request.
pub(super) enum Outcome {
    /// The connection is closed in place of an answer.
    Close,
    /// An answer, which may still break midway.
    Respond(Response<Body>),
    /// No answer, until the client goes.
    Stall,
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self::Respond(reply.respond(Body::whole))
    }
}

/// An answer in JSON.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Object,
}

impl Reply {
    pub(super) const fn new(status: StatusCode, body: Object) -> Self {
        Self { status, body }
    }

    /// 201 for what is new, 200 for what was here before.
    pub(super) const fn recorded(new: bool, body: Object) -> Self {
        Self::new(if new { StatusCode::CREATED } else { StatusCode::OK }, body)
    }

    /// The error form (section 5).
    pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Self {
        Self::about(status, code, message, None)
    }

    /// The error form, naming the event where it is known.
    pub(super) fn about(status: StatusCode, code: &str, message: &str, event_id: Option<&str>) -> Self {
        let event_id = event_id.map(str::to_owned);
        let form = ErrorForm { code: code.into(), message: message.into(), event_id, installation_id: None };
        Self::new(status, form.to_object())
    }

    /// 404 for an installation that is not trusted.
    pub(super) fn unknown_installation() -> Self {
        Self::error(StatusCode::NOT_FOUND, "installation_unknown", "no such installation is trusted")
    }

    /// The answer, its bytes made into a body that may or may not arrive.
    pub(super) fn respond(self, body: impl FnOnce(Vec<u8>) -> Body) -> Response<Body> {
        page(self.status, "application/json", body(self.body.to_canonical()))
    }
}

/// An answer with a body of any type.
pub(super) fn page(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The JSON object that a request to one of the smaller endpoints carries.
pub(super) fn read_object(request: &Request<Bytes>) -> Result<Object, Reply> {
    json::parse(request.body()).map_err(|error| invalid(&error.to_string()))
}

/// 400 for a request to one of the smaller endpoints.
pub(super) fn invalid(message: &str) -> Reply {
    Reply::error(StatusCode::BAD_REQUEST, "request_invalid", message)
}

/// 401 for whatever was not signed with the installation's key.
pub(super) fn unsigned(message: &str) -> Reply {
    Reply::error(StatusCode::UNAUTHORIZED, "signature_invalid", message)
}
