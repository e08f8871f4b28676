use std::cmp::Ordering;

use super::{Decision, Head, Submission, decide};
use crate::protocol::PublicKey;

/// What is known of a submission's stream.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Whether the stream was added by the operator, or begun before.
    pub is_known: bool,
    /// Who alone may submit.
    pub submitter: Option<String>,
    /// The key that every submission is signed with.
    pub submitter_key: Option<PublicKey>,
    /// The last checkpoint: the one that was accepted last, or one that stands for it.
    pub head: Option<Head>,
    /// Whether the head was not receipted here: it came from peers, or from the operator who began the stream anew.
    pub is_floor: bool,
    /// The hash that was receipted for the submitted number.
    pub receipted: Option<String>,
}

/// What holds beyond the published rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether a stream that nobody added is begun by whatever comes first.
    pub first_use: bool,
    /// How far a number may lie above the last one.
    pub longest_jump: Option<i64>,
    /// Whether a fork that is shown again is evidence again, with a time of its own, as published. Otherwise it is the
    /// same evidence.
    pub evidence_each_time: bool,
}

/// What follows from a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The published rules decide.
    Decided(Decision),
    /// Nothing changes and nothing is signed.
    Refused(Refusal),
}

/// Why a submission is not decided about. It changes nothing, and is no evidence against anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// It lies before what peers have witnessed of the stream, or before where the operator began it anew.
    #[error("the checkpoint lies before the floor of its stream")]
    BelowFloor,
    /// The clock is behind the last statement's time.
    #[error("the witness's clock is behind the time of its last statement")]
    ClockBehind,
    /// The number lies too far above the last one.
    #[error("the checkpoint number lies too far above the last one of its stream")]
    Jump,
    /// Somebody else submits this stream.
    #[error("another submitter is pinned for this stream")]
    NotTheSubmitter,
    /// The submitter's signature is missing, of another key, or does not verify.
    #[error("the checkpoint does not carry the signature of its stream's submitter")]
    NotSigned,
    /// Nobody added this stream.
    #[error("this witness does not know the stream")]
    UnknownStream,
}

/// Decides about a submission that passed [`Submission::check`]. `caller` is who submits; `signed_by` the key whose
/// signature the submission carries, once it was verified.
pub fn admit(
    submission: &Submission,
    caller: &str,
    signed_by: Option<&PublicKey>,
    known: &Known,
    rules: Rules,
) -> Admission {
    use Admission::{Decided, Refused};
    if !known.is_known && !rules.first_use {
        return Refused(Refusal::UnknownStream);
    }
    // What a stranger sends is noise: it must not become evidence, nor tell whether a number was receipted.
    if known.submitter.as_deref().is_some_and(|submitter| submitter != caller) {
        return Refused(Refusal::NotTheSubmitter);
    }
    if known.submitter_key.as_ref().is_some_and(|key| signed_by != Some(key)) {
        return Refused(Refusal::NotSigned);
    }
    let head = known.head.as_ref();
    if let (Some(floor), true, None) = (head, known.is_floor, &known.receipted) {
        match submission.checkpoint_seq_no.cmp(&floor.checkpoint_seq_no) {
            // Nobody here knows what was there. Who submitted it elsewhere before is honest.
            Ordering::Less => return Refused(Refusal::BelowFloor),
            Ordering::Equal if submission.checkpoint_hash == floor.checkpoint_hash => return Decided(Decision::Accept),
            Ordering::Equal | Ordering::Greater => {}
        }
    }
    let decision = decide(submission, head, known.receipted.as_deref());
    let jump = head.map(|head| submission.checkpoint_seq_no.saturating_sub(head.checkpoint_seq_no));
    match (decision, jump, rules.longest_jump) {
        // A number near the end would leave no room for any that follows.
        (Decision::Accept, Some(jump), Some(longest)) if jump > longest => Refused(Refusal::Jump),
        _ => Decided(decision),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::witness::tests::submission;

    const STRICT: Rules = Rules { first_use: false, longest_jump: Some(10), evidence_each_time: false };

    /// The stream whose second checkpoint [`submission`] is.
    fn known() -> Known {
        let head = Head { checkpoint_id: "chk_1".into(), checkpoint_seq_no: 1, checkpoint_hash: "1a".repeat(32) };
        Known { is_known: true, submitter: Some("sub".into()), head: Some(head), ..Known::default() }
    }

    fn key(seed: u8) -> PublicKey {
        let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
        PublicKey::ed25519(key.verifying_key().as_bytes()).unwrap()
    }

    fn floor(number: i64, hash: &str) -> Known {
        let head = Head { checkpoint_id: "chk_f".into(), checkpoint_seq_no: number, checkpoint_hash: hash.repeat(32) };
        Known { head: Some(head), is_floor: true, ..known() }
    }

    #[test]
    fn what_extends_a_known_stream_is_accepted() {
        assert_eq!(admit(&submission(), "sub", None, &known(), STRICT), Admission::Decided(Decision::Accept));
    }

    #[test]
    fn a_stream_that_nobody_added_is_refused_unless_first_use_is_accepted() {
        let unknown = Known::default();
        assert_eq!(admit(&submission(), "sub", None, &unknown, STRICT), Admission::Refused(Refusal::UnknownStream));
        let trusting = Rules { first_use: true, ..STRICT };
        assert_eq!(admit(&submission(), "sub", None, &unknown, trusting), Admission::Decided(Decision::Accept));
    }

    #[test]
    fn nobody_but_the_pinned_submitter_makes_evidence() {
        let fork = Submission { previous_checkpoint_hash: None, ..submission() };
        assert_eq!(admit(&fork, "other", None, &known(), STRICT), Admission::Refused(Refusal::NotTheSubmitter));
        assert_eq!(admit(&fork, "sub", None, &known(), STRICT), Admission::Decided(Decision::Fork));
    }

    #[test]
    fn a_stream_with_a_key_takes_what_that_key_signed_alone() {
        let known = Known { submitter_key: Some(key(1)), ..known() };
        for signed_by in [None, Some(key(2))] {
            let admitted = admit(&submission(), "sub", signed_by.as_ref(), &known, STRICT);
            assert_eq!(admitted, Admission::Refused(Refusal::NotSigned));
        }
        let admitted = admit(&submission(), "sub", Some(&key(1)), &known, STRICT);
        assert_eq!(admitted, Admission::Decided(Decision::Accept));
    }

    #[test]
    fn a_number_that_jumps_too_far_is_refused_and_no_evidence() {
        let far = |number| Submission { checkpoint_seq_no: number, ..submission() };
        assert_eq!(admit(&far(11), "sub", None, &known(), STRICT), Admission::Decided(Decision::Accept));
        assert_eq!(admit(&far(12), "sub", None, &known(), STRICT), Admission::Refused(Refusal::Jump));
        assert_eq!(admit(&far(i64::MAX), "sub", None, &known(), STRICT), Admission::Refused(Refusal::Jump));
    }

    #[test]
    fn what_lies_before_a_floor_is_refused_and_no_evidence() {
        assert_eq!(admit(&submission(), "sub", None, &floor(3, "3c"), STRICT), Admission::Refused(Refusal::BelowFloor));
    }

    #[test]
    fn the_floor_itself_is_accepted_and_its_rival_is_a_fork() {
        assert_eq!(admit(&submission(), "sub", None, &floor(2, "2b"), STRICT), Admission::Decided(Decision::Accept));
        assert_eq!(admit(&submission(), "sub", None, &floor(2, "ff"), STRICT), Admission::Decided(Decision::Fork));
    }

    #[test]
    fn what_was_receipted_before_is_answered_again_below_a_floor_too() {
        let known = Known { receipted: Some("2b".repeat(32)), ..floor(3, "3c") };
        assert_eq!(admit(&submission(), "sub", None, &known, STRICT), Admission::Decided(Decision::Replay));
    }

    #[test]
    fn what_extends_a_floor_is_accepted() {
        let next = Submission { checkpoint_seq_no: 4, previous_checkpoint_hash: Some("3c".repeat(32)), ..submission() };
        assert_eq!(admit(&next, "sub", None, &floor(3, "3c"), STRICT), Admission::Decided(Decision::Accept));
    }
}
