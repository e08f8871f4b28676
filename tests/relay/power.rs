//! A TPM that loses its power at random moments, while one relays and others enqueue.

use std::thread;
use std::time::Duration;

use super::custody::is_only_for_a_tpm;
use super::kill::{Acknowledged, acknowledgements, enqueue, nothing_is_lost, rounds, start};
use super::place::sandbox;
use super::process::{Vault, said};

#[tokio::test]
async fn a_tpm_without_power_loses_nothing_and_counts_nothing_towards_a_lockout() {
    if is_only_for_a_tpm() {
        return;
    }
    let (rounds, mut random) = rounds();
    let sandbox = sandbox(&[]);
    let vault = Vault::new(&sandbox);
    let tpm = vault.commands.device.swtpm().unwrap();
    let mut acknowledged = Acknowledged::new();
    for round in 0..rounds {
        let relay = start(&vault);
        let enqueuing = enqueue(&vault, round);
        // When the power goes is the subject of the test; nothing is expected to have happened by then.
        thread::sleep(Duration::from_millis(random.below(300)));
        tpm.kill();
        thread::sleep(Duration::from_millis(random.below(30)));
        tpm.start();
        acknowledged.extend(acknowledgements(enqueuing, round));
        let ended = relay.terminate();
        assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    }
    // So that the last relay has something to do.
    vault.enqueue("stream-0", "last", "{}");
    nothing_is_lost(&vault, &sandbox, &acknowledged).await;
    assert_eq!(tpm.lockout_counter(), 0);
}
