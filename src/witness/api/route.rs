use std::str::FromStr;

use crate::http::percent_decoded;
use crate::witness::refusal::{Code, Refusal};

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Changes,
    Checkpoint(String),
    Checkpoints,
    Forks,
    Heads,
    Identity,
    OpenApi,
}

impl Route {
    /// `None` where the path is not of this API.
    pub(super) fn of(path: &str) -> Option<Result<Self, Refusal>> {
        let rest = path.strip_prefix("/witness/v1/")?;
        Some(Ok(match rest {
            "changes" => Self::Changes,
            "checkpoints" => Self::Checkpoints,
            "forks" => Self::Forks,
            "heads" => Self::Heads,
            "identity" => Self::Identity,
            "openapi.json" => Self::OpenApi,
            _ => match rest.strip_prefix("checkpoints/").filter(|id| !id.is_empty() && !id.contains('/')) {
                Some(id) => match percent_decoded(id) {
                    Some(id) => Self::Checkpoint(id),
                    None => return Some(Err(invalid("the path is not percent-encoded UTF-8"))),
                },
                None => return Some(Err(Refusal::new(Code::NotFound, "there is no such path"))),
            },
        }))
    }

    /// The method that the path knows.
    pub(super) const fn method(&self) -> &'static str {
        match self {
            Self::Changes | Self::Checkpoints => "POST",
            Self::Checkpoint(_) | Self::Forks | Self::Heads | Self::Identity | Self::OpenApi => "GET",
        }
    }
}

/// What is behind the `?`. What nobody knows there is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Query {
    pub(super) after: Option<u64>,
    pub(super) limit: Option<usize>,
    pub(super) tenant_id: Option<String>,
}

impl Query {
    pub(super) fn read(query: Option<&str>, known: &[&str]) -> Result<Self, Refusal> {
        let mut read = Self::default();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| invalid("the query has a name without a value"))?;
            let value = percent_decoded(value).ok_or_else(|| invalid("the query is not percent-encoded UTF-8"))?;
            match name {
                _ if !known.contains(&name) => return Err(invalid("the query has a name that the path does not know")),
                "after" => read.after = Some(number::<u64>(&value)?.min(i64::MAX as u64)),
                "limit" => read.limit = Some(number(&value)?),
                _ => read.tenant_id = Some(value),
            }
        }
        Ok(read)
    }
}

fn number<T: FromStr>(value: &str) -> Result<T, Refusal> {
    value.parse().map_err(|_| invalid("a number in the query is none"))
}

fn invalid(message: &'static str) -> Refusal {
    Refusal::new(Code::PathInvalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &str) -> Code {
        Route::of(path).unwrap().unwrap_err().code
    }

    #[test]
    fn a_checkpoints_id_is_percent_encoded() {
        let id = |path: &str| Route::of(path).unwrap().unwrap();
        assert_eq!(id("/witness/v1/checkpoints/chk_1"), Route::Checkpoint("chk_1".into()));
        assert_eq!(id("/witness/v1/checkpoints/a%2Fb%20c"), Route::Checkpoint("a/b c".into()));
        assert_eq!(refused("/witness/v1/checkpoints/%ff"), Code::PathInvalid);
        assert_eq!(refused("/witness/v1/checkpoints/a/b"), Code::NotFound);
        assert_eq!(refused("/witness/v1/checkpoints/"), Code::NotFound);
        assert_eq!(refused("/witness/v1/other"), Code::NotFound);
    }

    #[test]
    fn other_paths_are_somebody_elses() {
        for path in ["/", "/v1/status", "/witness/v2/identity", "/witness/v1", "*"] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }

    #[test]
    fn a_query_has_known_names_and_numbers() {
        let known = ["after", "limit", "tenant_id"];
        let read = Query::read(Some("after=7&limit=2&tenant_id=a%26b"), &known).unwrap();
        assert_eq!(read, Query { after: Some(7), limit: Some(2), tenant_id: Some("a&b".into()) });
        assert_eq!(Query::read(None, &known), Ok(Query::default()));
        for query in ["other=1", "after", "after=x", "after=-1", "limit=-1", "tenant_id=%f"] {
            assert_eq!(Query::read(Some(query), &known).unwrap_err().code, Code::PathInvalid, "{query}");
        }
        assert_eq!(Query::read(Some("limit=1"), &["after"]).unwrap_err().code, Code::PathInvalid);
    }
}
