use local_vault::protocol::PublicKey;
use local_vault::protocol::quorum::Policy;

use super::made::{POLICY, judge, object, public, stated};

/// The policy as the platform documents it.
const DOCUMENTED: &str = r#"{"policy_id": "quorum-2-of-3", "required": 2,
    "witnesses": ["attesto-managed", "customer-local-vault", "assurance-witness"]}"#;

fn keys(pairs: &[(&str, &str)]) -> Vec<(String, PublicKey)> {
    pairs.iter().map(|(name, key)| ((*name).to_owned(), public(key))).collect()
}

fn documented() -> Vec<(String, PublicKey)> {
    keys(&[("attesto-managed", "a"), ("customer-local-vault", "b"), ("assurance-witness", "c")])
}

#[track_caller]
fn refused(text: &str, keys: &[(String, PublicKey)], why: &str) {
    assert_eq!(Policy::from_object(&object(text), keys).unwrap_err().to_string(), why);
}

#[test]
fn the_documented_policy_takes_its_keys_from_the_caller() {
    let policy = Policy::from_object(&object(DOCUMENTED), &documented()).unwrap();
    assert_eq!(policy.policy_id(), "quorum-2-of-3");
    let report = judge(&policy, &[stated("a", 'd'), stated("b", 'd')]);
    assert_eq!(report.counted, ["attesto-managed", "customer-local-vault"]);
    assert!(report.is_reached());
}

#[test]
fn a_witness_may_have_several_keys_from_either_place() {
    let mut several = documented();
    several.extend(keys(&[("attesto-managed", "a2"), ("attesto-managed", "a")]));
    let policy = Policy::from_object(&object(DOCUMENTED), &several).unwrap();
    assert!(judge(&policy, &[stated("a2", 'd'), stated("c", 'd')]).is_reached());
    let policy = Policy::from_object(&object(POLICY), &keys(&[("b", "b2"), ("b", "b")])).unwrap();
    assert!(judge(&policy, &[stated("b2", 'd'), stated("c", 'd')]).is_reached());
}

#[test]
fn a_witness_without_a_key_and_a_key_without_a_witness_are_refused() {
    refused(DOCUMENTED, &documented()[..2], "no key of the witness `assurance-witness` is given");
    let mut many = documented();
    many.extend(keys(&[("assurance", "d")]));
    refused(DOCUMENTED, &many, "a key is given for `assurance`, who is no witness of the policy");
}

#[test]
fn two_witnesses_with_one_key_one_name_or_one_id_are_refused() {
    let one_key = keys(&[("attesto-managed", "a"), ("customer-local-vault", "b"), ("assurance-witness", "a")]);
    refused(DOCUMENTED, &one_key, "the witnesses `attesto-managed` and `assurance-witness` have one key");
    refused(&POLICY.replace("<c>", "<a2>"), &[], "the witnesses `a` and `c` have one key");
    refused(&POLICY.replace(r#""name": "b""#, r#""name": "a""#), &[], "the witness `a` is named twice");
    let one_id = ["a", "c"].iter().fold(POLICY.to_owned(), |text, name| {
        text.replace(&format!(r#""name": "{name}""#), &format!(r#""name": "{name}", "witness_id": "ins_1""#))
    });
    refused(&one_id, &[], "the witness `c` has the witness_id of another");
}

#[test]
fn what_cannot_be_reached_or_asks_for_nobody_is_refused() {
    for required in [0, 4] {
        let text = POLICY.replace(r#""required": 2"#, &format!(r#""required": {required}"#));
        refused(&text, &[], &format!("`required` is {required}, and there are 3 witnesses"));
    }
    for (role, required, there) in [("assurance", 0, 1), ("assurance", 2, 1), ("partner", 1, 0)] {
        let text = POLICY.replacen('{', &format!(r#"{{"required_roles": {{"{role}": {required}}},"#), 1);
        let why = format!("`required_roles` has {required} for {role}, and {there} of the witnesses have that role");
        refused(&text, &[], &why);
    }
    refused(r#"{"policy_id": "p", "required": 1, "witnesses": []}"#, &[], "`required` is 1, and there are 0 witnesses");
}

#[test]
fn a_key_of_another_algorithm_is_refused() {
    // The generator of P-256 (SEC 2), which is a point like any other.
    let point = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce3357\
                 6b315ececbb6406837bf51f5";
    refused(&POLICY.replace("<b>", point), &[], "a key of the witness `b` is not Ed25519");
}

#[test]
fn each_member_that_is_unknown_missing_or_malformed_is_named() {
    for (from, to, member) in [
        (r#""policy_id": "p","#, "", "policy_id"),
        (r#""required": 2"#, r#""required": "2""#, "required"),
        (r#""required": 2"#, r#""required": -1"#, "required"),
        (r#""required": 2"#, r#""require": 2"#, "require"),
        (r#""required": 2"#, r#""required": 2, "max_age_seconds": 0"#, "max_age_seconds"),
        (r#""required": 2"#, r#""required": 2, "max_age_seconds": null"#, "max_age_seconds"),
        (r#""required": 2"#, r#""required": 2, "required_roles": []"#, "required_roles"),
        (r#""required": 2"#, r#""required": 2, "required_roles": {"auditor": 1}"#, "required_roles.auditor"),
        (r#""required": 2"#, r#""required": 2, "required_roles": {"partner": "1"}"#, "required_roles.partner"),
        (r#""witnesses""#, r#""witness""#, "witness"),
        (r#"{"name": "a","#, r#"1, {"name": "a","#, "witnesses[0]"),
        (r#""name": "b""#, r#""name": """#, "witnesses[1].name"),
        (r#""name": "b","#, "", "witnesses[1].name"),
        (r#""role": "customer-operated""#, r#""role": "customer""#, "witnesses[1].role"),
        (r#""role": "customer-operated""#, r#""role": null"#, "witnesses[1].role"),
        (r#""role": "customer-operated""#, r#""roles": "partner""#, "witnesses[1].roles"),
        (r#""role": "customer-operated""#, r#""witness_id": 1"#, "witnesses[1].witness_id"),
        (r#"["<b>"]"#, r#""<b>""#, "witnesses[1].public_keys"),
        (r#"["<b>"]"#, r#"["00"]"#, "witnesses[1].public_keys"),
        (r#"["<b>"]"#, "[1]", "witnesses[1].public_keys"),
        (r#", "public_keys": ["<b>"]"#, "", "witnesses[1].public_keys"),
    ] {
        assert!(POLICY.contains(from), "{from}");
        let why = format!("the policy's member `{member}` is unknown, missing or malformed");
        refused(&POLICY.replacen(from, to, 1), &[], &why);
    }
}
