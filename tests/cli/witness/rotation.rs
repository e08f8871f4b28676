use local_vault::protocol::json::Object;

use super::super::vault::{Vault, objects, public_key, seed, trusted};
use super::{accepted, checkpoint, database, strict, submit, verify};

const NEXT: &str = "[custody.keys.witness_next]\nfile = \"next.key\"\nkid = \"witness-2\"";

/// A witness with a checkpoint under its first key, and a second one that is configured.
fn before() -> Vault {
    let vault = strict();
    accepted(&vault, &checkpoint(1, 'a', None));
    vault.secret("next.key", &seed("next").to_string());
    vault.configure(NEXT);
    vault
}

fn key_of(receipt: &Object) -> &str {
    receipt.get_object("public_key").unwrap().get_str("public_key_hex").unwrap()
}

#[test]
fn from_a_rotation_on_the_next_key_signs_and_the_old_one_vouches_for_it() {
    let vault = before();
    assert_eq!(key_of(&accepted(&vault, &checkpoint(2, 'b', Some('a')))), public_key("witness"));
    let rollover = vault.ok(&["witness", "rotate", "--json"]);
    assert_eq!(key_of(&accepted(&vault, &checkpoint(3, 'c', Some('b')))), public_key("next"));
    submit(&vault, &checkpoint(3, 'd', None).to_object(), &[]);

    let export = vault.ok(&["witness", "export"]);
    assert_eq!(objects(&export)[0], objects(&rollover)[0]);
    let out = verify(&vault, &export, &["--public-key", &trusted("witness")]).ok();
    let said = format!("ins_1 went from witness-1 to witness-2: {} is trusted from here on", public_key("next"));
    assert!(out.starts_with(&format!("OK      -:1  {said}\n")) && out.ends_with("5 verified\n"), "{out}");
    // The quorum passes over the rollover: its policy says whose keys count.
    vault.write("export.jsonl", &export);
    vault.write("policy.json", r#"{"policy_id": "p", "required": 1, "witnesses": ["w"]}"#);
    let key = format!("w={}", public_key("witness"));
    let words = ["quorum", "verify", "--policy", "policy.json", "--statements", "export.jsonl", "--witness-key", &key];
    let judged = vault.run(&[words.as_slice(), &["--checkpoint", &"b".repeat(64)]].concat());
    assert!(judged.out.contains("for w"), "{judged:?}");
    // Without the rollover nobody knows the second key, and without the first one nobody believes the rollover.
    let rest = export.split_once('\n').unwrap().1;
    assert_eq!(verify(&vault, rest, &["--public-key", &trusted("witness")]).code, Some(65));
    let next = format!("witness={}", public_key("next"));
    assert_eq!(verify(&vault, &rollover, &["--public-key", &next]).code, Some(65));
}

#[test]
fn the_old_key_can_be_taken_away_then_also_where_a_floor_was_signed_with_it() {
    let vault = strict();
    vault.reconfigure("witness.rollback = \"accepted\"", "witness.anchor = \"rewritable\"\nwitness.floor_file = \"f\"");
    std::fs::remove_file(vault.path("witness.sqlite3")).unwrap();
    super::add(&vault, &[]);
    accepted(&vault, &checkpoint(1, 'a', None));
    vault.secret("next.key", &seed("next").to_string());
    vault.configure(NEXT);
    vault.ok(&["witness", "rotate"]);
    vault.reconfigure(NEXT, "");
    vault.reconfigure("file = \"witness.key\"\nkid = \"witness-1\"", "file = \"next.key\"\nkid = \"witness-2\"");
    assert_eq!(key_of(&accepted(&vault, &checkpoint(2, 'b', Some('a')))), public_key("next"));
    assert!(vault.ok(&["witness", "verify"]).contains(" 0 wrong, "));
}

#[test]
fn what_has_no_signature_yet_gets_one_of_the_key_that_it_names() {
    let vault = before();
    submit(&vault, &checkpoint(1, 'b', None).to_object(), &[]);
    let db = database(&vault);
    db.execute_batch("UPDATE receipts SET signature = NULL; UPDATE forks SET signature = NULL").unwrap();
    drop(db);
    let unsigned = |vault: &Vault| vault.json(&["witness", "verify", "--json"])[0].get("unsigned").cloned();
    assert_eq!(unsigned(&vault), Some(2_u32.into()));
    vault.ok(&["witness", "rotate"]);
    assert_eq!(unsigned(&vault), Some(0_u32.into()));
    let receipt = vault.json(&["witness", "show", "chk_1", "--json"]).remove(0);
    assert_eq!(key_of(&receipt), public_key("witness"));
}

#[test]
fn a_rotation_needs_another_key_under_another_name_and_happens_once() {
    let vault = strict();
    vault.run(&["witness", "rotate"]).fails(
        78,
        &[
            "Error: no key is configured that the witness could go on with.",
            "Make one, and name it under [custody.keys.witness_next] in the config file.",
        ],
    );
    let vault = before();
    vault.reconfigure("kid = \"witness-2\"", "kid = \"witness-1\"");
    assert_eq!(vault.run(&["witness", "rotate"]).code, Some(65));
    vault.reconfigure(&NEXT.replace("witness-2", "witness-1"), NEXT);
    vault.ok(&["witness", "rotate"]);
    let again = vault.run(&["witness", "rotate"]);
    again.fails(65, &["Error: no key is configured that has not signed here yet.", "Nothing was changed."]);
}
