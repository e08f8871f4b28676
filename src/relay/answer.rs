use std::fmt;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::facts::Timestamp;
use crate::protocol::json::{self, JsonError, Object};

/// The longest wait that a receiver may ask for.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// What the receiver answered, whole: an answer that was cut off is a
/// [`TransportError`](super::TransportError) instead.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The `Retry-After` header, where there is one that can be read.
    pub retry_after: Option<RetryAfter>,
    /// The `Date` header: when it answered, by its own clock.
    pub date: Option<Timestamp>,
    /// The body, at most [`MAX_ANSWER_BYTES`](super::MAX_ANSWER_BYTES), or
    /// [`MAX_PAGE_BYTES`](super::MAX_PAGE_BYTES) of a feed.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the status is a 2xx. That alone delivers nothing (section 4).
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The body as one JSON object, read strictly.
    pub fn object(&self) -> Result<Object, JsonError> {
        json::parse(&self.body)
    }
}

/// Shows the length of the body and no byte of it: a receiver's answer does not belong into a log.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut answer = f.debug_struct("Answer");
        answer.field("status", &self.status).field("retry_after", &self.retry_after).field("date", &self.date);
        answer.field("body_bytes", &self.body.len()).finish()
    }
}

/// When the receiver wants to be asked again (RFC 9110 section 10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// So long after the answer.
    After(Duration),
    /// Not before this time.
    At(Timestamp),
}

impl RetryAfter {
    /// Reads seconds or an IMF-fixdate. What is neither is ignored, as are the two obsolete forms of a date.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit()) {
            // More digits than fit are a very long wait, and no reason to come back at once.
            let seconds = text.parse().unwrap_or(u64::MAX);
            return Some(Self::After(Duration::from_secs(seconds)));
        }
        date(text).map(Self::At)
    }

    /// How long to wait from `now`, the time of the answer: at most [`MAX_RETRY_AFTER`], nothing for a time past.
    pub fn wait(self, now: Timestamp) -> Duration {
        let wait = match self {
            Self::After(wait) => wait,
            Self::At(time) => {
                let millis = time.as_millis().saturating_sub(now.as_millis());
                Duration::from_millis(u64::try_from(millis).unwrap_or(0))
            }
        };
        wait.min(MAX_RETRY_AFTER)
    }
}

/// Reads an IMF-fixdate (RFC 9110 section 5.6.7).
pub(super) fn date(text: &str) -> Option<Timestamp> {
    let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    Some(Timestamp::from_millis(date.unix_timestamp().saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(text: &str) -> Option<u64> {
        let now = Timestamp::parse("1994-11-06T08:48:37Z").unwrap();
        RetryAfter::parse(text).map(|after| after.wait(now).as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read() {
        assert_eq!(wait("0"), Some(0));
        assert_eq!(wait(" 120 "), Some(120));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(60));
    }

    #[test]
    fn a_date_in_the_past_is_no_wait() {
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
    }

    #[test]
    fn no_wait_is_longer_than_an_hour() {
        assert_eq!(wait("3601"), Some(3600));
        assert_eq!(wait("99999999999999999999999999"), Some(3600));
        assert_eq!(wait("Sun, 06 Nov 2044 08:49:37 GMT"), Some(3600));
    }

    #[test]
    fn what_is_neither_is_ignored() {
        for text in ["", "-1", "+1", "1.5", "soon", "1 2"] {
            assert_eq!(wait(text), None, "{text:?}");
        }
    }

    #[test]
    fn debug_shows_no_byte_of_the_body() {
        let answer = Answer { status: 200, retry_after: None, date: None, body: b"s3cret".to_vec() };
        assert_eq!(format!("{answer:?}"), "Answer { status: 200, retry_after: None, date: None, body_bytes: 6 }");
    }
}
