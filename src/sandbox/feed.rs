use hyper::body::Bytes;
use hyper::{Request, StatusCode};

use super::reply::{Reply, invalid, read_object};
use super::state::Shared;
use crate::protocol::json::{Object, Value};

/// Items on a page, at most.
const PAGE: usize = 100;

/// `GET /witness/v1/feed?after=N` (section 6): what was put in behind item N.
pub(super) fn get(shared: &Shared, request: &Request<Bytes>) -> Result<Reply, Reply> {
    let digits = request.uri().query().and_then(|query| query.strip_prefix("after="));
    let digits = digits.filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()));
    let after: u32 = digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| invalid("expected ?after=NUMBER"))?;
    let after = u64::from(after);

    let mut state = shared.state();
    let behind = usize::try_from(after).unwrap_or(usize::MAX).min(state.feed.len());
    let numbered = (after + 1..).zip(&state.feed[behind..]).take(PAGE);
    let items: Vec<Object> =
        numbered.map(|(n, submission)| Object::new().with("n", n).with("submission", submission.clone())).collect();
    state.counts.fed += items.len() as u64;
    let next = after + items.len() as u64;
    Ok(Reply::new(StatusCode::OK, Object::new().with("items", items).with("next", next)))
}

/// `POST /sandbox/feed`: puts in a submission, or those of `{"submissions":[…]}`, as they are: nothing is checked.
pub(super) fn put(shared: &Shared, request: &Request<Bytes>) -> Result<Reply, Reply> {
    let object = read_object(request)?;
    let submissions = match object.get("submissions") {
        None => vec![Value::Object(object)],
        Some(list) => list.as_array().ok_or_else(|| invalid("submissions is no list"))?.to_vec(),
    };
    let mut state = shared.state();
    state.feed.extend(submissions);
    Ok(Reply::new(StatusCode::OK, Object::new().with("last", state.feed.len())))
}
