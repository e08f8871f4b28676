use std::os::unix::fs::symlink;

use local_vault::spool::{SpoolError, State};
use local_vault::store::StoreError;

use super::place::{INSTALLATION, Place, client_of, sandbox};
use super::process::{Running, Vault, said};
use super::support::wait_until;

#[tokio::test]
async fn a_second_relay_on_one_spool_is_refused() {
    let (place, sandbox) = (Place::new(), sandbox(&[]));
    let first = place.drain(client_of(&sandbox)).await;
    let second = place.try_drain(client_of(&sandbox), INSTALLATION).await;
    assert!(matches!(second, Err(SpoolError::Store(StoreError::Busy(_)))), "{second:?}");
    drop(first);
    assert!(place.try_drain(client_of(&sandbox), INSTALLATION).await.is_ok());
}

#[test]
fn a_second_relay_process_ends_and_a_second_writer_does_not() {
    let sandbox = sandbox(&[]);
    let vault = Vault::new(&sandbox);
    let relay = Running::start(&mut vault.command(&["drain-loop", "--idle-sleep-seconds", "0.01"]));
    vault.enqueue("s", "1", "{}");
    wait_until(|| (!sandbox.recorded_events().is_empty()).then_some(()));

    let alias = vault.folder().join("alias.sqlite3");
    symlink(vault.spool(), &alias).unwrap();
    for spool in [vault.spool(), alias] {
        let code = |arguments: &[&str]| {
            let mut command = vault.command(arguments);
            command.env("ATTESTO_LOCAL_VAULT_SPOOL_DB", &spool).output().unwrap().status.code()
        };
        assert_eq!(code(&["relay", "drain"]), Some(75));
        assert_eq!(code(&["drain-once"]), Some(1));
        assert_eq!(code(&["drain-loop"]), Some(1));
    }
    // As from cron: beside the relay, and with no signing key.
    for n in 2..=10 {
        vault.enqueue("s", &n.to_string(), "{}");
    }
    wait_until(|| vault.events().iter().all(|event| event.state == State::Receipted).then_some(()));
    assert_eq!(sandbox.recorded_events().len(), 10);
    let output = relay.terminate();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}
