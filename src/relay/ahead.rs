//! Whether a receiver knew of an event before we first sent it. Then it is ahead of this spool: the spool was restored
//! from a copy, or another one sends for the same installation.

use super::Answer;
use crate::facts::Timestamp;

/// How much older than its answer a receipt may be that was made for it. The send itself has ten seconds; the rest is for
/// a receiver whose parts have clocks of their own.
const SLACK_MS: i64 = 600_000;

/// Whether the receipt in an answer was made long before the answer, by the receiver's own clock: its `Date` and the
/// receipt's `received_at`. Where either is missing, nothing shows.
pub(super) fn receipt_is_earlier(answer: &Answer) -> bool {
    let Some(answered_at) = answer.date else { return false };
    let made_at = answer.object().ok().and_then(|body| {
        let payload = body.get_object("receipt")?.get_object("payload")?;
        Timestamp::parse(payload.get_str("received_at")?).ok()
    });
    made_at.is_some_and(|made_at| answered_at.as_millis().saturating_sub(made_at.as_millis()) > SLACK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(received_at: &str, date: Option<&str>) -> Answer {
        let body = format!(r#"{{"receipt":{{"payload":{{"received_at":"{received_at}"}}}}}}"#);
        let date = date.map(|date| Timestamp::parse(date).unwrap());
        Answer { status: 200, retry_after: None, date, body: body.into() }
    }

    #[test]
    fn a_receipt_is_earlier_from_ten_minutes_on_and_by_the_receivers_own_clock() {
        let earlier = |received_at, date| receipt_is_earlier(&answer(received_at, Some(date)));
        assert!(earlier("2026-01-01T00:00:00.000Z", "2026-01-01T00:11:00Z"));
        assert!(!earlier("2026-01-01T00:00:00.000Z", "2026-01-01T00:09:59Z"));
        assert!(!earlier("2026-01-02T00:00:00.000Z", "2026-01-01T00:00:00Z"));
    }

    #[test]
    fn where_the_receiver_tells_no_time_nothing_shows() {
        assert!(!receipt_is_earlier(&answer("2026-01-01T00:00:00.000Z", None)));
        assert!(!receipt_is_earlier(&answer("yesterday", Some("2026-01-01T00:11:00Z"))));
    }
}
