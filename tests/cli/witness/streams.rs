use local_vault::protocol::json::Value;

use super::super::vault::Vault;
use super::{accepted, add, checkpoint, public_key, signed, strict, submit};

#[test]
fn a_stream_is_added_once_and_listed_with_how_far_it_is() {
    let vault = strict();
    assert!(vault.ok(&["witness", "stream", "list"]).contains("t       s       none"));
    accepted(&vault, &checkpoint(1, 'a', None));
    let stream = vault.json(&["witness", "stream", "list", "--json"]).remove(0);
    assert_eq!(stream.get_object("head").unwrap().get_str("checkpoint_id"), Some("chk_1"));
    let words = "witness stream add --tenant-id t --stream-id s --consent again";
    let again = vault.run(&words.split(' ').collect::<Vec<_>>());
    again.fails(65, &["Error: the stream is known already.", "Nothing was changed."]);
}

#[test]
fn consent_is_named() {
    let words = "witness stream add --tenant-id t --stream-id s";
    assert_eq!(Vault::new().run(&words.split(' ').collect::<Vec<_>>()).code, Some(64));
}

#[test]
fn a_stream_is_its_submitters_and_its_keys_alone() {
    let vault = Vault::new();
    vault.reconfigure("witness.first_use = \"accept\"\n", "");
    add(&vault, &["--submitter", "operator", "--submitter-key", &public_key("erp")]);
    let first = checkpoint(1, 'a', None);
    for refused in [first.to_object(), signed("other", &first)] {
        assert_eq!(submit(&vault, &refused, &[]).code, Some(77));
    }
    submit(&vault, &signed("erp", &first), &[]).ok();
}

#[test]
fn a_stream_of_another_submitter_takes_nothing_from_the_operator() {
    let vault = Vault::new();
    add(&vault, &["--submitter", "erp"]);
    let done = submit(&vault, &checkpoint(1, 'a', None).to_object(), &[]);
    assert_eq!(done.code, Some(77));
    assert!(done.err.contains("Error: another submitter is pinned for this stream."), "{done:?}");
}

#[test]
fn a_stream_begins_anew_behind_what_the_operator_names_once_that_is_meant() {
    let vault = strict();
    let first = accepted(&vault, &checkpoint(1_000_001, 'a', None));
    let jump = submit(&vault, &checkpoint(3_000_000, 'b', Some('a')).to_object(), &[]);
    assert_eq!(jump.code, Some(65), "{jump:?}");
    assert!(jump.err.contains("the checkpoint number lies too far above the last one"), "{jump:?}");

    let hash = "9".repeat(64);
    let words = "witness stream reoriginate --tenant-id t --stream-id s --checkpoint-id c --checkpoint-seq-no 1";
    let more = ["--checkpoint-hash", &hash, "--allowed-by", "A. Muster", "--reason", "their disk was restored"];
    let words: Vec<&str> = words.split(' ').chain(more).collect();
    // Nobody is there to be asked.
    assert_eq!(vault.run(&words).code, Some(64));
    vault.ok(&[words.as_slice(), &["--yes"]].concat());

    let again = accepted(&vault, &checkpoint(2, 'c', Some('9')));
    assert_ne!(again.get("witness_receipt_id"), first.get("witness_receipt_id"));
    assert_eq!(vault.json(&["witness", "stream", "list", "--json"])[0].get("origin"), Some(&Value::from(1_u32)));
    assert_eq!(vault.json(&["witness", "show", "chk_1000001", "--json"]), [first]);
    let said = vault.ok(&["audit", "export"]);
    assert!(said.contains("their disk was restored (allowed by A. Muster)"), "{said}");
}

#[test]
fn only_a_stream_that_is_known_begins_anew_and_only_behind_a_checkpoint() {
    let vault = strict();
    let hash = "9".repeat(64);
    for (stream, number, hash) in [("x", "1", hash.as_str()), ("s", "0", &hash), ("s", "1", "9")] {
        let words = "witness stream reoriginate --tenant-id t --checkpoint-id c --allowed-by a --reason r --yes";
        let more = ["--stream-id", stream, "--checkpoint-seq-no", number, "--checkpoint-hash", hash];
        let done = vault.run(&words.split(' ').chain(more).collect::<Vec<_>>());
        assert_eq!(done.code, Some(65), "{done:?}");
    }
    assert_eq!(vault.json(&["witness", "stream", "list", "--json"])[0].get("origin"), Some(&Value::from(0_u32)));
}
