use super::incident::What;
use crate::custody::Floor;
use crate::facts::Digest;

/// Submissions that one anchor step covers at most.
pub(super) const BATCH: usize = 256;

/// How a state stands to its anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was begun, and a crash came before its anchor was.
    Begun,
    /// The anchor is where the state is.
    Equal,
    /// What a crash left between a commit and its anchor step, of which nothing was signed: the anchor follows.
    RollForward,
    /// Nothing may be signed on it (I7).
    Refused(What),
}

/// Compares a state whose records are authenticated with its anchor. `behind` is the record that the last transaction
/// began behind: nothing is committed on top of what is not anchored, so a crash leaves no anchor further back. `there`
/// is what the records lead to at the anchor's count; `None` where they do not go through it. With a `window`, the anchor
/// follows at intervals, and the state may be any number ahead.
pub(super) fn compare(
    state: &Floor,
    behind: u64,
    anchor: Option<&Floor>,
    there: Option<Digest>,
    window: bool,
) -> Standing {
    let Some(anchor) = anchor else {
        return if state.count == 1 { Standing::Begun } else { Standing::Refused(What::AnchorMissing) };
    };
    if state.count < anchor.count {
        return Standing::Refused(What::RolledBack);
    }
    if there != Some(anchor.root) {
        return Standing::Refused(What::OtherHistory);
    }
    match anchor.count {
        count if count == state.count => Standing::Equal,
        count if window || count >= behind => Standing::RollForward,
        _ => Standing::Refused(What::AnchorSetBack),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(count: u64) -> Floor {
        Floor { count, root: root(count) }
    }

    fn root(count: u64) -> Digest {
        Digest::of(&count.to_be_bytes())
    }

    /// The last transaction wrote three records.
    fn compared(state: u64, anchor: u64) -> Standing {
        compare(&floor(state), state - 3, Some(&floor(anchor)), (anchor <= state).then(|| root(anchor)), false)
    }

    #[test]
    fn equal_goes() {
        assert_eq!(compared(7, 7), Standing::Equal);
    }

    #[test]
    fn a_transaction_ahead_rolls_forward_and_more_does_not() {
        assert_eq!(compared(8, 7), Standing::RollForward);
        assert_eq!(compared(10, 7), Standing::RollForward);
        assert_eq!(compared(11, 7), Standing::Refused(What::AnchorSetBack));
    }

    #[test]
    fn with_a_window_any_number_ahead_rolls_forward() {
        assert_eq!(compare(&floor(9000), 8999, Some(&floor(7)), Some(root(7)), true), Standing::RollForward);
        assert_eq!(compare(&floor(6), 5, Some(&floor(7)), None, true), Standing::Refused(What::RolledBack));
    }

    #[test]
    fn behind_is_refused() {
        assert_eq!(compared(6, 7), Standing::Refused(What::RolledBack));
    }

    #[test]
    fn another_root_at_the_anchors_count_is_refused() {
        for state in [7, 8] {
            let standing = compare(&floor(state), 6, Some(&floor(7)), Some(root(1)), false);
            assert_eq!(standing, Standing::Refused(What::OtherHistory));
        }
        // Records that leave the anchor's count out.
        assert_eq!(compare(&floor(8), 6, Some(&floor(7)), None, false), Standing::Refused(What::OtherHistory));
    }

    #[test]
    fn an_anchor_that_is_gone_is_refused_but_for_a_state_that_has_just_begun() {
        assert_eq!(compare(&floor(1), 0, None, None, false), Standing::Begun);
        assert_eq!(compare(&floor(2), 1, None, None, false), Standing::Refused(What::AnchorMissing));
    }
}
