use local_vault::facts::{Digest, Timestamp};
use local_vault::protocol::quorum::{Policy, Reason, Standing, Verdict, verify};
use local_vault::protocol::witness::{Statement, Submission};

use super::made::{NOW, hash, judge, object, policy, public, said, signed, stated, statement};

#[test]
fn two_of_three_witnesses_are_a_quorum_and_one_is_none() {
    let two = judge(&policy(""), &[stated("a", 'd'), stated("c", 'd')]);
    assert_eq!(said(&two), ["for a", "for c", "quorum reached: 2 of 3 witnesses, required 2"]);
    assert_eq!(two.counted, ["a", "c"]);
    let checkpoint = two.checkpoint.unwrap();
    assert_eq!((checkpoint.tenant_id.as_str(), checkpoint.stream_id.as_str()), ("ten_1", "str_1"));
    assert_eq!((checkpoint.seq_no, checkpoint.hash), (5, hash('d')));

    let one = judge(&policy(""), &[stated("b", 'd')]);
    assert_eq!(said(&one), ["for b", "quorum not reached: 1 of 3 witnesses, required 2"]);
    assert_eq!(one.verdict, Verdict::NotReached);
    assert_eq!(judge(&policy(""), &[]).verdict, Verdict::NotReached);
}

#[test]
fn a_witness_counts_once_however_often_and_with_whichever_key_it_signs() {
    let report = judge(&policy(""), &[stated("a", 'd'), stated("a", 'd'), stated("a2", 'd')]);
    let again = "a: the same witness again";
    assert_eq!(said(&report), ["for a", again, again, "quorum not reached: 1 of 3 witnesses, required 2"]);
    // The next key alone will do.
    assert!(judge(&policy(""), &[stated("a2", 'd'), stated("b", 'd')]).is_reached());
}

#[test]
fn a_key_that_nobody_has_in_the_policy_does_not_count() {
    let report = judge(&policy(""), &[stated("a", 'd'), stated("stranger", 'd')]);
    assert_eq!(said(&report)[1], format!("no witness of the policy has its key, {}", public("stranger").to_hex()));
    assert_eq!(report.verdict, Verdict::NotReached);
}

#[test]
fn a_statement_that_was_changed_does_not_count() {
    let other = stated("b", 'e');
    let forged = stated("b", 'd').with("signature", other.get("signature").unwrap().clone());
    let copied = stated("b", 'd').with("checkpoint_hash", hash('e'));
    let under_anothers_key = stated("stranger", 'd').with("public_key", other.get("public_key").unwrap().clone());
    let report = judge(&policy(""), &[stated("a", 'd'), forged, copied, under_anothers_key]);
    assert_eq!(
        said(&report),
        [
            "for a",
            "the signature does not verify",
            "the member `checkpoint_hash` is not as the contract has it",
            "the signature does not verify",
            "quorum not reached: 1 of 3 witnesses, required 2",
        ]
    );
}

#[test]
fn a_well_signed_statement_about_no_checkpoint_does_not_count() {
    let submission = Submission { checkpoint_seq_no: 0, ..statement('d').submission };
    let report = judge(&policy(""), &[signed("a", &Statement { submission, ..statement('d') })]);
    assert_eq!(said(&report)[0], "the checkpoint number is not between 1 and 2^63-1");
    assert_eq!(report.checkpoint, None);
}

#[test]
fn of_several_checkpoints_the_one_that_is_asked_for_counts() {
    let next = Submission { checkpoint_seq_no: 6, ..statement('e').submission };
    let elsewhere = Submission { stream_id: "str_2".into(), ..statement('c').submission };
    let of_another = Submission { tenant_id: "ten_2".into(), ..statement('b').submission };
    let others = [next, elsewhere, of_another].map(|submission| Statement { submission, ..statement('d') });
    let mut statements = vec![stated("a", 'd'), stated("b", 'd')];
    statements.extend(others.iter().map(|other| signed("c", other)));

    let asked: Digest = hash('d').parse().unwrap();
    let report = verify(&policy(""), Some(&asked), &statements, &[], NOW);
    assert_eq!(
        said(&report)[2..],
        [
            format!("c: another hash: number 6, {}", hash('e')),
            "c: another stream: str_2 of ten_1".to_owned(),
            "c: another stream: str_1 of ten_2".to_owned(),
            "quorum reached: 2 of 3 witnesses, required 2".to_owned(),
        ]
    );

    let nobodys: Digest = hash('0').parse().unwrap();
    let report = verify(&policy(""), Some(&nobodys), &statements, &[], NOW);
    assert_eq!(said(&report)[0], format!("a: another hash: number 5, {}", hash('d')));
    assert_eq!((report.verdict, report.checkpoint), (Verdict::NotReached, None));
}

#[test]
fn a_witness_that_the_policy_has_under_another_id_does_not_count() {
    let named = |id: &str| {
        let text = format!(
            r#"{{"policy_id": "p", "required": 1,
                "witnesses": [{{"name": "a", "witness_id": "{id}", "public_keys": ["<a>"]}}]}}"#
        );
        judge(&Policy::from_object(&object(&text), &[]).unwrap(), &[stated("a", 'd')])
    };
    assert!(named("ins_1").is_reached());
    assert_eq!(said(&named("ins_2"))[0], "a: another witness_id than the policy has: ins_1");
}

/// The reason why a statement of that time does not count now, where it does not.
fn of_time(more: &str, accepted_at: Timestamp) -> Option<Reason> {
    let report = judge(&policy(more), &[signed("a", &Statement { accepted_at, ..statement('d') })]);
    match report.statements.into_iter().next().unwrap() {
        Standing::Counted(_) => None,
        Standing::NotCounted { reason, .. } => Some(reason),
    }
}

#[test]
fn a_statement_is_too_old_after_the_maximum_age_and_not_before() {
    let hour = r#""max_age_seconds": 3600,"#;
    let (oldest, older) = (NOW.plus_millis(-3_600_000), NOW.plus_millis(-3_600_001));
    assert_eq!(of_time(hour, oldest), None);
    assert_eq!(of_time(hour, older), Some(Reason::TooOld(older)));
    assert_eq!(of_time("", Timestamp::from_millis(0)), None);
    assert_eq!(of_time(r#""max_age_seconds": 9223372036854775807,"#, Timestamp::from_millis(0)), None);
}

#[test]
fn a_statement_from_the_future_does_not_count_beyond_what_clocks_differ() {
    let (soon, later) = (NOW.plus_millis(60_000), NOW.plus_millis(60_001));
    assert_eq!(of_time("", soon), None);
    assert_eq!(of_time("", later), Some(Reason::FromTheFuture(later)));
}

#[test]
fn an_old_statement_of_a_witness_does_not_stand_in_the_way_of_its_new_one() {
    let old = signed("a", &Statement { accepted_at: NOW.plus_millis(-3_600_001), ..statement('d') });
    let report = judge(&policy(r#""max_age_seconds": 3600,"#), &[old, stated("a2", 'd'), stated("b", 'd')]);
    assert!(report.is_reached());
}

#[test]
fn roles_are_required_beside_the_number() {
    let policy = policy(r#""required_roles": {"customer-operated": 1, "assurance": 1},"#);
    let report = judge(&policy, &[stated("a", 'd'), stated("c", 'd')]);
    let roles = "; 0 customer-operated, required 1";
    assert_eq!(said(&report)[2], format!("quorum not reached: 2 of 3 witnesses, required 2{roles}"));
    assert!(judge(&policy, &[stated("b", 'd'), stated("c", 'd')]).is_reached());
}
