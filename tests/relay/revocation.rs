use std::time::Duration;

use local_vault::facts::Timestamp;
use local_vault::protocol::json::Value;
use local_vault::relay::Step;
use local_vault::spool::{Gate, SpoolError, State};

use super::delivery::envelope;
use super::place::{INSTALLATION, PATIENT, Place, client, client_of, public_key, run, sandbox};
use super::process::{Running, Vault, lines, said};
use super::support::{Sandbox, wait_until};

const NEW: &str = "ins_2";

/// A sandbox that trusts the old and the new installation, and revokes whoever comes first.
fn revoking() -> Sandbox {
    sandbox(&["--trust", &format!("{NEW}={}", public_key().to_hex()), "--behave", "revoke:1"])
}

/// The endpoint of the new installation.
fn new_url(sandbox: &Sandbox) -> String {
    sandbox.ready().get_object("urls").unwrap().get_str(NEW).unwrap().to_owned()
}

#[tokio::test]
async fn a_revocation_is_believed_from_a_second_probe_over_a_connection_of_its_own() {
    let (place, sandbox) = (Place::new(), revoking());
    place.fill(&["a"], 3).await;
    let (outcomes, gate) = run(&mut place.drain(client_of(&sandbox)).await).await;
    assert_eq!((outcomes.len(), gate), (1, Gate::Revoked));
    assert!(outcomes[0].revoked && outcomes[0].state == State::Queued);
    let requests = sandbox.recorded_events();
    let of = |name: &str| requests.iter().map(|r| r.get(name).cloned()).collect::<Vec<_>>();
    assert_eq!(of("answered"), [Some(Value::from(403_u32)), Some(Value::from(403_u32))]);
    assert_ne!(of("connection")[0], of("connection")[1]);
    let destination = place.destination();
    assert!(destination.revoked_at.is_some() && destination.parked.is_none());
    assert!(place.events().iter().all(|event| event.failures == 0 && event.state == State::Queued));
}

#[tokio::test]
async fn a_revocation_that_the_second_probe_does_not_confirm_is_none() {
    for (second, error) in [("forbidden", "http-403"), ("html", "ack-missing-body"), ("close", "RemoteDisconnected")] {
        let (place, sandbox) = (Place::new(), sandbox(&["--behave", "revoke:1", "--behave", second]));
        place.fill(&["a"], 1).await;
        let (outcomes, gate) = run(&mut place.drain(client_of(&sandbox)).await).await;
        assert_eq!((outcomes[0].revoked, outcomes[0].error.as_deref()), (false, Some(error)), "{second}");
        assert!(matches!(gate, Gate::Parked { .. }), "{second}: {gate:?}");
        assert_eq!(sandbox.recorded_events().len(), 2, "{second}");
    }
}

#[tokio::test]
async fn after_a_revocation_nothing_is_sent_again_whatever_the_clock_says() {
    let (place, sandbox) = (Place::new(), revoking());
    place.fill(&["a", "b"], 2).await;
    run(&mut place.drain(client_of(&sandbox)).await).await;
    let sent = sandbox.recorded_events().len();
    // It would be answered well now.
    sandbox.behave("ok", None).await;
    for time in ["2026-03-02T00:00:00Z", "2020-01-01T00:00:00Z", "2036-01-01T00:00:00Z"] {
        place.clock.set(Timestamp::parse(time).unwrap());
        let (outcomes, gate) = run(&mut place.drain(client_of(&sandbox)).await).await;
        assert_eq!((outcomes.len(), gate), (0, Gate::Revoked), "{time}");
    }
    place.spool().control().resume(None, false).await.unwrap();
    place.spool().control().resume(Some(INSTALLATION.into()), false).await.unwrap();
    assert_eq!(run(&mut place.drain(client_of(&sandbox)).await).await.1, Gate::Revoked);
    assert_eq!(sandbox.recorded_events().len(), sent);

    place.spool().control().resume(Some(NEW.into()), false).await.unwrap();
    let old = place.try_drain(client_of(&sandbox), INSTALLATION).await;
    assert!(matches!(old, Err(SpoolError::OtherInstallation { .. })), "{old:?}");
    let mut drain = place.try_drain(client(&new_url(&sandbox), Some(sandbox.ca_file()), PATIENT), NEW).await.unwrap();
    assert_eq!(run(&mut drain).await.1, Gate::Open);
    place.assert_all_delivered(4).await;
    let after = sandbox.recorded_events();
    assert!(after[sent..].iter().all(|r| envelope(r).get_str("installation_id") == Some(NEW)));
}

#[tokio::test]
async fn a_relay_that_runs_on_does_not_send_for_the_old_installation_once_the_operator_has_resumed() {
    let (place, sandbox) = (Place::new(), revoking());
    place.fill(&["a"], 1).await;
    let mut drain = place.drain(client_of(&sandbox)).await;
    assert_eq!(run(&mut drain).await.1, Gate::Revoked);
    sandbox.behave("ok", None).await;
    let sent = sandbox.recorded_events().len();
    place.spool().control().resume(Some(NEW.into()), false).await.unwrap();
    let refused = drain.next(usize::MAX).await;
    assert!(matches!(refused, Err(SpoolError::OtherInstallation { .. })), "{refused:?}");
    assert_eq!(sandbox.recorded_events().len(), sent);
    assert_eq!((place.events()[0].state, place.events()[0].attempt), (State::Queued, 1));
}

#[tokio::test]
async fn streams_that_were_under_way_do_not_bring_a_revoked_relay_back() {
    let (place, sandbox) = (Place::new(), revoking());
    place.fill(&["a", "b", "c", "d", "e"], 3).await;
    let mut drain = place.drain(client_of(&sandbox)).await;
    assert_eq!(run(&mut drain).await.1, Gate::Revoked);
    let sent = sandbox.recorded_events().len();
    place.clock.advance(Duration::from_secs(86_400));
    assert!(matches!(drain.next(usize::MAX).await, Ok(Step::Idle { gate: Gate::Revoked, until: None })));
    assert_eq!(sandbox.recorded_events().len(), sent);
}

#[tokio::test]
async fn no_process_sends_for_a_revoked_installation_until_it_is_resumed_for_a_new_one() {
    let sandbox = revoking();
    let vault = Vault::new(&sandbox);
    vault.enqueue("s", "1", "{}");
    let stopped = vault.run(&["relay", "drain"]);
    assert_eq!(stopped.status.code(), Some(77), "{}", said(&stopped));
    assert!(said(&stopped).contains("resume --installation-id NEW"));
    let sent = sandbox.recorded_events().len();
    sandbox.behave("ok", None).await;

    assert_eq!(vault.code(&["relay", "drain"]), Some(77));
    assert_eq!(vault.code(&["relay", "test"]), Some(77));
    assert_eq!(vault.code(&["relay", "resume"]), Some(77));
    assert_eq!(vault.code(&["relay", "resume", "--installation-id", INSTALLATION]), Some(77));
    // Neither is what cannot be an id, which would open the way back for the revoked one.
    assert_eq!(vault.code(&["relay", "resume", "--installation-id", ""]), Some(64));
    let once = lines(vault.succeed(&["drain-once"]).as_bytes());
    assert_eq!(once[0].get_str("error"), Some("installation-revoked"));
    assert_eq!(vault.code(&["drain-loop", "--stop-on-error"]), Some(2));
    // Who only enqueues goes on, and what is spooled stays.
    vault.enqueue("s", "2", "{}");
    assert_eq!(sandbox.recorded_events().len(), sent);

    vault.succeed(&["relay", "resume", "--installation-id", NEW]);
    assert_eq!(vault.code(&["relay", "resume", "--installation-id", INSTALLATION]), Some(77));
    assert_eq!(vault.code(&["relay", "drain"]), Some(78), "still configured for the old one");
    let mut command = vault.command(&["drain-loop", "--idle-sleep-seconds", "0.01"]);
    command.env("ATTESTO_LOCAL_VAULT_INSTALLATION_ID", NEW);
    let relay = Running::start(command.env("ATTESTO_LOCAL_VAULT_RELAY_URL", new_url(&sandbox)));
    wait_until(|| vault.events().iter().all(|event| event.state == State::Receipted).then_some(()));
    assert_eq!(relay.terminate().status.code(), Some(0));
    let after = sandbox.recorded_events();
    assert_eq!(after.len(), sent + 2);
    assert!(after[sent..].iter().all(|r| envelope(r).get_str("installation_id") == Some(NEW)));
}
