use local_vault::protocol::json::{Object, Value};

use super::vault::{INSTALLATION, Vault, names};

#[test]
fn a_receipt_is_shown_once_it_is_there() {
    let (vault, _sandbox) = Vault::with_sandbox();
    vault.write("a", "alpha");
    let line = &vault.json(&["attest", "a", "--json"])[0];
    let (id, source_ref) = (line.get_str("eventId").unwrap(), line.get_str("sourceRef").unwrap());
    vault.run(&["receipt", "show", id]).fails(
        65,
        &[
            &format!("Error: there is no receipt for {id} (queued)."),
            "It is not settled yet; `local-vault relay status` shows what holds it back.",
        ],
    );
    assert_eq!(vault.ok(&["relay", "drain"]), "receipted 1, conflict 0, dead 0\n");
    let table = vault.ok(&["receipt", "show", id]);
    let cells: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((cells[0], cells[2], cells[3].len(), cells[4]), (id, "1", 64, source_ref));
    assert_eq!(vault.ok(&["receipt", "show", "--all"]), table);
}

#[test]
fn a_receipt_for_a_machine_is_whole_and_its_payload_comes_only_when_asked_for() {
    let (vault, _sandbox) = Vault::with_sandbox();
    vault.write("a", "alpha");
    vault.ok(&["attest", "a"]);
    vault.ok(&["relay", "drain"]);
    let bundle = &vault.json(&["receipt", "show", "--all", "--json"])[0];
    let members =
        ["answer_hex", "envelope", "envelope_hash", "kind", "public_key_hex", "received_at", "signature_hex", "status"];
    assert_eq!(names(bundle), members);
    let with_payload = &vault.json(&["receipt", "show", "--all", "--json", "--payload"])[0];
    assert_eq!(
        with_payload.get_object("payload").and_then(|payload| payload.get_str("installation_id")),
        Some(INSTALLATION)
    );
}

#[test]
fn a_drained_event_is_one_line_for_a_machine() {
    let (vault, _sandbox) = Vault::with_sandbox();
    vault.write("a", "alpha");
    vault.ok(&["attest", "a"]);
    let line: &Object = &vault.json(&["relay", "drain", "--json"])[0];
    assert_eq!(names(line), ["attempt", "error", "eventId", "sourceRef", "state", "statusCode", "streamId"]);
    assert_eq!((line.get_str("state"), line.get("error")), (Some("receipted"), Some(&Value::Null)));
}
