use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::str::FromStr;

/// How an endpoint answers one request: that of the events, of the checkpoints, or the feed. Every other one always
/// behaves, and what has to do with receipts is for events alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Closes the connection in place of an answer.
    Close,
    /// Verifies the event and answers 409, as if another content were recorded.
    Conflict,
    /// Records the event, and gives a receipt of long ago.
    EarlierReceipt,
    /// 200 without a body.
    Empty,
    /// 403 that says nothing of a revocation.
    Forbidden,
    /// 200 with half an object in place of JSON.
    Garbage,
    /// Records the event, promises its answer and closes midway.
    HalfBody,
    /// 200 with a captive portal's page.
    Html,
    /// 200 with a body of 2 GiB.
    Huge,
    /// Records the event; the acknowledgement names another envelope.
    LieEnvelopeHash,
    /// Records the event; the acknowledgement names another event.
    LieEventId,
    /// Records the event; the receipt names another event hash.
    LieReceipt,
    /// Records the event; the answer names another stream.
    LieStream,
    /// Records the event; the answer has no receipt.
    MissingReceipt,
    /// Records the event; `accepted` is false.
    NotAccepted,
    /// 404.
    NotFound,
    /// Checks, records and answers as a platform does.
    Ok,
    /// Records the event, and gives a receipt for it that is whole, and not the one it gave before.
    OtherReceipt,
    /// 302 to a page that counts its visitors.
    Redirect,
    /// Verifies the event and answers 422: a judgement on it.
    Reject,
    /// Verifies the event and revokes its installation, until it is told to behave.
    Revoke,
    /// Never answers.
    Stall,
    /// Records the event, and stalls in the middle of the answer.
    StallBody,
    /// 429.
    TooMany,
    /// 401 with a page.
    Unauthorized,
    /// 503, to be tried again in a second.
    Unavailable,
    /// 503, to be tried again in two minutes.
    UnavailableLater,
}

const NAMES: [(&str, Mode); 27] = [
    ("close", Mode::Close),
    ("conflict", Mode::Conflict),
    ("earlier-receipt", Mode::EarlierReceipt),
    ("empty", Mode::Empty),
    ("forbidden", Mode::Forbidden),
    ("garbage", Mode::Garbage),
    ("half-body", Mode::HalfBody),
    ("html", Mode::Html),
    ("huge", Mode::Huge),
    ("lie-envelope-hash", Mode::LieEnvelopeHash),
    ("lie-event-id", Mode::LieEventId),
    ("lie-receipt", Mode::LieReceipt),
    ("lie-stream", Mode::LieStream),
    ("missing-receipt", Mode::MissingReceipt),
    ("not-accepted", Mode::NotAccepted),
    ("not-found", Mode::NotFound),
    ("ok", Mode::Ok),
    ("other-receipt", Mode::OtherReceipt),
    ("redirect", Mode::Redirect),
    ("reject", Mode::Reject),
    ("revoke", Mode::Revoke),
    ("stall", Mode::Stall),
    ("stall-body", Mode::StallBody),
    ("too-many", Mode::TooMany),
    ("unauthorized", Mode::Unauthorized),
    ("unavailable", Mode::Unavailable),
    ("unavailable-later", Mode::UnavailableLater),
];

impl Mode {
    /// The names of all modes, for people.
    pub fn names() -> String {
        NAMES.map(|(name, _)| name).join(", ")
    }
}

impl Mode {
    /// Whether it has a meaning on this path.
    pub(super) const fn suits(self, path: Path) -> bool {
        matches!(path, Path::Events)
            || !matches!(
                self,
                Self::EarlierReceipt
                    | Self::LieEnvelopeHash
                    | Self::LieEventId
                    | Self::LieReceipt
                    | Self::LieStream
                    | Self::MissingReceipt
                    | Self::NotAccepted
                    | Self::OtherReceipt
                    | Self::Revoke
            )
    }
}

impl FromStr for Mode {
    type Err = StepError;

    fn from_str(text: &str) -> Result<Self, StepError> {
        let named = NAMES.iter().find(|(name, _)| *name == text);
        named.map(|(_, mode)| *mode).ok_or(StepError::Mode)
    }
}

/// A mode, and for how many requests. Read from `MODE` or `MODE:TIMES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How to answer.
    pub mode: Mode,
    /// How many requests; `None` is until told otherwise.
    pub times: Option<NonZeroU32>,
}

impl FromStr for Step {
    type Err = StepError;

    fn from_str(text: &str) -> Result<Self, StepError> {
        match text.split_once(':') {
            None => Ok(Self { mode: text.parse()?, times: None }),
            Some((mode, times)) => {
                Ok(Self { mode: mode.parse()?, times: Some(times.parse().map_err(|_| StepError::Times)?) })
            }
        }
    }
}

/// Why a text is no step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// There is no mode of that name.
    #[error("no such mode; the modes are {}", Mode::names())]
    Mode,
    /// How often is not a number from 1.
    #[error("expected a number of times from 1")]
    Times,
}

/// A path on which the sandbox misbehaves when it is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    Checkpoints,
    Events,
    Feed,
}

impl Path {
    /// By its name in `/sandbox/behave`.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "checkpoints" => Self::Checkpoints,
            "events" => Self::Events,
            "feed" => Self::Feed,
            _ => return None,
        })
    }
}

/// What is planned on each path.
#[derive(Debug)]
pub(super) struct Plans {
    checkpoints: Plan,
    events: Plan,
    feed: Plan,
}

impl Plans {
    /// These steps for the events; everything else behaves.
    pub(super) fn new(events: Vec<Step>) -> Self {
        Self { checkpoints: Plan::new(Vec::new()), events: Plan::new(events), feed: Plan::new(Vec::new()) }
    }

    pub(super) const fn on(&mut self, path: Path) -> &mut Plan {
        match path {
            Path::Checkpoints => &mut self.checkpoints,
            Path::Events => &mut self.events,
            Path::Feed => &mut self.feed,
        }
    }
}

/// Steps that are taken one after the other; after the last one, the sandbox behaves.
#[derive(Debug)]
pub(super) struct Plan(VecDeque<Step>);

impl Plan {
    pub(super) fn new(steps: Vec<Step>) -> Self {
        Self(steps.into())
    }

    /// The mode of the next request.
    pub(super) fn next(&mut self) -> Mode {
        let Some(step) = self.0.front_mut() else { return Mode::Ok };
        let mode = step.mode;
        if let Some(times) = step.times {
            step.times = NonZeroU32::new(times.get() - 1);
            if step.times.is_none() {
                self.0.pop_front();
            }
        }
        mode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_taken_in_order_and_then_it_behaves() {
        let mut plan = Plan::new(vec!["html:2".parse().unwrap(), "close:1".parse().unwrap()]);
        let modes = [plan.next(), plan.next(), plan.next(), plan.next()];
        assert_eq!(modes, [Mode::Html, Mode::Html, Mode::Close, Mode::Ok]);
    }

    #[test]
    fn a_step_without_a_number_lasts() {
        let mut plan = Plan::new(vec!["stall".parse().unwrap(), "close".parse().unwrap()]);
        assert_eq!([plan.next(), plan.next(), plan.next()], [Mode::Stall; 3]);
    }

    #[test]
    fn what_is_no_step_is_refused() {
        assert_eq!("teapot".parse::<Step>(), Err(StepError::Mode));
        for text in ["html:", "html:0", "html:-1", "html:x"] {
            assert_eq!(text.parse::<Step>(), Err(StepError::Times), "{text}");
        }
    }
}
