//! What peers have witnessed, over mTLS: where no anchor tells, they tell how far this witness had come.

#[path = "../support/peer.rs"]
mod peer;

use local_vault::custody::SharedSigningKey;

use super::custody;
use super::installed::Place;
use super::witness::{checkpoint, rival};
use peer::Peer;

const NO_PEERS: &str = "rollback = \"accepted\"";

fn key() -> SharedSigningKey {
    custody::signing_key(21)
}

/// The peer of this URL, and what we show it.
fn with_peer(url: &str) -> String {
    let key = key().public_key().to_hex();
    format!(
        "peers = [{{ name = \"b\", url = \"{url}\", public_keys = [\"{key}\"], ca_file = \"ca.pem\" }}]\n\
         [witness.listen]\naddress = \"127.0.0.1:0\"\ncertificate = \"client.pem\"\nkey = \"client.key\"\n\
         client_ca = \"ca.pem\""
    )
}

/// A restored copy of a state that knew three checkpoints and knows one, beside a peer that knows the third.
async fn restored(signs: &SharedSigningKey) -> (Place, Peer) {
    let place = Place::new(NO_PEERS);
    place.accepts(&checkpoint(1, None));
    let copy = place.copy();
    place.accepts(&checkpoint(2, Some(1)));
    place.accepts(&checkpoint(3, Some(2)));
    place.restore(&copy);
    let elsewhere = local_vault::protocol::witness::Submission { stream_id: "str_2".into(), ..checkpoint(9, None) };
    let folder = place.path("");
    let peer = Peer::start(&folder, signs, &[elsewhere, checkpoint(3, Some(2))]).await;
    place.configure(&with_peer(&peer.url));
    (place, peer)
}

#[tokio::test(flavor = "multi_thread")]
async fn floors_of_peers_keep_a_restored_copy_from_signing_a_fork() {
    let (place, _peer) = restored(&key()).await;
    let refused = place.submit(&rival(2, Some(1)));
    assert!(refused.code == Some(1) && refused.err.contains("before the floor"), "{refused:?}");
    // What an honest submitter sends again is no evidence against them.
    assert_eq!(place.submit(&checkpoint(2, Some(1))).code, Some(1));
    assert_eq!(place.counts(), "{\"forks\": 0, \"receipts\": 1}\n");
    place.accepts(&checkpoint(3, Some(2)));
    place.accepts(&checkpoint(4, Some(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_was_stopped_may_have_been_set_back_and_does_not_count() {
    let place = Place::new(NO_PEERS);
    place.accepts(&checkpoint(1, None));
    let peer = Peer::stopped(&place.path(""), &key(), &[checkpoint(1, None)]).await;
    place.configure(&with_peer(&peer.url));
    let refused = place.submit(&checkpoint(2, Some(1)));
    assert_eq!(refused.code, Some(69), "{refused:?}");
    assert!(refused.err.contains("0 of 1 peers answered, 1 were stopped themselves"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_only_a_peer_knows_is_not_begun_before_what_the_peer_has() {
    let (place, _peer) = restored(&key()).await;
    let early = local_vault::protocol::witness::Submission { stream_id: "str_2".into(), ..rival(1, None) };
    let refused = place.submit(&early);
    assert!(refused.code == Some(1) && refused.err.contains("before the floor"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_signed_where_too_few_peers_tell() {
    let (place, _peer) = restored(&key()).await;
    // A port where nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    place.configure(&with_peer(&format!("https://localhost:{free}/witness/v1")));
    let refused = place.submit(&checkpoint(2, Some(1)));
    assert!(refused.code == Some(1) && refused.err.contains("0 of 1 peers answered, and 1 must"), "{refused:?}");
    assert_eq!(place.counts(), "{\"forks\": 0, \"receipts\": 1}\n");
    assert_eq!(place.reconcile(&[]).code, Some(69));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_key_signed_is_not_what_the_peer_has_witnessed() {
    let (place, _peer) = restored(&custody::signing_key(22)).await;
    let refused = place.submit(&checkpoint(2, Some(1)));
    assert!(refused.code == Some(1) && refused.err.contains("does not verify under its key"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_state_has_floors_of_peers_before_it_signs_again() {
    let (place, peer) = restored(&key()).await;
    place.configure(&format!("anchor = \"rewritable\"\nfloor_file = \"floor.json\"\n{}", with_peer(&peer.url)));
    place.lose();
    place.accepts(&checkpoint(1, None));
    place.lose();
    let said = place.accept("state-lost", &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("raised ten_1 str_1: ours none, b has 3"), "{said:?}");
    assert_eq!(place.submit(&rival(2, Some(1))).code, Some(1));
    assert_eq!(place.counts(), "{\"forks\": 0, \"receipts\": 0}\n");
    place.accepts(&checkpoint(4, Some(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn to_go_on_without_peers_must_be_said_and_is_kept() {
    let (place, _peer) = restored(&key()).await;
    let dead = with_peer("https://localhost:1/witness/v1");
    place.configure(&format!("anchor = \"rewritable\"\nfloor_file = \"floor.json\"\n{dead}"));
    place.lose();
    place.accepts(&checkpoint(1, None));
    place.lose();
    let refused = place.accept("state-lost", &[]);
    assert!(refused.code == Some(69) && refused.err.contains("--without-peers"), "{refused:?}");
    let accepted = place.accept("state-lost", &["--without-peers", "--json"]);
    let reason = "a disk failed (without peers: 0 of 1 peers answered, and 1 must)";
    assert_eq!(accepted.object().get_str("reason"), Some(reason), "{accepted:?}");
}
