use local_vault::facts::Timestamp;
use local_vault::protocol::json::{Object, Value};
use local_vault::protocol::quorum::{EvidenceStanding, Refusal, Report, Verdict, verify};
use local_vault::protocol::witness::{Statement, Submission};

use super::made::{NOW, evidence, hash, judge, policy, public, signed, stated, statement};

/// All three witnesses agree, and there is this piece of evidence.
fn with(evidence: Object) -> Report {
    verify(&policy(""), None, &[stated("a", 'd'), stated("b", 'd'), stated("c", 'd')], &[evidence], NOW)
}

#[test]
fn fork_evidence_about_the_stream_refuses_whoever_signed_it() {
    for name in ["a", "a2", "b", "c"] {
        let report = with(evidence(name, "str_1"));
        assert_eq!(report.to_string(), "refused: fork evidence");
        assert_eq!(report.evidence[0].to_string(), format!("{}: fork evidence for str_1 number 5", &name[..1]));
        assert!(report.is_a_fork());
    }
}

#[test]
fn evidence_that_anybody_can_make_is_told_of_and_refuses_nothing() {
    let real = evidence("a", "str_1");
    let forged = evidence("a", "str_1").with("signature", evidence("a", "str_2").get("signature").unwrap().clone());
    let stranger = format!("no witness of the policy has its key, {}", public("stranger").to_hex());
    for (made, why) in [
        (evidence("stranger", "str_1"), stranger.as_str()),
        (forged, "the signature does not verify"),
        (real.clone().with("note", 1_i64), "the member `note` is not as the contract has it"),
        (Object::new(), "the member `public_key.public_key_hex` is not as the contract has it"),
    ] {
        let report = with(made);
        assert!(report.is_reached());
        assert!(matches!(report.evidence[0], EvidenceStanding::PassedOver(_)));
        assert_eq!(report.evidence[0].to_string(), why);
    }
}

#[test]
fn genuine_evidence_about_another_stream_is_told_of() {
    let report = with(evidence("a", "str_2"));
    assert!(report.is_reached());
    assert_eq!(report.evidence[0].to_string(), "a: about another stream, str_2 of ten_1");
}

#[test]
fn where_no_statement_says_which_stream_is_meant_any_evidence_refuses() {
    let report = verify(&policy(""), None, &[], &[evidence("a", "str_2")], NOW);
    assert_eq!(report.verdict, Verdict::Refused(vec![Refusal::ForkEvidence]));
}

#[test]
fn two_hashes_for_one_number_refuse_and_are_shown_as_verifiers_do() {
    let asked = hash('d').parse().unwrap();
    let statements = [stated("a", 'd'), stated("b", 'd'), stated("c", 'e')];
    for asked in [None, Some(&asked)] {
        let report = verify(&policy(""), asked, &statements, &[], NOW);
        assert_eq!(report.to_string(), "refused: two hashes for one number");
        assert!(report.is_a_fork());
        let (d, e) = (hash('d'), hash('e'));
        assert_eq!(report.splits[0].to_string(), format!("number 5 of str_1 has 2 hashes: {d} by a and b, {e} by c"));
        let checkpoint = |id: &str, hash| Object::new().with("checkpoint_id", id).with("checkpoint_head_hash", hash);
        let shown = Object::new()
            .with("kind", "fork_evidence")
            .with("stream_id", "str_1")
            .with("conflicting_checkpoints", vec![checkpoint("chk_d", d), checkpoint("chk_e", e)])
            .with("detected_by", "p")
            .with("result", "verifier_rejects_ambiguous_history");
        assert_eq!(report.splits[0].for_verifiers("p"), shown);
    }
}

#[test]
fn a_witness_that_signs_two_hashes_for_one_number_refuses_with_either_key() {
    for second in ["a", "a2"] {
        let report = judge(&policy(""), &[stated("a", 'd'), stated("b", 'd'), stated(second, 'e')]);
        assert_eq!(report.verdict, Verdict::Refused(vec![Refusal::SplitView]));
    }
}

#[test]
fn a_split_at_another_number_of_the_stream_refuses_too_and_age_excuses_nothing() {
    let early = |letter, accepted_at| {
        let submission = Submission { checkpoint_seq_no: 4, ..statement(letter).submission };
        Statement { submission, accepted_at, ..statement(letter) }
    };
    let (old, late) = (Timestamp::from_millis(0), NOW.plus_millis(3_600_000));
    let statements =
        [stated("a", 'd'), stated("b", 'd'), signed("b", &early('1', old)), signed("c", &early('2', late))];
    let asked = hash('d').parse().unwrap();
    let report = verify(&policy(r#""max_age_seconds": 60,"#), Some(&asked), &statements, &[], NOW);
    assert_eq!(report.verdict, Verdict::Refused(vec![Refusal::SplitView]));
    assert_eq!(report.splits[0].seq_no, 4);
}

#[test]
fn a_hash_that_a_stranger_signed_splits_nothing() {
    let report = judge(&policy(""), &[stated("a", 'd'), stated("b", 'd'), stated("stranger", 'e')]);
    assert!(report.is_reached());
}

#[test]
fn a_split_in_another_stream_is_not_this_streams() {
    let there = |letter| {
        let submission = Submission { stream_id: "str_2".into(), ..statement(letter).submission };
        signed("c", &Statement { submission, ..statement(letter) })
    };
    let statements = [stated("a", 'd'), stated("b", 'd'), there('1'), there('2')];
    let asked = hash('d').parse().unwrap();
    assert!(verify(&policy(""), Some(&asked), &statements, &[], NOW).is_reached());
}

#[test]
fn where_the_statements_are_about_several_checkpoints_it_must_be_said_which() {
    let next = Submission { checkpoint_seq_no: 6, ..statement('e').submission };
    let next = signed("c", &Statement { submission: next, ..statement('e') });
    let report = judge(&policy(""), &[stated("a", 'd'), stated("b", 'd'), next]);
    assert_eq!(report.to_string(), "refused: the statements are about several checkpoints");
    assert!(!report.is_a_fork());
    let e = hash('e');
    let third = format!("c: it is about number 6 of str_1, hash {e}; others are about others");
    assert_eq!(report.statements[2].to_string(), third);
}

#[test]
fn one_hash_for_two_numbers_is_no_answer_to_which_checkpoint() {
    let later = Submission { checkpoint_seq_no: 6, ..statement('d').submission };
    let later = signed("c", &Statement { submission: later, ..statement('d') });
    let asked = hash('d').parse().unwrap();
    let report = verify(&policy(""), Some(&asked), &[stated("a", 'd'), stated("b", 'd'), later], &[], NOW);
    assert_eq!(report.verdict, Verdict::Refused(vec![Refusal::SeveralCheckpoints]));
}

#[test]
fn the_form_that_verifiers_show_is_unsigned_and_refuses_nothing() {
    let shown = Object::new().with("kind", "fork_evidence").with("conflicting_checkpoints", Value::Array(Vec::new()));
    assert!(with(shown).is_reached());
}
