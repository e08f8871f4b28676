use local_vault::facts::Timestamp;
use local_vault::protocol::json::Object;
use local_vault::protocol::quorum::{Policy, Report, Verdict, verify};
use local_vault::protocol::witness::{Statement, Submission};
use proptest::prelude::{ProptestConfig, Strategy, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;

use super::made::{NOW, evidence, policy, signed, statement};

proptest! {
    // Each case signs and verifies up to twenty statements.
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_statement_more_takes_a_reached_quorum_away_only_by_conflict(all in statements(), more in anything()) {
        let before = judged(&all, &[]);
        let after = judged(&[all, vec![more]].concat(), &[]);
        match after.verdict {
            Verdict::NotReached => prop_assert!(!before.is_reached()),
            Verdict::Reached => {}
            Verdict::Refused(_) => prop_assert!(!after.splits.is_empty() || after.checkpoint.is_none()),
        }
    }

    #[test]
    fn a_statement_more_about_the_same_checkpoint_never_takes_a_witness_away(all in statements(), more in agreeing()) {
        let before = judged(&all, &[]);
        let after = judged(&[all, vec![more]].concat(), &[]);
        if before.is_reached() {
            prop_assert!(after.is_reached());
        }
        if before.checkpoint == Some((&statement('d').submission).into()) {
            prop_assert!(before.counted.iter().all(|name| after.counted.contains(name)));
        }
    }

    #[test]
    fn order_does_not_matter(all in statements(), forks in prop::collection::vec(proofs(), 0..3), seed in 0_usize..100) {
        let before = judged(&all, &forks);
        let mut turned = all;
        if !turned.is_empty() {
            let by = seed % turned.len();
            turned.rotate_left(by);
        }
        if seed % 2 == 0 {
            turned.reverse();
        }
        let forks: Vec<Object> = forks.into_iter().rev().collect();
        prop_assert_eq!(whole(before), whole(judged(&turned, &forks)));
    }

    #[test]
    fn duplicates_do_not_count(all in statements()) {
        let twice = [all.clone(), all.clone()].concat();
        prop_assert_eq!(whole(judged(&all, &[])), whole(judged(&twice, &[])));
    }

    #[test]
    fn a_second_key_of_a_witness_adds_nothing(all in statements()) {
        let counted = |report: &Report| report.counted.clone();
        let with_both = [all.clone(), vec![signed("a", &statement('d')), signed("a2", &statement('d'))]].concat();
        let with_one = [all, vec![signed("a", &statement('d'))]].concat();
        prop_assert_eq!(counted(&judged(&with_one, &[])), counted(&judged(&with_both, &[])));
    }

    #[test]
    fn genuine_evidence_is_never_outvoted(all in statements(), forks in prop::collection::vec(proofs(), 0..3)) {
        let refusing = [forks, vec![evidence("c", "str_1")]].concat();
        let about_it = [all, vec![signed("b", &statement('d'))]].concat();
        prop_assert!(judged(&about_it, &refusing).is_a_fork());
    }

    #[test]
    fn whoever_counts_is_enough_and_of_the_policy(all in statements()) {
        let report = judged(&all, &[]);
        prop_assert!(report.counted.iter().all(|name| ["a", "b", "c"].contains(&name.as_str())));
        prop_assert_eq!(report.is_reached(), report.verdict == Verdict::Reached);
        prop_assert!(!report.is_reached() || report.counted.len() >= 2 && report.missing.is_empty());
    }
}

fn rules() -> Policy {
    policy(r#""max_age_seconds": 3600,"#)
}

fn judged(statements: &[Object], evidence: &[Object]) -> Report {
    verify(&rules(), None, statements, evidence, NOW)
}

/// What of a report is about all of what was given, and not about one thing after another.
fn whole(report: Report) -> Report {
    Report { statements: Vec::new(), evidence: Vec::new(), ..report }
}

fn statements() -> impl Strategy<Value = Vec<Object>> {
    prop::collection::vec(prop_oneof![4 => agreeing(), 1 => anything()], 0..8)
}

/// By a witness or a stranger, about the checkpoint that most are about, of any age.
fn agreeing() -> impl Strategy<Value = Object> {
    (signer(), age()).prop_map(|(name, accepted_at)| signed(name, &Statement { accepted_at, ..statement('d') }))
}

/// The same about that or another checkpoint, or damaged.
fn anything() -> impl Strategy<Value = Object> {
    let about = (select(vec!["str_1", "str_2"]), 4_i64..7, select(vec!['d', 'e']));
    (signer(), age(), about, 0..6).prop_map(|(name, accepted_at, (stream_id, number, letter), damage)| {
        let same = statement(letter);
        let submission =
            Submission { stream_id: stream_id.into(), checkpoint_seq_no: number, ..same.submission.clone() };
        let receipt = signed(name, &Statement { submission, accepted_at, ..same });
        if damage == 0 { receipt.with("tenant_id", "ten_2") } else { receipt }
    })
}

fn proofs() -> impl Strategy<Value = Object> {
    (signer(), select(vec!["str_1", "str_2"])).prop_map(|(name, stream)| evidence(name, stream))
}

fn signer() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "a2", "b", "c", "stranger"])
}

fn age() -> impl Strategy<Value = Timestamp> {
    select(vec![NOW, NOW.plus_millis(-3_600_000), NOW.plus_millis(-7_200_000), NOW.plus_millis(120_000)])
}
