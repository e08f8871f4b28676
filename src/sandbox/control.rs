use std::num::NonZeroU32;

use hyper::body::Bytes;
use hyper::{Request, StatusCode};

use super::behaviour::{Mode, Plan, Step, StepError};
use super::reply::{Reply, invalid, read_object};
use super::state::Shared;
use crate::protocol::json::{Object, Value};

/// `GET /sandbox/stats`: what has happened since the start.
pub(super) fn stats(shared: &Shared) -> Reply {
    let counts = shared.state().counts;
    Reply::new(StatusCode::OK, counts.to_object())
}

/// `POST /sandbox/behave` `{"mode","times"}`: replaces whatever was planned. `ok` lifts every revocation too.
pub(super) fn behave(shared: &Shared, request: &Request<Bytes>) -> Result<Reply, Reply> {
    let object = read_object(request)?;
    let step = read_step(&object).map_err(|error| invalid(&error.to_string()))?;
    let mut state = shared.state();
    state.plan = Plan::new(vec![step]);
    if step.mode == Mode::Ok {
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
