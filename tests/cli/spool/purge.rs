use local_vault::protocol::json::Value;

use crate::support::Sandbox;
use crate::terminal::at_a_terminal;
use crate::vault::Vault;

/// A vault with events in several states: two are delivered, one is dead, one waits.
fn settled() -> (Vault, Sandbox, [String; 4]) {
    let (vault, sandbox) = Vault::with_sandbox_that(&["reject:1"]);
    let payload = |n: usize| format!(r#"{{"n":"{n:060000}"}}"#);
    let dead = vault.enqueue("s", "1", &payload(1));
    let delivered = ["2", "3"].map(|n| vault.enqueue("s", n, &payload(2)));
    vault.use_up_judgements();
    vault.run(&["relay", "drain"]);
    let waits = vault.enqueue("s", "4", "{}");
    let [first, second] = delivered;
    (vault, sandbox, [dead, first, second, waits])
}

fn has_payload(vault: &Vault, id: &str) -> bool {
    let done = vault.run(&["spool", "show", id, "--payload"]);
    assert!(done.code == Some(0) || done.err.contains("was purged"), "{done:?}");
    done.code == Some(0)
}

#[test]
fn a_purge_says_what_would_go_and_does_nothing_before_it_is_told_that_it_is_meant() {
    let (vault, _sandbox, ids) = settled();
    let asked = vault.run(&["spool", "purge", "--older-than", "0s"]);
    assert_eq!(asked.code, Some(64), "{asked:?}");
    assert!(asked.err.starts_with("Error: the content of 2 events that were settled before "), "{asked:?}");
    assert!(asked.err.contains(" would be dropped (2 receipted).\nThere is no way back: "), "{asked:?}");
    assert!(ids.iter().all(|id| has_payload(&vault, id)));
    assert!(vault.ok(&["spool", "purge", "--older-than", "30d", "--yes"]).starts_with("nothing to purge: "));
    assert!(vault.ok(&["spool", "purge", "--older-than", "2020-01-01T00:00:00Z"]).starts_with("nothing to purge: "));
    assert_eq!(vault.run(&["spool", "purge", "--yes"]).code, Some(64), "how old is never guessed");
    assert!(ids.iter().all(|id| has_payload(&vault, id)));
}

#[test]
fn a_person_at_a_terminal_is_asked_and_only_yes_is_yes() {
    let (vault, _sandbox, [_, first, ..]) = settled();
    for typed in ["n\n", "\n", "yess\n", "\u{4}"] {
        let (done, shown) = at_a_terminal(&mut vault.command(&["spool", "purge", "--older-than", "0s"]), typed);
        assert_eq!((done.code, done.out.as_str()), (Some(0), "nothing was purged\n"), "{typed:?}: {shown}");
        assert!(shown.starts_with("There is no way back: the content of 2 events "), "{shown}");
        assert!(shown.contains("(2 receipted). Go on? [y/N] "), "{shown}");
        assert!(has_payload(&vault, &first));
    }
    let (done, shown) = at_a_terminal(&mut vault.command(&["spool", "purge", "--older-than", "0s"]), "y\n");
    assert!(done.out.starts_with("dropped the content of 2 events,"), "{done:?} {shown}");
    assert!(!has_payload(&vault, &first));
}

#[test]
fn a_purge_drops_content_that_was_delivered_gives_the_room_back_and_keeps_all_evidence() {
    let (vault, _sandbox, [dead, first, second, waits]) = settled();
    let receipts = vault.ok(&["receipt", "show", "--all", "--json"]);
    let done = vault.ok(&["spool", "purge", "--older-than", "0s", "--yes"]);
    let (what, room) = done.split_once('\n').unwrap();
    assert_eq!(what, "dropped the content of 2 events, 120016 bytes of payload; evidence stays");
    let room: u64 = room.strip_suffix(" bytes came back to the disk\n").unwrap().parse().unwrap();
    assert!(room > 90_000, "{room}");

    assert!(!has_payload(&vault, &first) && !has_payload(&vault, &second));
    assert!(has_payload(&vault, &dead) && has_payload(&vault, &waits));
    assert_eq!(vault.ok(&["receipt", "show", "--all", "--json"]), receipts);
    let kept = |state: &str| {
        let stats = vault.json(&["spool", "stats", "--json"]).remove(0);
        let of = stats.get_object("states").unwrap().get_object(state).unwrap().clone();
        ["events", "contents"].map(|member| of.get(member).and_then(Value::as_i64).unwrap())
    };
    assert_eq!((kept("receipted"), kept("dead"), kept("queued")), ([2, 0], [1, 1], [1, 1]));
    assert!(vault.ok(&["spool", "verify"]).starts_with("4 events verified, 0 damaged"));
    assert_eq!(vault.ok(&["relay", "drain"]), "receipted 1, conflict 0, dead 0\n");
}

#[test]
fn dead_events_and_conflicts_keep_theirs_until_they_are_named() {
    let (vault, _sandbox) = Vault::with_sandbox_that(&["reject:1", "conflict:1"]);
    let ids = ["1", "2"].map(|n| vault.enqueue("s", n, "{}"));
    vault.use_up_judgements();
    vault.run(&["relay", "drain"]);
    let purge = |more: &[&str]| vault.ok(&[&["spool", "purge", "--older-than", "0s", "--yes"], more].concat());
    assert!(purge(&[]).starts_with("nothing to purge"));
    assert!(purge(&["--dead"]).starts_with("dropped the content of 1 event,"));
    assert_eq!(ids.iter().filter(|id| has_payload(&vault, id)).count(), 1);
    assert!(purge(&["--conflicts"]).starts_with("dropped the content of 1 event,"));
    assert!(!ids.iter().any(|id| has_payload(&vault, id)));
    // What was answered about the conflict is there still.
    assert!(vault.ok(&["spool", "export", "--state", "conflict"]).contains("answer_hex"));
}

#[test]
fn a_purge_that_was_interrupted_gives_the_room_back_the_next_time() {
    let (vault, _sandbox, _) = settled();
    let size = || std::fs::metadata(vault.path("spool.sqlite3")).unwrap().len();
    // As one leaves it whose disk had no room for the rest.
    vault
        .spool()
        .execute_batch(
            "BEGIN; DELETE FROM contents WHERE seq IN (2, 3); UPDATE settled SET has_content = 0 WHERE seq IN (2, 3);
             UPDATE totals SET contents = 0 WHERE state = 2; COMMIT",
        )
        .unwrap();
    let before = size();
    let done = vault.ok(&["spool", "purge", "--older-than", "0s"]);
    assert!(done.starts_with("nothing to purge: ") && done.ends_with(" bytes came back to the disk\n"), "{done}");
    assert!(before - size() > 90_000, "{before} became {}", size());
    let done = vault.ok(&["spool", "purge", "--older-than", "0s"]);
    assert_eq!(done.lines().count(), 1, "and then there is none: {done}");
    assert!(vault.ok(&["spool", "verify", "--pages"]).starts_with("4 events verified, 0 damaged"));
}
