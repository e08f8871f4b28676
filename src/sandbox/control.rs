use std::num::NonZeroU32;

use hyper::body::Bytes;
use hyper::{Request, StatusCode};

use super::behaviour::{Mode, Path, Plan, Step, StepError};
use super::reply::{Reply, invalid, read_object};
use super::state::Shared;
use crate::protocol::json::{Object, Value};

/// `GET /sandbox/stats`: what has happened since the start.
pub(super) fn stats(shared: &Shared) -> Reply {
    let counts = shared.state().counts;
    Reply::new(StatusCode::OK, counts.to_object())
}

/// `POST /sandbox/behave` `{"mode","times","on"}`: replaces whatever was planned on this path, which is that of the events
/// where none is named. `ok` there lifts every revocation too.
pub(super) fn behave(shared: &Shared, request: &Request<Bytes>) -> Result<Reply, Reply> {
    let object = read_object(request)?;
    let step = read_step(&object).map_err(|error| invalid(&error.to_string()))?;
    let path = match object.get("on") {
        None | Some(Value::Null) => Some(Path::Events),
        Some(name) => name.as_str().and_then(Path::named),
    };
    let path = path.ok_or_else(|| invalid("no such path; the paths are checkpoints, events, feed"))?;
    if !step.mode.suits(path) {
        return Err(invalid("this mode is for events alone"));
    }
    let mut state = shared.state();
    *state.plans.on(path) = Plan::new(vec![step]);
    if step.mode == Mode::Ok && path == Path::Events {
        state.reinstate();
    }
    Ok(Reply::new(StatusCode::OK, object))
}

fn read_step(object: &Object) -> Result<Step, StepError> {
    let mode = object.get_str("mode").ok_or(StepError::Mode)?.parse()?;
    let times = match object.get("times") {
        None | Some(Value::Null) => None,
        Some(times) => {
            let times = times.as_i64().and_then(|times| u32::try_from(times).ok()).and_then(NonZeroU32::new);
            Some(times.ok_or(StepError::Times)?)
        }
    };
    Ok(Step { mode, times })
}
