use local_vault::protocol::json::Value;

use super::super::vault::{Vault, public_key};
use super::{accepted, checkpoint, database, strict, submit};

#[test]
fn every_record_is_gone_over() {
    let vault = strict();
    accepted(&vault, &checkpoint(1, 'a', None));
    submit(&vault, &checkpoint(1, 'b', None).to_object(), &[]);
    let said = "4 records verified (1 receipts, 1 fork evidence), 0 wrong, 0 without a signature yet\n";
    assert_eq!(vault.ok(&["witness", "verify"]), said);
}

#[test]
fn whatever_was_changed_is_named_with_its_record() {
    let edits = [
        ("UPDATE records SET body = x'7b7d' WHERE n = 3", "record 3: it was changed"),
        ("UPDATE receipts SET signature = zeroblob(64)", "record 3: its signature does not verify"),
        ("UPDATE receipts SET seq_no = 9 WHERE n = 3", "record 3: what stands for it is of another checkpoint"),
        ("DELETE FROM receipts WHERE n = 3", "record 3: what stands for it is gone, or is of another kind"),
        ("UPDATE forks SET shown = x'00'", "record 4: what stands for it is of another checkpoint"),
        ("UPDATE forks SET kid = 'x'", "record 4: it is signed by a key that is none of ours"),
        ("DELETE FROM records WHERE n = 3", "record 3: a receipt or evidence has no record"),
        ("DELETE FROM records WHERE n = 2", "record 5: the records do not lead to where the state stands"),
    ];
    for (edit, wrong) in edits {
        let vault = strict();
        accepted(&vault, &checkpoint(1, 'a', None));
        submit(&vault, &checkpoint(1, 'b', None).to_object(), &[]);
        accepted(&vault, &checkpoint(2, 'c', Some('a')));
        database(&vault).execute_batch(&format!("PRAGMA foreign_keys = OFF; {edit}")).unwrap();
        let done = vault.run(&["witness", "verify"]);
        assert_eq!(done.code, Some(65), "{edit}: {done:?}");
        assert!(done.out.contains(&format!("wrong  {wrong}\n")), "{edit}: {done:?}");
        let json = vault.run(&["witness", "verify", "--json"]).out;
        assert_eq!(super::super::vault::objects(&json).pop().unwrap().get("verified"), Some(&Value::Bool(false)));
    }
}

#[test]
fn the_standing_names_the_anchor_and_the_key_that_signs() {
    let vault = Vault::new();
    let words = ["witness", "status"];
    assert!(vault.ok(&words).contains("state     not begun\nanchor    none: nothing here notices"));
    vault.reconfigure("witness.rollback = \"accepted\"", "witness.anchor = \"rewritable\"\nwitness.floor_file = \"f\"");
    accepted(&vault, &checkpoint(1, 'a', None));
    let said = vault.ok(&words);
    assert!(said.contains("anchor    rewritable, record 2, root "), "{said}");
    assert!(said.ends_with(&format!("key       witness-1 {}, signs\n", public_key("witness"))), "{said}");
    let json = vault.json(&["witness", "status", "--json"]).remove(0);
    assert_eq!(json.get_object("anchor").unwrap().get("floor"), json.get("state"));
}

#[test]
fn an_anchor_whose_disk_is_gone_is_away() {
    let vault = Vault::new();
    let floor = "witness.anchor = \"rewritable\"\nwitness.floor_file = \"gone/f\"";
    vault.reconfigure("witness.rollback = \"accepted\"", floor);
    let status = vault.run(&["witness", "status", "--json"]);
    assert_eq!(status.code, Some(69), "{status:?}");
    assert!(status.out.contains("the witness's floor at "), "{status:?}");
    assert_eq!(submit(&vault, &checkpoint(1, 'a', None).to_object(), &[]).code, Some(69));
}

#[test]
fn an_incident_is_seen_before_anything_is_opened() {
    let vault = Vault::new();
    vault.reconfigure("witness.rollback = \"accepted\"", "witness.anchor = \"rewritable\"\nwitness.floor_file = \"f\"");
    accepted(&vault, &checkpoint(1, 'a', None));
    std::fs::copy(vault.path("witness.sqlite3"), vault.path("copy")).unwrap();
    accepted(&vault, &checkpoint(2, 'b', Some('a')));
    std::fs::copy(vault.path("copy"), vault.path("witness.sqlite3")).unwrap();
    let told = |vault: &Vault, what: &str| {
        let status = vault.run(&["witness", "status", "--json"]);
        assert_eq!(status.code, Some(77), "{status:?}");
        assert_eq!(super::super::vault::objects(&status.out)[0].get_str("incident"), Some(what));
    };
    told(&vault, "rollback-detected");
    assert_eq!(vault.run(&["witness", "verify"]).code, Some(77));
    std::fs::remove_file(vault.path("witness.sqlite3")).unwrap();
    told(&vault, "state-lost");
}

#[test]
fn an_export_is_written_to_a_new_file_alone() {
    let vault = strict();
    accepted(&vault, &checkpoint(1, 'a', None));
    let done = vault.run(&["witness", "export", "-o", "out.jsonl"]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), "1 lines exported.\n"));
    assert_eq!(std::fs::read_to_string(vault.path("out.jsonl")).unwrap(), vault.ok(&["witness", "export"]));
    assert_eq!(vault.run(&["witness", "export", "-o", "out.jsonl"]).code, Some(64));
}
