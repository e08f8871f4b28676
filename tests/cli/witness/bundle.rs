use local_vault::protocol::json::{Object, Value};

use super::super::vault::{Vault, objects, trusted};
use super::{accepted, add, checkpoint, public_key, signature, signed, strict, submit, verify};

/// A fork that the submitter signed both sides of, as `witness forks` gives it.
fn proof() -> (Vault, Object) {
    let vault = Vault::new();
    vault.reconfigure("witness.first_use = \"accept\"\n", "");
    add(&vault, &["--submitter-key", &public_key("erp")]);
    submit(&vault, &signed("erp", &checkpoint(1, 'a', None)), &[]).ok();
    assert_eq!(submit(&vault, &signed("erp", &checkpoint(1, 'b', None)), &[]).code, Some(65));
    let bundle = vault.json(&["witness", "forks", "--json"]).remove(0);
    (vault, bundle)
}

#[track_caller]
fn refused(vault: &Vault, bundle: &Object, why: &str) {
    let line = String::from_utf8(bundle.to_canonical()).unwrap();
    let done = verify(vault, &line, &["--public-key", &trusted("witness"), "--evidence"]);
    assert_eq!((done.code, done.out), (Some(65), format!("FAILED  -:1  {why}\n")));
}

#[test]
fn two_heads_that_one_key_signed_are_proof_to_whoever_has_the_witnesss_key_alone() {
    let (vault, bundle) = proof();
    let line = String::from_utf8(bundle.to_canonical()).unwrap();
    let key = trusted("witness");
    let out = verify(&vault, &line, &["--public-key", &key, "--evidence"]).ok();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "OK      -:1  fork evidence, a proof, for s number 1");
    let shown = &objects(lines[1])[0];
    assert_eq!(Some(shown), bundle.get_object("verifier"));
    assert_eq!(shown.get_str("result"), Some("verifier_rejects_ambiguous_history"));
    let json = objects(&verify(&vault, &line, &["--public-key", &key, "--json"]).ok()).remove(0);
    assert_eq!((json.get_str("class"), json.get("evidence")), (Some("proof"), None));
    assert!(vault.ok(&["witness", "forks"]).contains("  proof  "));
    refused_without_a_witness_key(&vault, &line);
}

fn refused_without_a_witness_key(vault: &Vault, line: &str) {
    let done = verify(vault, line, &["--public-key", &trusted("relay")]);
    assert_eq!((done.code, done.out.as_str()), (Some(65), "FAILED  -:1  no witness key is trusted\n"));
}

#[test]
fn a_bundle_that_claims_more_than_it_shows_is_refused() {
    let (vault, bundle) = proof();
    let claim = "it says that it is proof, and what is in it is claim";
    let unsigned = bundle.clone().with("submitted_signature", Value::Null);
    refused(&vault, &unsigned, claim);
    let by_another = signature("other", &checkpoint(1, 'b', None)).to_object();
    refused(&vault, &bundle.clone().with("submitted_signature", by_another), claim);
    refused(
        &vault,
        &unsigned.with("class", "claim").with("surprise", 1_u32),
        "the member `surprise` is not as the contract has it",
    );
}

#[test]
fn a_signature_or_a_receipt_of_something_else_is_refused() {
    let (vault, bundle) = proof();
    let elsewhere = "a submitter's signature in it does not verify";
    for member in ["submitted_signature", "receipted_signature"] {
        let other = signature("erp", &checkpoint(2, 'b', None)).to_object();
        refused(&vault, &bundle.clone().with(member, other), elsewhere);
    }
    refused(&vault, &bundle.clone().with("receipt", Value::Null), elsewhere);
    submit(&vault, &signed("erp", &checkpoint(2, 'c', Some('a'))), &[]).ok();
    let other = vault.json(&["witness", "show", "chk_2", "--json"]).remove(0);
    let why = "the receipt in it is not of the checkpoint that the evidence contradicts";
    refused(&vault, &bundle.clone().with("receipt", other), why);
    let shown = bundle.get_object("verifier").unwrap().clone().with("stream_id", "other");
    refused(&vault, &bundle.with("verifier", shown), "the member `verifier.stream_id` is not as the contract has it");
}

#[test]
fn what_nobody_signed_is_a_claim() {
    let vault = strict();
    accepted(&vault, &checkpoint(1, 'a', None));
    submit(&vault, &checkpoint(1, 'b', None).to_object(), &[]);
    submit(&vault, &checkpoint(2, 'c', Some('b')).to_object(), &[]);
    let lines = vault.ok(&["witness", "forks", "--json"]);
    let out = verify(&vault, &lines, &["--public-key", &trusted("witness")]).ok();
    assert_eq!(out.matches("fork evidence, a claim, for s number").count(), 2, "{out}");
    let bundles = objects(&lines);
    refused(&vault, &bundles[0].clone().with("class", "proof"), "it says that it is proof, and what is in it is claim");
    // The second contradicts no number that was receipted.
    assert_eq!(bundles[1].get("receipt"), Some(&Value::Null));
}

#[test]
fn evidence_is_listed_page_by_page_and_for_a_tenant_alone() {
    let vault = strict();
    accepted(&vault, &checkpoint(1, 'a', None));
    for digit in ['b', 'c', 'd'] {
        submit(&vault, &checkpoint(1, digit, None).to_object(), &[]);
    }
    let first = vault.run(&["witness", "forks", "--limit", "2"]);
    assert_eq!((first.code, first.out.lines().count()), (Some(0), 3));
    let after = first.err.trim_end().rsplit_once(' ').unwrap().1;
    assert_eq!(vault.json(&["witness", "forks", "--after", after, "--json"]).len(), 1);
    assert_eq!(vault.json(&["witness", "forks", "--tenant", "u", "--json"]).len(), 0);
}
