//! What an answer means for what a witness signed, which went as it is (section 6).

use super::Answer;
use super::judge::{Verdict, says_nothing};
use crate::protocol::ack::ErrorForm;

/// Judges an answer. 200 and 201 settle; a page of a portal or half an object under them does not. As for an event, only
/// a refusal in the error form counts against what was sent, and everything else is an outage: what was posted has no
/// name that the receiver could repeat, so a form that names an event is about something else.
pub(super) fn judge(answer: &Answer) -> Verdict {
    let body = answer.object();
    if matches!(answer.status, 200 | 201) {
        let is_whole = answer.body.is_empty() || body.is_ok();
        return if is_whole { Verdict::Receipted } else { Verdict::Nothing("answer-is-not-json".into()) };
    }
    let error = format!("http-{}", answer.status);
    // 410: the installation is gone from there, whatever was posted.
    if answer.is_success() || says_nothing(answer.status) || answer.status == 410 {
        return Verdict::Nothing(error);
    }
    let form = body.ok().and_then(|body| ErrorForm::from_object(&body));
    if form.is_some_and(|form| form.event_id.is_none()) { Verdict::Judged(error) } else { Verdict::Nothing(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = r#"{"error":{"code":"request_invalid","message":"no"}}"#;

    fn verdict(status: u16, body: &str) -> Verdict {
        judge(&Answer { status, retry_after: None, date: None, body: body.into() })
    }

    #[test]
    fn taken_is_200_or_201_and_no_other_success() {
        for status in [200, 201] {
            assert_eq!(verdict(status, r#"{"recorded":"…"}"#), Verdict::Receipted);
            assert_eq!(verdict(status, ""), Verdict::Receipted);
        }
        for status in [202, 204, 206] {
            assert_eq!(verdict(status, "{}"), Verdict::Nothing(format!("http-{status}")));
        }
    }

    #[test]
    fn a_page_or_half_an_object_takes_nothing() {
        for body in ["<html>sign in</html>", r#"{"recorded":"#, "[]"] {
            assert_eq!(verdict(200, body), Verdict::Nothing("answer-is-not-json".into()));
        }
    }

    #[test]
    fn a_refusal_in_the_error_form_counts() {
        for status in [400, 409, 413, 422] {
            assert_eq!(verdict(status, REFUSED), Verdict::Judged(format!("http-{status}")));
            assert_eq!(verdict(status, "<html>"), Verdict::Nothing(format!("http-{status}")));
            assert_eq!(verdict(status, r#"{"detail":"no"}"#), Verdict::Nothing(format!("http-{status}")));
        }
        let of_an_event = r#"{"error":{"code":"x","eventId":"lv_00000000000000000000000000000001"}}"#;
        assert_eq!(verdict(422, of_an_event), Verdict::Nothing("http-422".into()));
    }

    #[test]
    fn these_statuses_are_outages_whatever_the_body_says() {
        for status in [301, 302, 401, 403, 404, 405, 408, 410, 425, 429, 500, 502, 503, 504] {
            assert_eq!(verdict(status, REFUSED), Verdict::Nothing(format!("http-{status}")));
        }
        let revoked = r#"{"error":{"code":"installation_revoked","installationId":"ins_1"}}"#;
        assert_eq!(verdict(403, revoked), Verdict::Nothing("http-403".into()));
    }
}
