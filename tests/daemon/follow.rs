//! A witness that fetches checkpoints from a feed: within the service, and as a command.

use std::collections::BTreeSet;

use local_vault::protocol::json::{self, Object, Value};
use local_vault::protocol::witness::Submission;
use local_vault::witness::WitnessReader;
use tokio::runtime::Runtime;

use super::service::Service;
use super::support::{Sandbox, wait_until};
use super::vault::{INSTALLATION, Vault, public_key};
use super::witness::{checkpoint, rival};

/// A vault that relays, witnesses and follows, and its sandbox.
struct Following {
    vault: Vault,
    sandbox: Sandbox,
    runtime: Runtime,
}

impl Following {
    fn new() -> Self {
        let [relay, witness] = ["relay", "witness"].map(|purpose| format!("{INSTALLATION}={}", public_key(purpose)));
        let sandbox = Sandbox::start(&["--trust", &relay, "--trust-witness", &witness]);
        let vault = Vault::new();
        let (events, ca) = (sandbox.url(), sandbox.ca_file());
        vault.configure(&format!("[relay]\nendpoint = \"{events}\"\nca_file = {ca:?}\nidle_sleep_seconds = 0.1\n"));
        vault.configure(&format!("[witness.follow]\nfeed = \"{}\"\n", sandbox.at("/witness/v1/feed")));
        Self { vault, sandbox, runtime: Runtime::new().unwrap() }
    }

    fn feed(&self, submissions: impl IntoIterator<Item = Submission>) {
        let submissions = submissions.into_iter().map(|submission| submission.to_object().into()).collect();
        self.runtime.block_on(self.sandbox.feed(submissions));
    }

    fn behave_on(&self, path: &str, mode: &str) {
        self.runtime.block_on(self.sandbox.behave_on(path, mode, None));
    }

    fn count(&self, name: &str) -> i64 {
        self.runtime.block_on(self.sandbox.count(name))
    }

    #[track_caller]
    fn until_posted(&self, count: i64) {
        wait_until(|| (self.count("checkpoints") == count).then_some(()));
    }

    /// What the receiver answered with `status`, each by its number, and whether it is a receipt.
    fn posted(&self, status: i64) -> Vec<(i64, bool)> {
        let record = self.sandbox.record();
        let requests = record.split(|&c| c == b'\n').filter_map(|line| json::parse(line).ok());
        let posts = requests.filter(|request| {
            request.get_str("path").unwrap().ends_with("/witness/checkpoints")
                && request.get("answered").and_then(Value::as_i64) == Some(status)
        });
        posts.map(|request| number(&json::parse(request.get_str("body").unwrap().as_bytes()).unwrap())).collect()
    }

    fn receipts(&self) -> u64 {
        WitnessReader::open(&self.vault.path("witness.sqlite3")).map_or(0, |reader| reader.counts().unwrap().receipts)
    }
}

fn number(line: &Object) -> (i64, bool) {
    let of = |object: &Object, name: &str| object.get(name).and_then(Value::as_i64).unwrap();
    match line.get_object("receipt") {
        Some(receipt) => (of(receipt.get_object("statement").unwrap(), "checkpoint_seq_no"), true),
        None => {
            let evidence = line.get_object("forkEvidence").unwrap().get_object("evidence").unwrap();
            (of(evidence, "submitted_checkpoint_seq_no"), false)
        }
    }
}

/// Numbers that follow one another.
fn chain(numbers: std::ops::RangeInclusive<i64>) -> impl Iterator<Item = Submission> {
    numbers.map(|n| checkpoint(n, (n > 1).then_some(n - 1)))
}

#[test]
fn what_the_feed_gives_is_signed_and_posted_in_order_and_a_fork_with_it() {
    let following = Following::new();
    following.feed(chain(1..=3));
    following.feed([rival(2, Some(1))]);
    let service = Service::of(&following.vault);
    following.until_posted(4);
    following.feed(chain(4..=5));
    following.until_posted(6);
    service.until_said("a fork was found");
    service.until_state("ok");
    service.end();
    assert_eq!(following.posted(201), [(1, true), (2, true), (3, true), (2, false), (4, true), (5, true)]);
}

#[test]
fn a_command_that_follows_once_posts_nothing_twice() {
    let following = Following::new();
    following.feed(chain(1..=3));
    following.feed([rival(3, Some(2))]);
    let follow = ["witness", "follow", "--once"];
    assert_eq!(following.vault.ok(&follow), "4 items were read.\n");
    assert_eq!(following.vault.ok(&follow), "0 items were read.\n");
    assert_eq!(following.posted(201), [(1, true), (2, true), (3, true), (3, false)]);
    assert_eq!(following.posted(200), []);
}

#[test]
fn what_was_signed_is_posted_once_also_where_the_feed_is_away() {
    let following = Following::new();
    following.feed(chain(1..=3));
    following.behave_on("checkpoints", "unavailable");
    let follow = ["witness", "follow", "--once"];
    following.vault.ok(&follow);
    assert_eq!((following.receipts(), following.count("checkpoints")), (3, 0));
    following.behave_on("checkpoints", "ok");
    following.behave_on("feed", "unavailable");
    // The receiver is left alone for a while after it refused.
    wait_until(|| {
        following
            .vault
            .run(&follow)
            .fails(69, &["Error: the feed answered 503.", "What was read before is kept. Try again."]);
        (following.count("checkpoints") == 3).then_some(())
    });
}

#[test]
fn a_service_that_is_killed_loses_and_doubles_nothing() {
    let following = Following::new();
    following.feed(chain(1..=250));
    for posted in [5, 60, 130] {
        let service = Service::of(&following.vault);
        wait_until(|| (following.count("checkpoints") >= posted).then_some(()));
        service.kill();
    }
    let service = Service::of(&following.vault);
    following.until_posted(250);
    service.end();
    assert_eq!(following.receipts(), 250);
    let numbers: Vec<i64> = following.posted(201).iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=250).collect::<Vec<_>>());
    // One that was under way may come again, and is the same.
    let again: BTreeSet<i64> = following.posted(200).iter().map(|(number, _)| *number).collect();
    assert!(again.len() <= 3, "{again:?}");
}

#[test]
fn neither_the_feed_nor_the_receiver_of_checkpoints_stops_the_events() {
    let following = Following::new();
    following.behave_on("feed", "unavailable");
    let service = Service::of(&following.vault);
    service.until_said("the feed gives nothing");
    assert_eq!(service.submit("r-1").status, 201);
    service.until_events("receipted", 1);
    following.behave_on("checkpoints", "unavailable");
    following.behave_on("feed", "ok");
    following.feed(chain(1..=3));
    wait_until(|| (following.receipts() == 3).then_some(()));
    assert_eq!(service.submit("r-2").status, 201);
    service.until_events("receipted", 2);
    assert_eq!(following.count("checkpoints"), 0);
    following.behave_on("checkpoints", "ok");
    following.until_posted(3);
    service.end();
}

#[test]
fn a_receiver_that_takes_no_events_stops_no_checkpoint() {
    let following = Following::new();
    following.behave_on("events", "unavailable");
    let service = Service::of(&following.vault);
    assert_eq!(wait_until(|| Some(service.submit("r-1")).filter(|answer| answer.status != 503)).status, 201);
    service.until_state("parked");
    following.feed(chain(1..=3));
    following.until_posted(3);
    service.end();
}

#[test]
fn a_stream_that_nobody_added_is_passed_over_and_the_next_is_not() {
    let following = Following::new();
    following.vault.reconfigure("witness.first_use = \"accept\"", "witness.first_use = \"refuse\"");
    let words = ["--tenant-id", "ten_1", "--stream-id", "str_1", "--submitter", "feed", "--consent", "c-7"];
    following.vault.ok(&[&["witness", "stream", "add"], words.as_slice()].concat());
    following.feed([Submission { stream_id: "str_2".into(), ..checkpoint(1, None) }]);
    following.feed(chain(1..=2));
    let service = Service::of(&following.vault);
    following.until_posted(2);
    let said = service.end();
    assert!(said.contains("an item of the feed is passed over") && !said.contains("str_2"), "{said}");
    assert_eq!(following.posted(201), [(1, true), (2, true)]);
}

#[test]
fn a_witness_that_is_stopped_signs_nothing_of_the_feed_and_leaves_it_there() {
    let following = Following::new();
    // Another copy of this witness signed what ours does not know.
    let copy = Following::new();
    copy.feed(chain(1..=1));
    copy.vault.ok(&["witness", "follow", "--once"]);
    let receipt = WitnessReader::open(&copy.vault.path("witness.sqlite3")).unwrap().heads(None, 0, 1).unwrap().0;
    let service = Service::of(&following.vault);
    service.until_state("ok");
    let body = Object::new().with("checkpoint", checkpoint(1, None).to_object()).with("known_receipts", receipt);
    let stopped = service.client().post("/witness/v1/checkpoints", "application/json", &body.to_canonical());
    assert_eq!(stopped.status, 503, "{:?}", stopped.object());
    following.feed(chain(1..=3));
    service.until_said("what the feed gave is not signed");
    assert_eq!(service.submit("r-1").status, 201);
    let status = service.until_events("receipted", 1);
    assert_eq!((status.get_str("state"), following.receipts()), (Some("degraded"), 0));
    service.end();
    assert_eq!(following.count("checkpoints"), 0);
    // It is there for who goes on.
    let done = following.vault.run(&["witness", "follow", "--once"]);
    assert!(done.code == Some(77) && done.err.contains("own-signature-ahead"), "{done:?}");
    assert_eq!(following.receipts(), 0);
}

#[test]
fn a_host_that_only_witnesses_needs_no_relay_key() {
    let following = Following::new();
    following.vault.reconfigure("[custody.keys.relay]\nfile = \"relay.key\"\nkid = \"relay-1\"\n", "");
    following.feed(chain(1..=2));
    let service = Service::of(&following.vault);
    following.until_posted(2);
    service.until_state("ok");
    service.end();
}

#[test]
fn a_feed_that_hangs_does_not_hold_the_end_up() {
    let following = Following::new();
    following.behave_on("feed", "stall");
    let service = Service::of(&following.vault);
    wait_until(|| (following.count("misbehaved") > 0).then_some(()));
    let said = service.end();
    assert!(!said.contains("ended before everything was settled"), "{said}");
}
