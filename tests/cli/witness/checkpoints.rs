use local_vault::protocol::json::{Object, Value};

use super::super::vault::{Vault, objects, trusted};
use super::{accepted, checkpoint, signature, signed, strict, submit, verify};

#[test]
fn a_checkpoint_is_told_in_one_line_and_comes_again_as_what_it_was() {
    let vault = strict();
    let hash = "a".repeat(64);
    let words = "witness checkpoint --tenant-id t --stream-id s --checkpoint-id chk_1 --checkpoint-seq-no 1";
    let words: Vec<&str> = words.split(' ').chain(["--checkpoint-hash", &hash]).collect();
    let first = vault.ok(&words);
    assert!(first.starts_with("accepted: number 1 of s, receipt lwr_"), "{first}");
    assert_eq!(vault.ok(&words), first.replace("accepted", "replayed"));
    assert_eq!(vault.ok(&["witness", "counts"]), "receipts       1\nfork evidence  0\n");
    assert_eq!(vault.ok(&["witness", "counts", "--json"]), "{\"forks\": 0, \"receipts\": 1}\n");
}

#[test]
fn what_contradicts_its_stream_ends_with_65_and_the_evidence_is_printed() {
    let vault = strict();
    accepted(&vault, &checkpoint(1, 'a', None));
    vault.write("rival.json", checkpoint(1, 'b', None).to_object().to_canonical());
    let done = vault.run(&["witness", "checkpoint", "rival.json"]);
    assert_eq!(done.code, Some(65), "{done:?}");
    assert!(done.err.starts_with("Error: number 1 of s contradicts what was witnessed of it: fork evidence lwf_"));
    verify(&vault, &done.out, &["--public-key", &trusted("witness")]).ok();
    // With --json it stands in the published line.
    let line = submit(&vault, &checkpoint(1, 'b', None).to_object(), &[]);
    assert_eq!((line.code, objects(&line.out)[0].get("accepted")), (Some(65), Some(&Value::Bool(false))));
    verify(&vault, &line.out, &["--public-key", &trusted("witness")]).ok();
}

#[test]
fn a_stream_that_nobody_added_is_refused() {
    let vault = strict();
    let other = local_vault::protocol::witness::Submission { stream_id: "x".into(), ..checkpoint(1, 'a', None) };
    submit(&vault, &other.to_object(), &[]).fails(
        77,
        &[
            "Error: this witness does not know the stream.",
            "Nothing was changed, and nothing was signed. `local-vault witness stream add` lets it in.",
        ],
    );
}

#[test]
fn a_receipt_of_ours_that_the_state_does_not_know_stops_the_witness() {
    let vault = strict();
    accepted(&vault, &checkpoint(1, 'a', None));
    std::fs::copy(vault.path("witness.sqlite3"), vault.path("copy")).unwrap();
    let ahead = accepted(&vault, &checkpoint(2, 'b', Some('a')));
    vault.write("ahead.json", Object::new().with("receipt", ahead).to_canonical());
    std::fs::remove_file(vault.path("witness.sqlite3-wal")).unwrap_or_default();
    std::fs::copy(vault.path("copy"), vault.path("witness.sqlite3")).unwrap();
    let rival = checkpoint(2, 'c', Some('a')).to_object();
    let done = submit(&vault, &rival, &["--known-receipt", "ahead.json"]);
    assert_eq!((done.code, done.out.as_str()), (Some(77), ""), "{done:?}");
    assert!(done.err.contains("somebody holds a statement of this witness that its state does not know"), "{done:?}");
    let stopped = submit(&vault, &rival, &[]);
    assert_eq!(stopped.code, Some(77));
    assert!(stopped.err.contains("the witness was stopped: own-signature-ahead"), "{stopped:?}");
    let status = vault.run(&["witness", "status"]);
    assert_eq!(status.code, Some(77));
    assert!(status.out.ends_with("stopped   own-signature-ahead\n"), "{status:?}");
}

#[test]
fn a_signature_is_taken_from_a_file_as_well_and_one_over_something_else_is_refused() {
    let vault = strict();
    let first = checkpoint(1, 'a', None);
    vault.write("signature.json", signature("erp", &first).to_object().to_canonical());
    submit(&vault, &first.to_object(), &["--signature", "signature.json"]).ok();
    let second = checkpoint(2, 'b', Some('a'));
    let done = submit(&vault, &second.to_object(), &["--signature", "signature.json"]);
    assert_eq!(done.code, Some(77), "{done:?}");
    submit(&vault, &signed("erp", &second), &[]).ok();
}

#[test]
fn what_is_no_checkpoint_or_anothers_changes_nothing() {
    let vault = Vault::new();
    let other = local_vault::protocol::witness::Submission { witness_id: "ins_2".into(), ..checkpoint(1, 'a', None) };
    let bad = [
        (Object::new(), "the member `tenant_id` is not as the contract has it"),
        (other.to_object(), "the checkpoint names another witness, ins_2"),
        (checkpoint(0, 'a', None).to_object(), "the checkpoint number is not between 1 and 2^63-1"),
        (signed("erp", &checkpoint(1, 'a', None)).with("more", 1_u32), "the member `more` is not"),
    ];
    for (object, why) in bad {
        let done = submit(&vault, &object, &[]);
        assert_eq!((done.code, done.out.as_str()), (Some(65), ""), "{done:?}");
        assert!(done.err.contains(why), "{done:?}");
    }
    assert!(!vault.path("witness.sqlite3").exists());
    assert_eq!(vault.run(&["witness", "checkpoint", "--tenant-id", "t"]).code, Some(64));
}

#[test]
fn a_checkpoints_receipt_is_shown_and_verifies() {
    let vault = strict();
    let receipt = accepted(&vault, &checkpoint(1, 'a', None));
    assert_eq!(vault.json(&["witness", "show", "chk_1", "--json"]).remove(0), receipt);
    let table = vault.ok(&["witness", "show", "chk_1", "--tenant", "t"]);
    assert!(table.contains(receipt.get_str("witness_receipt_id").unwrap()), "{table}");
    for none in [["witness", "show", "chk_2"].as_slice(), &["witness", "show", "chk_1", "--tenant", "u"]] {
        assert_eq!(vault.run(none).code, Some(65));
    }
}
