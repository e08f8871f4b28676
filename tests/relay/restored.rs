//! A spool that is suspect because the receiver is ahead of it, and the operator's way out.

use std::time::Duration;

use local_vault::facts::Timestamp;
use local_vault::protocol::json::{self, Object};
use local_vault::relay::Step;
use local_vault::spool::{Gate, State};

use super::place::{Place, client_of, run, sandbox};
use super::process::{Vault, lines, said};

fn status(vault: &Vault) -> Object {
    json::parse(vault.succeed(&["relay", "status", "--json"]).as_bytes()).unwrap()
}

#[test]
fn no_process_sends_for_a_suspect_spool_until_the_operator_says_that_it_was_restored() {
    let sandbox = sandbox(&["--behave", "conflict:1"]);
    let vault = Vault::new(&sandbox);
    vault.enqueue("s", "1", "{}");
    vault.enqueue("s", "2", "{}");
    assert_eq!(vault.code(&["relay", "resume", "--accept-restored"]), Some(64), "there is nothing to accept");
    let stopped = vault.run(&["relay", "drain"]);
    assert_eq!(stopped.status.code(), Some(77), "{}", said(&stopped));
    assert!(said(&stopped).contains("local-vault relay resume --accept-restored"), "{}", said(&stopped));
    assert_eq!(vault.code(&["relay", "test"]), Some(77));

    assert_eq!(status(&vault).get_str("state"), Some("suspect"));
    let suspect = status(&vault).get_object("suspect").cloned().unwrap();
    assert_eq!(suspect.get_str("reason"), Some("a conflict over an event that was never sent before"));
    assert_eq!(vault.code(&["relay", "drain"]), Some(77));
    assert_eq!(vault.code(&["relay", "resume"]), Some(77));
    let once = lines(vault.succeed(&["drain-once"]).as_bytes());
    assert_eq!(once[0].get_str("error"), Some("receiver-ahead-of-spool"));
    assert_eq!(vault.code(&["drain-loop", "--stop-on-error"]), Some(2));
    // Who only enqueues goes on.
    vault.enqueue("s", "3", "{}");
    assert_eq!(sandbox.recorded_events().len(), 1);

    vault.succeed(&["relay", "resume", "--accept-restored"]);
    assert_eq!(status(&vault).get_str("state"), Some("open"));
    assert_eq!(vault.succeed(&["relay", "drain"]), "receipted 2, conflict 0, dead 0\n");
    assert_eq!(sandbox.recorded_events().len(), 3);
}

#[tokio::test]
async fn a_suspect_spool_stays_so_through_restarts_and_whatever_the_clock_says() {
    let (place, sandbox) = (Place::new(), sandbox(&["--behave", "conflict:1"]));
    place.fill(&["a"], 2).await;
    assert_eq!(run(&mut place.drain(client_of(&sandbox)).await).await.1, Gate::Suspect);
    let sent = sandbox.recorded_events().len();
    for time in ["2026-03-02T00:00:00Z", "2020-01-01T00:00:00Z", "2036-01-01T00:00:00Z"] {
        place.clock.set(Timestamp::parse(time).unwrap());
        assert_eq!(run(&mut place.drain(client_of(&sandbox)).await).await, (vec![], Gate::Suspect), "{time}");
    }
    assert_eq!(sandbox.recorded_events().len(), sent);
}

#[tokio::test]
async fn in_the_middle_of_a_batch_what_is_in_flight_is_settled_and_nothing_follows() {
    let streams = ["a", "b", "c", "d"];
    let (place, sandbox) = (Place::new(), sandbox(&["--behave", "conflict:1"]));
    place.fill(&streams, 5).await;
    let mut drain = place.drain(client_of(&sandbox)).await;
    let (outcomes, gate) = run(&mut drain).await;
    assert_eq!(gate, Gate::Suspect);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.state == State::Conflict).count(), 1);
    assert_eq!(place.count(State::Relaying), 0, "nothing is left in flight");
    let sent = sandbox.recorded_events().len();
    assert_eq!(sent, outcomes.len(), "each that was sent is settled");
    place.clock.advance(Duration::from_secs(86_400));
    assert!(matches!(drain.next(usize::MAX).await, Ok(Step::Idle { gate: Gate::Suspect, until: None })));
    assert_eq!(sandbox.recorded_events().len(), sent);

    // From another process's hand, while this one runs.
    place.spool().control().resume(None, true).await.unwrap();
    assert_eq!(run(&mut drain).await.1, Gate::Open);
    assert_eq!(place.count(State::Receipted), 19);
}
