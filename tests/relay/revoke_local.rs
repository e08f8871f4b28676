//! A revocation by the operator holds as one by the receiver does.

use std::io::{BufRead as _, BufReader};

use local_vault::facts::Timestamp;
use local_vault::protocol::json::{self, Object};
use local_vault::relay::Step;
use local_vault::spool::{Gate, State};

use super::place::{INSTALLATION, Place, client_of, public_key, run, sandbox};
use super::process::{Running, Vault, lines, said};
use super::support::wait_until;

fn status(vault: &Vault) -> Object {
    json::parse(vault.succeed(&["relay", "status", "--json"]).as_bytes()).unwrap()
}

#[test]
fn no_process_sends_after_the_operator_has_revoked_until_a_new_enrolment_is_named() {
    let sandbox = sandbox(&["--trust", &format!("ins_2={}", public_key().to_hex())]);
    let vault = Vault::new(&sandbox);
    vault.enqueue("s", "1", "{}");
    vault.succeed(&["relay", "drain"]);
    vault.enqueue("s", "2", "{}");
    assert_eq!(vault.code(&["relay", "revoke"]), Some(64), "it says what it means");
    vault.succeed(&["relay", "revoke", "--local"]);
    vault.succeed(&["relay", "revoke", "--local"]);
    assert_eq!(status(&vault).get_str("state"), Some("revoked"));

    let refused = vault.run(&["relay", "drain"]);
    assert_eq!(refused.status.code(), Some(77), "{}", said(&refused));
    assert_eq!(vault.code(&["relay", "test"]), Some(77));
    assert_eq!(vault.code(&["relay", "resume"]), Some(77));
    assert_eq!(vault.code(&["relay", "resume", "--installation-id", INSTALLATION]), Some(77));
    let once = lines(vault.succeed(&["drain-once"]).as_bytes());
    assert_eq!(once[0].get_str("error"), Some("installation-revoked"));
    assert_eq!(vault.code(&["drain-loop", "--stop-on-error"]), Some(2));
    vault.enqueue("s", "3", "{}");
    assert_eq!(sandbox.recorded_events().len(), 1);
    assert_eq!(vault.events().iter().filter(|event| event.state == State::Queued).count(), 2, "the events stay");

    vault.succeed(&["relay", "resume", "--installation-id", "ins_2"]);
    let mut command = vault.command(&["relay", "drain"]);
    command.env("ATTESTO_LOCAL_VAULT_INSTALLATION_ID", "ins_2");
    let url = sandbox.ready().get_object("urls").unwrap().get_str("ins_2").unwrap();
    let output = command.env("ATTESTO_LOCAL_VAULT_RELAY_URL", url).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(sandbox.recorded_events().len(), 3);
}

#[test]
fn a_relay_that_runs_sends_nothing_more_once_another_process_has_revoked() {
    let sandbox = sandbox(&[]);
    let vault = Vault::new(&sandbox);
    vault.enqueue("s", "1", "{}");
    let mut relay = Running::start(&mut vault.command(&["drain-loop", "--idle-sleep-seconds", "0.01"]));
    wait_until(|| vault.events().iter().all(|event| event.state == State::Receipted).then_some(()));
    vault.succeed(&["relay", "revoke", "--local"]);
    vault.enqueue("s", "2", "{}");
    // It has looked since, with the second one there.
    let mut told = BufReader::new(relay.child().stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let revoked = told.by_ref().map(Result::unwrap).find(|line| line.contains("installation-revoked"));
        assert!(revoked.is_some_and(|line| line.contains("\"sent\": false")));
    }
    drop(relay);
    assert_eq!(vault.code(&["relay", "drain"]), Some(77));
    assert_eq!(sandbox.recorded_events().len(), 1);
    assert_eq!(vault.events()[1].attempt, 0);
}

#[tokio::test]
async fn in_the_middle_of_a_batch_what_was_sent_is_settled_and_nothing_follows_whatever_the_clock_says() {
    let streams = ["a", "b", "c", "d"];
    let (place, sandbox) = (Place::new(), sandbox(&[]));
    place.fill(&streams, 5).await;
    let mut drain = place.drain(client_of(&sandbox)).await;
    assert!(matches!(drain.next(usize::MAX).await.unwrap(), Step::Settled(_)));
    place.spool().control().revoke(None).await.unwrap();
    let begun = place.events().iter().filter(|event| event.attempt > 0).count();
    let (_, gate) = run(&mut drain).await;
    assert_eq!(gate, Gate::Revoked);
    let sent = sandbox.recorded_events().len();
    assert!(sent <= begun, "what was leased before may be sent, and no more: {sent} of {begun}");
    assert_eq!((place.count(State::Receipted), place.count(State::Relaying)), (sent as u64, 0));
    assert!(sent < 20, "all were sent before it was revoked");

    drop(drain);
    for time in ["2026-03-02T00:00:00Z", "2020-01-01T00:00:00Z", "2036-01-01T00:00:00Z"] {
        place.clock.set(Timestamp::parse(time).unwrap());
        assert_eq!(run(&mut place.drain(client_of(&sandbox)).await).await, (vec![], Gate::Revoked), "{time}");
    }
    place.spool().control().resume(Some(INSTALLATION.into()), false).await.unwrap();
    assert_eq!(run(&mut place.drain(client_of(&sandbox)).await).await.1, Gate::Revoked);
    assert_eq!(sandbox.recorded_events().len(), sent);
}
