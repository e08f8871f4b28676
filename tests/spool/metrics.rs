use prometheus::{Registry, TextEncoder};

use super::support::{Place, event, lease, lease_one};

/// How often a histogram was told of something.
fn count(registry: &Registry, name: &str) -> u64 {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}_count "))).unwrap();
    line.parse().unwrap()
}

#[tokio::test]
async fn enqueues_and_commits_are_measured_and_a_look_is_none() {
    let (place, registry) = (Place::new(), Registry::new());
    let spool = place.open();
    spool.register(&registry).unwrap();
    let counts = || ["local_vault_enqueue_seconds", "local_vault_commit_seconds"].map(|name| count(&registry, name));
    assert_eq!(counts(), [0, 0]);
    spool.enqueue(event("a", "1", "{}")).await.unwrap();
    assert_eq!(counts(), [1, 1]);
    spool.enqueue_all(vec![event("a", "2", "{}"), event("b", "3", "{}")]).await.unwrap();
    assert_eq!(counts(), [2, 2]);
    // What is there already is answered without a word to the disk.
    spool.enqueue(event("a", "1", "{}")).await.unwrap();
    assert_eq!(counts(), [3, 2]);
    lease_one(&spool).await;
    assert_eq!(counts(), [3, 3]);
    lease(&spool, 0).await;
    assert_eq!(counts(), [3, 3]);
}

#[tokio::test]
async fn a_registry_takes_one_spool() {
    let (place, registry) = (Place::new(), Registry::new());
    let spool = place.open();
    spool.register(&registry).unwrap();
    assert!(spool.register(&registry).is_err());
}
