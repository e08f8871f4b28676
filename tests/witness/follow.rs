//! A witness that only goes out, with the real binary: reads a feed, signs, and posts what it signed.

use local_vault::protocol::json::{self, Object};
use local_vault::protocol::witness::Submission;

use super::installed::Place;
use super::sandbox::Sandbox;
use super::witness::{checkpoint, rival};

fn follows(sandbox: &Sandbox) -> Place {
    Place::new(&format!(
        "rollback = \"accepted\"\n[witness.follow]\nfeed = \"{}\"\n[relay]\nendpoint = \"{}\"\nca_file = {:?}",
        sandbox.at("/witness/v1/feed"),
        sandbox.url(),
        sandbox.ca_file(),
    ))
}

/// What was posted, in its order.
fn posted(sandbox: &Sandbox) -> Vec<Object> {
    let record = sandbox.record();
    let requests = record.split(|&c| c == b'\n').filter(|line| !line.is_empty()).map(|line| json::parse(line).unwrap());
    let posted = requests.filter(|request| request.get_str("path").unwrap().ends_with("/witness/checkpoints"));
    posted.map(|request| json::parse(request.get_str("body").unwrap().as_bytes()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_feed_gives_is_signed_and_posted_once_and_what_is_for_another_witness_is_passed_over() {
    let key = ed25519_dalek::SigningKey::from_bytes(&[0x11; 32]).verifying_key();
    let sandbox = Sandbox::trusting("ins_1", &hex::encode(key.as_bytes()));
    let place = follows(&sandbox);
    let foreign = Submission { witness_id: "ins_2".into(), stream_id: "str_2".into(), ..checkpoint(1, None) };
    let feed = [checkpoint(1, None), foreign, checkpoint(2, Some(1)), rival(2, Some(1))];
    sandbox.feed(feed.iter().map(|submission| submission.to_object().into()).collect()).await;

    let said = place.run(&["witness", "follow", "--once"]);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "4 items were read.\n"), "{said:?}");
    assert!(said.err.contains("it is for another witness"), "{said:?}");
    assert_eq!(place.counts(), "{\"forks\": 1, \"receipts\": 2}\n");
    let accepted: Vec<_> = posted(&sandbox).iter().map(|line| line.get("accepted").unwrap().as_bool()).collect();
    assert_eq!(accepted, [Some(true), Some(true), Some(false)]);

    let again = place.run(&["witness", "follow", "--once"]);
    assert_eq!((again.code, again.out.as_str()), (Some(0), "0 items were read.\n"), "{again:?}");
    assert_eq!(posted(&sandbox).len(), 3);
}
