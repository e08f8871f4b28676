use local_vault::facts::{Clock as _, SystemClock};
use local_vault::protocol::json::{Object, Value};

use super::vault::{Done, Vault, public_key, seed};

const NAMES: [&str; 3] = ["attesto-managed", "customer-local-vault", "assurance-witness"];

/// The documented policy.
const POLICY: &str = r#"{"policy_id": "p", "required": 2,
    "witnesses": ["attesto-managed", "customer-local-vault", "assurance-witness"]}"#;

/// Three witnesses with the published settings, each with a key and a database of its own, and a verifier who has nothing but files.
struct Three {
    witnesses: [Vault; 3],
    verifier: Vault,
}

impl Three {
    fn new() -> Self {
        let verifier = Vault::new();
        verifier.write("policy.json", POLICY);
        let witnesses = NAMES.map(|_| Vault::new());
        Self { witnesses, verifier }
    }

    /// Shows a witness checkpoint 5 with this hash, and keeps what it prints.
    fn show(&self, witness: usize, letter: char) -> Object {
        let hash = hash(letter);
        let words = ["witness-checkpoint", "--tenant-id", "t", "--stream-id", "s", "--checkpoint-id", "cp5"];
        let words = [&words, ["--checkpoint-seq-no", "5", "--checkpoint-hash", &hash].as_slice()].concat();
        let mut command = self.witnesses[witness].without_config(&words);
        command.env("ATTESTO_LOCAL_VAULT_SIGNING_KEY", seed(NAMES[witness]).to_string());
        command.env("ATTESTO_LOCAL_VAULT_KEY_ID", "k").env("ATTESTO_LOCAL_VAULT_WITNESS_ID", "ins_1");
        let line = Done::of(&mut command).ok();
        self.verifier.write(format!("w{witness}{letter}.json"), &line);
        super::vault::objects(&line).remove(0)
    }

    fn verify(&self, more: &[&str]) -> Done {
        let keys = NAMES.map(|name| format!("{name}={}", public_key(name)));
        let keys = keys.iter().flat_map(|key| ["--witness-key", key]);
        let words: Vec<&str> = ["quorum", "verify", "--policy", "policy.json"].into_iter().chain(keys).collect();
        Done::of(&mut self.verifier.without_config(&[&words, more].concat()))
    }
}

fn hash(letter: char) -> String {
    letter.to_string().repeat(64)
}

#[test]
fn two_of_three_reach_it_with_one_down_and_one_does_not() {
    let three = Three::new();
    three.show(0, 'a');
    three.show(2, 'a');
    let checkpoint = format!("checkpoint  number 5 of s of t, hash {}", hash('a'));
    let counted = "counted      w0a.json  for attesto-managed";
    assert_eq!(
        three.verify(&["--statements", "w0a.json", "w2a.json"]).ok(),
        format!(
            "{counted}\ncounted      w2a.json  for assurance-witness\n{checkpoint}\n\
             quorum reached: 2 of 3 witnesses, required 2\n"
        )
    );

    let one = three.verify(&["--statements", "w0a.json", "w0a.json"]);
    let verdict = "quorum not reached: 1 of 3 witnesses, required 2";
    let again = "not counted  w0a.json  attesto-managed: the same witness again";
    assert_eq!(one.out, format!("{counted}\n{again}\n{checkpoint}\n{verdict}\n"));
    one.fails(65, &[&format!("Error: {verdict}."), "Each statement is named above with why it does not count."]);
}

#[test]
fn a_forked_history_is_refused_with_the_evidence() {
    let three = Three::new();
    (0..3).for_each(|witness| drop(three.show(witness, 'a')));
    // One of them is shown another history, and keeps evidence of it.
    let line = three.show(1, 'b');
    assert_eq!(line.get("accepted"), Some(&Value::Bool(false)));
    let statements = ["--statements", "w0a.json", "w1a.json", "w2a.json"];
    let refused = three.verify(&[&statements, ["--evidence", "w1b.json"].as_slice()].concat());
    let shown = format!(
        r#"{{"conflicting_checkpoints": [{{"checkpoint_head_hash": "{}", "checkpoint_id": "cp5"}}, {{"checkpoint_head_hash": "{}", "checkpoint_id": "cp5"}}], "detected_by": "ins_1", "kind": "fork_evidence", "result": "verifier_rejects_ambiguous_history", "stream_id": "s"}}"#,
        hash('a'),
        hash('b')
    );
    let expected = format!("REFUSES      w1b.json  customer-local-vault: fork evidence for s number 5\n{shown}\n");
    assert!(refused.out.contains(&expected), "{}", refused.out);
    assert!(refused.out.ends_with("\nrefused: fork evidence\n"), "{}", refused.out);
    let fork =
        ["Error: refused: fork evidence.", "Rely on nothing of this stream. Keep these files: they are the proof."];
    refused.fails(65, &fork);

    // What a file holds counts, and not what it was given as; a bundle is as good.
    // In a bundle, the receipt is what the evidence is about, and no statement for the quorum.
    let bundle = Object::new().with("receipt", Object::new().with("witness_receipt_id", "lwr_1"));
    let bundle = bundle.with("fork_evidence", line.get("forkEvidence").unwrap().clone());
    three.verifier.write("bundle.json", bundle.to_python_pages());
    for file in ["w1b.json", "bundle.json"] {
        let done = three.verify(&[&statements, [file].as_slice()].concat());
        done.fails(65, &fork);
    }
    assert_eq!(three.verify(&statements).code, Some(0));
}

#[test]
fn a_split_view_that_no_witness_saw_is_refused_with_the_evidence() {
    let three = Three::new();
    three.show(0, 'a');
    three.show(1, 'a');
    three.show(2, 'b');
    let asked = hash('a');
    let done = three.verify(&["--json", "--checkpoint", &asked, "--statements", "w0a.json", "w1a.json", "w2b.json"]);
    assert_eq!(done.code, Some(65), "{done:?}");
    let lines = super::vault::objects(&done.out);
    let standings: Vec<_> = lines.iter().filter_map(|line| line.get_str("standing")).collect();
    assert_eq!(standings, ["counted", "counted", "not counted", "refuses"]);
    let shown = lines[3].get_object("evidence").unwrap();
    assert_eq!((shown.get_str("kind"), shown.get_str("detected_by")), (Some("fork_evidence"), Some("p")));
    assert_eq!(shown.get("conflicting_checkpoints").and_then(Value::as_array).map(<[_]>::len), Some(2));
    assert_eq!(lines[4].get_str("verdict"), Some("refused"));
    assert_eq!(lines[4].get_object("checkpoint").unwrap().get_str("checkpointHash"), Some(asked.as_str()));
}

#[test]
fn what_was_signed_too_long_ago_does_not_count() {
    let three = Three::new();
    three.verifier.write("policy.json", POLICY.replacen('{', r#"{"max_age_seconds": 3600, "#, 1));
    three.show(0, 'a');
    three.show(1, 'a');
    let statements = ["--statements", "w0a.json", "w1a.json"];
    assert_eq!(three.verify(&statements).code, Some(0));
    let at = |hours: i64| {
        let time = SystemClock.now().plus_millis(hours * 3_600_000).to_string();
        three.verify(&[&statements, ["--at", &time].as_slice()].concat())
    };
    for (hours, why) in [(2, ", which is too old\n"), (-2, ", which is in the future\n")] {
        let done = at(hours);
        assert_eq!((done.code, done.out.matches(why).count()), (Some(65), 2), "{done:?}");
    }
}

#[test]
fn a_line_that_cannot_be_read_ends_it_and_is_named() {
    let three = Three::new();
    let receipt = three.show(0, 'a').to_python_line();
    let advice = "Nothing was verified: it may have been evidence of a fork. Mend the line, or leave the file out.";
    for (garbage, why) in [
        ("{\"receipt\"", "expected a colon at byte 10"),
        ("{}", "it is neither a receipt nor fork evidence of a witness"),
    ] {
        three.verifier.write("lines.jsonl", format!("{receipt}\n\n{garbage}\n{receipt}\n"));
        let done = three.verify(&["--statements", "lines.jsonl"]);
        done.fails(65, &[&format!("Error: lines.jsonl:3: {why}."), advice]);
        assert_eq!(done.out, "");
    }
    three.verify(&["--statements", "away.jsonl"]).fails(
        74,
        &[
            "Error: cannot read away.jsonl: No such file or directory (os error 2).",
            "Check the path, its permissions and the space on the disk.",
        ],
    );
}

#[test]
fn statements_come_through_a_pipe_and_in_a_receipt_alone() {
    let three = Three::new();
    let lines: Vec<_> = (0..2).map(|witness| three.show(witness, 'a')).collect();
    let bare = lines[1].get_object("receipt").unwrap().to_python_line();
    let input = format!("{}\n{bare}\n", lines[0].to_python_line());
    let keys = NAMES.map(|name| format!("--witness-key={name}={}", public_key(name)));
    let words = ["quorum", "verify", "--policy", "policy.json", "--statements", "-"];
    let words: Vec<&str> = words.into_iter().chain(keys.iter().map(String::as_str)).collect();
    let done = Done::of_reading(&mut three.verifier.without_config(&words), input.as_bytes());
    assert!(done.ok().starts_with("counted      -:1  for attesto-managed\ncounted      -:2  for"));
}

#[test]
fn a_policy_that_cannot_hold_is_refused() {
    let three = Three::new();
    three.show(0, 'a');
    three.verifier.write("policy.json", POLICY.replacen('2', "4", 1));
    three.verify(&["--statements", "w0a.json"]).fails(
        65,
        &[
            "Error: policy.json: `required` is 4, and there are 3 witnesses.",
            "Nothing was verified. Mend the policy, or give each key with --witness-key NAME=HEX.",
        ],
    );
    assert_eq!(three.verify(&["--statements", "w0a.json", "--witness-key", "x"]).code, Some(64));
}
