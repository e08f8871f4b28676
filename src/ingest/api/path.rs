use crate::http::percent_decoded;
use crate::ingest::refusal::{Code, Refusal};

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Batch,
    /// By its reference.
    Event {
        stream_id: String,
        source_ref: String,
    },
    Events,
    OpenApi,
}

impl Route {
    /// `None` where the path is not of this API.
    pub(super) fn of(path: &str) -> Option<Result<Self, Refusal>> {
        let rest = path.strip_prefix("/v1/")?;
        match rest {
            "events" => return Some(Ok(Self::Events)),
            "events:batch" => return Some(Ok(Self::Batch)),
            "openapi.json" => return Some(Ok(Self::OpenApi)),
            _ => {}
        }
        let (stream_id, source_ref) = rest.strip_prefix("events/")?.split_once('/')?;
        let one = (!source_ref.contains('/')).then(|| {
            let wrong = || Refusal::new(Code::IdInvalid, "the path is not percent-encoded UTF-8");
            let stream_id = percent_decoded(stream_id).ok_or_else(wrong)?;
            let source_ref = percent_decoded(source_ref).ok_or_else(wrong)?;
            Ok(Self::Event { stream_id, source_ref })
        });
        let slashes = || Err(Refusal::new(Code::NotFound, "a slash within an id is written %2F"));
        Some(one.unwrap_or_else(slashes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(path: &str) -> (String, String) {
        match Route::of(path) {
            Some(Ok(Route::Event { stream_id, source_ref })) => (stream_id, source_ref),
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn an_events_path_is_percent_encoded() {
        let owned = |stream: &str, source: &str| (stream.to_owned(), source.to_owned());
        assert_eq!(event("/v1/events/s/r"), owned("s", "r"));
        assert_eq!(event("/v1/events/a%2Fb/c+d%20e"), owned("a/b", "c+d e"));
        assert_eq!(event("/v1/events/%C3%A4/%252F"), owned("ä", "%2F"));
        assert_eq!(event("/v1/events//"), owned("", ""));
    }

    #[test]
    fn what_is_not_percent_encoded_utf8_names_no_event() {
        for path in ["/v1/events/s/%", "/v1/events/s/%2", "/v1/events/%zz/r", "/v1/events/s/%ff", "/v1/events/s/%+1"] {
            assert_eq!(Route::of(path).unwrap().unwrap_err().code, Code::IdInvalid, "{path}");
        }
        assert_eq!(Route::of("/v1/events/s/r/x").unwrap().unwrap_err().code, Code::NotFound);
    }

    #[test]
    fn other_paths_are_somebody_elses() {
        for path in ["/", "/v1/status", "/v1/events/s", "/v1/event", "/v2/events", "/v1/events:other", "*"] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }
}
