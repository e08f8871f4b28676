use local_vault::protocol::json::{self, MAX_BYTES, Object, Value};
use rusqlite::Connection;

use super::support::Sandbox;
use super::vault::{Done, Vault, objects, public_key, trusted};

/// A vault with one delivered attestation of the file `a`, and its receipt.
struct Delivered {
    vault: Vault,
    receipt: Object,
    _sandbox: Sandbox,
}

impl Delivered {
    fn new() -> Self {
        let (vault, sandbox) = Vault::with_sandbox();
        vault.write("a", "alpha");
        vault.ok(&["attest", "a"]);
        vault.ok(&["relay", "drain"]);
        let receipt = vault.json(&["receipt", "show", "--all", "--json", "--payload"]).remove(0);
        Self { vault, receipt, _sandbox: sandbox }
    }

    fn verify(&self, object: &Object) -> Done {
        let (relay, source) = (trusted("relay"), trusted("source"));
        let words = ["verify", "-", "--files", ".", "--public-key", &relay, "--public-key", &source];
        Done::of_reading(&mut self.vault.without_config(&words), &object.to_canonical())
    }

    /// The object does not verify, and this is why.
    #[track_caller]
    fn refused(&self, object: &Object, why: &str) {
        let done = self.verify(object);
        assert_eq!(done.out, format!("FAILED  -:1  {why}\n"));
        done.fails(65, &["Error: 1 of 1 do not verify.", "Each is named above with what does not hold."]);
    }

    /// Changes the spool behind the back of the vault, and gives what `verify --all` says then.
    fn tampered(&self, sql: &str) -> Done {
        let db = Connection::open(self.vault.path("spool.sqlite3")).unwrap();
        assert_eq!(db.execute(sql, []).unwrap(), 1);
        self.vault.run(&["verify", "--all", "--public-key", &trusted("relay"), "--public-key", &trusted("source")])
    }
}

/// The object with a member of a member changed.
fn with(object: &Object, outer: &str, inner: &str, value: &str) -> Object {
    let changed = object.get_object(outer).unwrap().clone().with(inner, value);
    object.clone().with(outer, changed)
}

#[test]
fn a_receipt_verifies_with_public_keys_alone() {
    let delivered = Delivered::new();
    let answer = hex::decode(delivered.receipt.get_str("answer_hex").unwrap()).unwrap();
    let answer = json::parse(&answer).unwrap();
    let receipt = answer.get_object("receipt").unwrap();
    let hash = receipt.get_str("receipt_hash").or(receipt.get_str("receiptHash")).unwrap();
    let said = format!("OK      -:1  receipt {hash}, attestation and file match\n1 verified\n");
    assert_eq!(delivered.verify(&delivered.receipt).ok(), said);
}

#[test]
fn what_is_in_the_spool_verifies_too() {
    let Delivered { vault, .. } = &Delivered::new();
    let id = vault.json(&["spool", "list", "--json"])[0].get_str("eventId").unwrap().to_owned();
    let (relay, source) = (trusted("relay"), trusted("source"));
    let keys = ["--public-key", &relay, "--public-key", &source, "--json"];
    for which in [["verify", "--all"].as_slice(), &["verify", "--event", &id]] {
        let lines = vault.json(&[which, &keys].concat());
        assert_eq!((lines.len(), lines[0].get_str("name")), (1, Some(id.as_str())));
        assert_eq!(lines[0].get("verifies"), Some(&Value::Bool(true)));
    }
}

#[test]
fn each_kind_of_tampering_is_named() {
    let delivered = Delivered::new();
    let receipt = &delivered.receipt;
    let flipped = |member: &str| {
        let hex = receipt.get_str(member).unwrap();
        let last = if hex.ends_with('0') { "1" } else { "0" };
        receipt.clone().with(member, format!("{}{last}", &hex[..hex.len() - 1]))
    };
    delivered.refused(&flipped("signature_hex"), "the envelope's signature does not verify");
    delivered.refused(&flipped("envelope_hash"), "the member `envelope_hash` is not as the contract has it");
    delivered.refused(
        &with(receipt, "envelope", "source_ref", "b"),
        "the member `envelope_hash` is not as the contract has it",
    );
    delivered.refused(&with(receipt, "payload", "source_ref", "b"), "the payload is not the one that was sent");
    delivered.refused(&receipt.clone().with("surprise", 1_i64), "the member `surprise` is not as the contract has it");
    delivered.refused(
        &receipt.clone().with("public_key_hex", public_key("witness")),
        "it is not signed by a trusted relay key",
    );
    delivered
        .refused(&receipt.clone().with("status", 409_i64), "the answer is no receipt for this envelope: missing-body");
    delivered.refused(
        &receipt.clone().with("answer_hex", hex::encode(answer(receipt, "stream_id"))),
        "the answer is no receipt for this envelope: stream-id-mismatch",
    );
    delivered.refused(
        receipt.get_object("payload").map(|p| p.clone().with("payload_hash", "ab".repeat(32))).as_ref().unwrap(),
        "the signature does not verify",
    );
}

/// The receiver's answer with one member changed.
fn answer(receipt: &Object, member: &str) -> Vec<u8> {
    let answer = json::parse(&hex::decode(receipt.get_str("answer_hex").unwrap()).unwrap()).unwrap();
    assert!(answer.get(member).is_some(), "{answer:?}");
    answer.with(member, "other").to_canonical()
}

#[test]
fn a_source_key_that_is_not_trusted_is_named() {
    let Delivered { vault, receipt, .. } = &Delivered::new();
    let verify = |keys: &[&str]| {
        let words: Vec<&str> =
            ["verify", "-"].into_iter().chain(keys.iter().flat_map(|key| ["--public-key", key])).collect();
        Done::of_reading(&mut vault.without_config(&words), &receipt.to_canonical()).out
    };
    let (relay, other) = (trusted("relay"), format!("source={}", public_key("witness")));
    assert_eq!(verify(&[&relay]), "FAILED  -:1  it is not signed by a trusted source key\n");
    assert_eq!(
        verify(&[&relay, &other]),
        "FAILED  -:1  the source attestation does not verify: the signature does not verify\n"
    );
}

#[test]
fn a_file_that_was_changed_or_taken_away_is_named() {
    let delivered = Delivered::new();
    delivered.vault.write("a", "beta");
    delivered.refused(&delivered.receipt, "the file a is not the one that was attested");
    std::fs::remove_file(delivered.vault.path("a")).unwrap();
    delivered.refused(&delivered.receipt, "the attested file a: No such file or directory (os error 2)");
    std::fs::create_dir(delivered.vault.path("a")).unwrap();
    delivered.refused(&delivered.receipt, "the attested file a: not a plain file");
}

#[test]
fn a_changed_event_in_the_spool_is_named() {
    let changes = [
        ("UPDATE settled SET source_ref = 'b'", "is damaged"),
        ("UPDATE contents SET sealed = zeroblob(length(sealed))", "is damaged"),
        ("UPDATE settled SET payload_sha256 = zeroblob(32)", "is damaged"),
        ("UPDATE settled SET sent_attempt = sent_attempt + 1", "the envelope's signature does not verify"),
        ("UPDATE settled SET signature = zeroblob(64)", "the envelope's signature does not verify"),
        ("UPDATE settled SET body = x'7b7d'", "the answer is no receipt for this envelope: missing-local-vault-ack"),
        ("UPDATE settled SET status = 500", "the answer is no receipt for this envelope: missing-body"),
        ("UPDATE settled SET body = NULL", "there is no receipt for it (receipted)"),
    ];
    for (sql, why) in changes {
        let done = Delivered::new().tampered(sql);
        assert_eq!(done.code, Some(65), "{sql}: {done:?}");
        assert!(done.out.starts_with("FAILED  lv_") && done.out.contains(why), "{sql}: {done:?}");
    }
}

#[test]
fn garbage_is_refused_and_nothing_is_nothing_to_verify() {
    let vault = Vault::new();
    let verify = |input: &[u8]| {
        let relay = trusted("relay");
        Done::of_reading(&mut vault.without_config(&["verify", "-", "--public-key", &relay]), input)
    };
    let nothing = ["Error: there was nothing to verify.", "Name a file of JSON lines, or use --all."];
    verify(b"").fails(65, &nothing);
    verify(b"\n \n").fails(65, &nothing);
    let done = verify(b"\xff\x1b[2J\n{}\n[]\nnull\n{\"kind\":\"local-vault.receipt.v1\"}\n");
    assert_eq!(
        done.out,
        "FAILED  -:1  not UTF-8 at byte 0\nFAILED  -:2  it is none of what can be verified\n\
         FAILED  -:3  the top level is not an object\nFAILED  -:4  the top level is not an object\n\
         FAILED  -:5  the member `envelope` is not as the contract has it\n"
    );
    done.fails(65, &["Error: 5 of 5 do not verify.", "Each is named above with what does not hold."]);
    let long = vec![b' '; 17 << 20];
    let done = verify(&[b"{", long.as_slice(), b"}"].concat());
    assert_eq!((done.code, done.out.as_str()), (Some(65), "FAILED  -:1  larger than 16 MiB\n"));
}

#[test]
fn a_file_that_is_not_there_is_74_and_a_bad_key_64() {
    let vault = Vault::new();
    Done::of(&mut vault.without_config(&["verify", "nothing", "--public-key", &trusted("relay")])).fails(
        74,
        &[
            "Error: cannot read nothing: No such file or directory (os error 2).",
            "Check the path, its permissions and the space on the disk.",
        ],
    );
    for key in ["relay=00", "nobody=00", "relay"] {
        let done = Done::of(&mut vault.without_config(&["verify", "nothing", "--public-key", key]));
        assert_eq!(done.code, Some(64), "{done:?}");
    }
}

#[test]
fn a_line_that_is_too_long_is_one_line() {
    let vault = Vault::new();
    let mut lines = vec![b'x'; 4 * MAX_BYTES + 2];
    lines.extend_from_slice(b"\n[]\n");
    vault.write("lines", lines);
    let done = Done::of(&mut vault.without_config(&["verify", "lines", "--public-key", &trusted("relay")]));
    let out: Vec<&str> = done.out.lines().collect();
    assert_eq!((done.code, out.len(), out[0]), (Some(65), 2, "FAILED  lines:1  the line is too long"));
    assert!(out[1].starts_with("FAILED  lines:2  "), "{out:?}");
}

#[test]
fn a_broken_config_file_stops_no_verification_of_files() {
    let delivered = Delivered::new();
    let vault = &delivered.vault;
    vault.write("receipt", delivered.receipt.to_canonical());
    vault.write("local-vault.toml", "broken");
    let (relay, source) = (trusted("relay"), trusted("source"));
    let keys = ["--public-key", &relay, "--public-key", &source];
    vault.ok(&[["verify", "receipt"].as_slice(), &keys].concat());
    assert_eq!(vault.run(&[["verify", "--all"].as_slice(), &keys].concat()).code, Some(78));
}

/// What the witness says about a checkpoint of this number and hash.
fn witnessed(vault: &Vault, number: &str, hash: &str) -> Object {
    let hash = hash.repeat(32);
    let words = "witness-checkpoint --tenant-id t --stream-id s --checkpoint-id c --checkpoint-hash";
    let words: Vec<&str> = words.split(' ').chain([hash.as_str(), "--checkpoint-seq-no", number]).collect();
    vault.json(&words).remove(0)
}

#[test]
fn witness_receipts_and_fork_evidence_verify_and_their_tampering_is_refused() {
    let vault = Vault::new();
    let (accepted, forked) = (witnessed(&vault, "1", "ab"), witnessed(&vault, "1", "cd"));
    let verify = |object: &Object, more: &[&str]| {
        let key = trusted("witness");
        let words = [["verify", "-", "--public-key", key.as_str()].as_slice(), more].concat();
        Done::of_reading(&mut vault.without_config(&words), &object.to_canonical())
    };
    assert_eq!(verify(&accepted, &[]).ok(), "OK      -:1  witness receipt for s number 1\n1 verified\n");
    assert_eq!(verify(&forked, &[]).ok(), "OK      -:1  fork evidence for s number 1\n1 verified\n");

    let receipt = with(accepted.get_object("receipt").unwrap(), "statement", "stream_id", "other");
    assert!(verify(&receipt, &[]).out.starts_with("FAILED  -:1  the member `"));
    let evidence = with(forked.get_object("forkEvidence").unwrap(), "evidence", "stream_id", "other");
    assert!(verify(&evidence, &[]).out.starts_with("FAILED  -:1  the member `"));
    assert_eq!(verify(&forked, &["--public-key", &trusted("relay")]).code, Some(0));
}

#[test]
fn fork_evidence_is_shown_as_the_platforms_verifiers_show_it() {
    let vault = Vault::new();
    witnessed(&vault, "1", "ab");
    let forked = witnessed(&vault, "1", "cd");
    let key = trusted("witness");
    let words = ["verify", "-", "--public-key", &key, "--evidence"];
    let out = Done::of_reading(&mut vault.without_config(&words), &forked.to_canonical()).ok();
    let shown = &objects(out.lines().nth(1).unwrap())[0];
    assert_eq!(shown.get_str("kind"), Some("fork_evidence"));
    assert_eq!(shown.get("conflicting_checkpoints").and_then(Value::as_array).unwrap().len(), 2);
    assert_eq!(shown.get_str("result"), Some("verifier_rejects_ambiguous_history"));
}
