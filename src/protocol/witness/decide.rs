use super::Submission;

/// The last checkpoint that was accepted of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The submitter's name for it.
    pub checkpoint_id: String,
    /// Its number.
    pub checkpoint_seq_no: i64,
    /// Its hash.
    pub checkpoint_hash: String,
}

/// What follows from a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It extends the stream, or begins it: a statement is signed and it becomes the head.
    Accept,
    /// It contradicts what was accepted: fork evidence is signed and the head stays.
    Fork,
    /// It has been accepted before: that same receipt is answered again.
    Replay,
}

/// Decides about a submission that passed [`Submission::check`], given the stream's head and the hash that was
/// receipted for the submitted number, if any.
pub fn decide(submission: &Submission, head: Option<&Head>, receipted_hash_for_number: Option<&str>) -> Decision {
    // Rule 1: a number is receipted once.
    if let Some(receipted) = receipted_hash_for_number {
        return if receipted == submission.checkpoint_hash { Decision::Replay } else { Decision::Fork };
    }
    // Rule 3: trust on first use.
    let Some(head) = head else { return Decision::Accept };
    // Rule 2: only what names the head as its predecessor extends it. Numbers may be left out.
    let extends = submission.checkpoint_seq_no > head.checkpoint_seq_no
        && submission.previous_checkpoint_hash.as_ref() == Some(&head.checkpoint_hash);
    if extends { Decision::Accept } else { Decision::Fork }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::witness::tests::submission;

    fn head() -> Head {
        Head { checkpoint_id: "chk_1".into(), checkpoint_seq_no: 1, checkpoint_hash: "1a".repeat(32) }
    }

    #[test]
    fn a_first_checkpoint_is_accepted_as_it_comes() {
        assert_eq!(decide(&submission(), None, None), Decision::Accept);
    }

    #[test]
    fn a_checkpoint_that_names_the_head_is_accepted() {
        assert_eq!(decide(&submission(), Some(&head()), None), Decision::Accept);
    }

    #[test]
    fn a_number_may_be_left_out() {
        let later = Submission { checkpoint_seq_no: 9, ..submission() };
        assert_eq!(decide(&later, Some(&head()), None), Decision::Accept);
    }

    #[test]
    fn a_receipted_number_with_the_same_hash_is_a_replay_whatever_else_differs() {
        let again = Submission { checkpoint_id: "other".into(), previous_checkpoint_hash: None, ..submission() };
        let hash = again.checkpoint_hash.clone();
        assert_eq!(decide(&again, Some(&head()), Some(&hash)), Decision::Replay);
    }

    #[test]
    fn a_receipted_number_with_another_hash_is_a_fork() {
        assert_eq!(decide(&submission(), Some(&head()), Some(&"ff".repeat(32))), Decision::Fork);
    }

    #[test]
    fn a_number_that_does_not_grow_is_a_fork() {
        for number in [1, 2] {
            let head = Head { checkpoint_seq_no: 2, ..head() };
            let late = Submission { checkpoint_seq_no: number, ..submission() };
            assert_eq!(decide(&late, Some(&head), None), Decision::Fork);
        }
    }

    #[test]
    fn another_predecessor_or_none_is_a_fork() {
        for previous in [None, Some("ff".repeat(32))] {
            let stray = Submission { previous_checkpoint_hash: previous, ..submission() };
            assert_eq!(decide(&stray, Some(&head()), None), Decision::Fork);
        }
    }
}
