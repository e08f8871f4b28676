use super::Answer;
use crate::facts::Digest;
use crate::protocol::ack::{self, ErrorForm};
use crate::protocol::envelope::Envelope;
use crate::protocol::json::Object;

/// What an answer means for the event that was sent (sections 4 and 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The receiver holds other content under the event's reference.
    Conflict,
    /// The receiver judged this event, and not in its favour. Counts towards the dead letters.
    Judged(String),
    /// It says nothing about the event: an outage, whatever the body holds. Counts nothing.
    Nothing(String),
    /// A matching receipt.
    Receipted,
    /// The receiver says that the installation is revoked. Believed when a second probe says so too.
    Revoked,
}

/// Judges an answer. Fails closed: only a matching receipt delivers, and only what names the event counts against it.
pub(super) fn judge(envelope: &Envelope, envelope_hash: &Digest, answer: &Answer) -> Verdict {
    let body = answer.object().ok();
    let error = if answer.is_success() {
        match ack::check(envelope, envelope_hash, body.as_ref()) {
            Ok(_) => return Verdict::Receipted,
            Err(e) => format!("ack-{}", e.code()),
        }
    } else {
        format!("http-{}", answer.status)
    };
    let Some(body) = body else { return Verdict::Nothing(error) };
    if answer.status == 403 && says_revoked(envelope, &body) {
        return Verdict::Revoked;
    }
    if says_nothing(answer.status) {
        return Verdict::Nothing(error);
    }
    let form = ErrorForm::from_object(&body);
    let named = ack::names_event(envelope, envelope_hash, &body);
    // A refusal in the error form that names no event is about the one that was sent.
    let refused = !answer.is_success() && form.as_ref().is_some_and(|form| form.event_id.is_none());
    if !named && !refused {
        return Verdict::Nothing(error);
    }
    // Settled for good, so only for what names the event.
    let says_conflict = answer.status == 409 || form.is_some_and(|form| form.code == "source_ref_conflict");
    if named && says_conflict { Verdict::Conflict } else { Verdict::Judged(error) }
}

/// Statuses that a proxy, a portal, a load balancer or a receiver in trouble answers.
pub(super) const fn says_nothing(status: u16) -> bool {
    !matches!(status, 200..=299 | 400..=499) || matches!(status, 401 | 403 | 404 | 405 | 408 | 425 | 429)
}

fn says_revoked(envelope: &Envelope, body: &Object) -> bool {
    ErrorForm::from_object(body).is_some_and(|form| {
        form.code == "installation_revoked" && form.installation_id.as_ref() == Some(&envelope.installation_id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Timestamp;

    fn envelope() -> Envelope {
        Envelope {
            installation_id: "ins_1".into(),
            event_id: "lv_00000000000000000000000000000001".into(),
            stream_id: "s".into(),
            source_ref: "r".into(),
            payload_sha256: Digest::of(b"{}"),
            payload_size: 2,
            attempt: 1,
            created_at: Timestamp::from_millis(0),
            signed_at: Timestamp::from_millis(0),
        }
    }

    fn verdict(status: u16, body: &str) -> Verdict {
        let envelope = envelope();
        let answer = Answer { status, retry_after: None, date: None, body: body.into() };
        judge(&envelope, &envelope.preimage().hash(), &answer)
    }

    const ABOUT_US: &str = r#"{"error":{"code":"x","message":"","eventId":"lv_00000000000000000000000000000001"}}"#;
    const ABOUT_ANOTHER: &str = r#"{"error":{"code":"x","eventId":"lv_00000000000000000000000000000002"}}"#;
    const CONFLICT: &str =
        r#"{"error":{"code":"source_ref_conflict","eventId":"lv_00000000000000000000000000000001"}}"#;

    #[test]
    fn these_statuses_never_judge_an_event_whatever_the_body_says() {
        for status in [301, 302, 307, 401, 403, 404, 405, 408, 425, 429, 500, 502, 503, 504, 100, 999] {
            assert_eq!(verdict(status, ABOUT_US), Verdict::Nothing(format!("http-{status}")));
            assert_eq!(verdict(status, CONFLICT), Verdict::Nothing(format!("http-{status}")));
        }
    }

    #[test]
    fn an_error_form_judges_the_event_it_names_or_the_one_that_was_sent() {
        assert_eq!(verdict(422, ABOUT_US), Verdict::Judged("http-422".into()));
        assert_eq!(verdict(400, r#"{"error":{"code":"x","message":"y"}}"#), Verdict::Judged("http-400".into()));
        assert_eq!(verdict(422, ABOUT_ANOTHER), Verdict::Nothing("http-422".into()));
        assert_eq!(verdict(200, ABOUT_US), Verdict::Judged("ack-missing-local-vault-ack".into()));
        assert_eq!(verdict(200, ABOUT_ANOTHER), Verdict::Nothing("ack-missing-local-vault-ack".into()));
    }

    #[test]
    fn what_names_nothing_is_an_outage() {
        for body in ["", "<html>sign in</html>", "[]", "{}", r#"{"detail":"no"}"#] {
            assert_eq!(verdict(422, body), Verdict::Nothing("http-422".into()));
        }
        assert_eq!(verdict(200, "<html>"), Verdict::Nothing("ack-missing-body".into()));
        assert_eq!(verdict(200, "{}"), Verdict::Nothing("ack-missing-local-vault-ack".into()));
    }

    #[test]
    fn an_acknowledgement_that_names_the_event_and_does_not_hold_counts_against_it() {
        let body = r#"{"local_vault_ack":{"accepted":false,"event_id":"lv_00000000000000000000000000000001"}}"#;
        assert_eq!(verdict(200, body), Verdict::Judged("ack-ack-not-accepted".into()));
    }

    #[test]
    fn a_conflict_is_a_409_or_its_code_where_it_names_the_event() {
        assert_eq!(verdict(409, ABOUT_US), Verdict::Conflict);
        assert_eq!(verdict(422, CONFLICT), Verdict::Conflict);
        assert_eq!(verdict(200, CONFLICT), Verdict::Conflict);
        assert_eq!(verdict(409, ABOUT_ANOTHER), Verdict::Nothing("http-409".into()));
        assert_eq!(verdict(409, "<html>"), Verdict::Nothing("http-409".into()));
        assert_eq!(verdict(409, r#"{"error":{"code":"x"}}"#), Verdict::Judged("http-409".into()));
    }

    #[test]
    fn a_revocation_is_a_403_that_names_this_installation() {
        let ours = r#"{"error":{"code":"installation_revoked","installationId":"ins_1"}}"#;
        let other = r#"{"error":{"code":"installation_revoked","installationId":"ins_2"}}"#;
        assert_eq!(verdict(403, ours), Verdict::Revoked);
        assert_eq!(verdict(403, other), Verdict::Nothing("http-403".into()));
        assert_eq!(verdict(401, ours), Verdict::Nothing("http-401".into()));
        assert_eq!(verdict(422, other), Verdict::Judged("http-422".into()));
    }
}
