use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::stream::{Stream, StreamName};
use crate::protocol::PublicKey;
use crate::protocol::json::{Object, Value};
use crate::protocol::witness::{Statement, verify_receipt};

/// What a peer has witnessed last of each stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerHeads {
    /// What the peer is called.
    pub peer: String,
    /// Its statements, each verified.
    pub heads: Vec<Statement>,
}

/// A page of what a peer answers to `GET heads` (section 6, ours): `{"heads":[receipt…],"next":N}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadsPage {
    /// Its statements, each verified.
    pub heads: Vec<Statement>,
    /// Behind what the next page goes on; `None` at the end.
    pub next: Option<i64>,
    /// Whether the peer was stopped: it may have been set back itself, and know less than it witnessed.
    pub is_stopped: bool,
}

/// Why a peer's answer is not believed. Nothing of what it answered is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// A page is not what it should be, or names a page before itself.
    #[error("a page of its heads does not read")]
    Form,
    /// A receipt is not signed with the key that is pinned for this peer, or was changed.
    #[error("a receipt of it does not verify under its key")]
    Receipt,
}

/// A stream of which a peer has witnessed something else than we have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which, as ours is called.
    pub stream: StreamName,
    /// The number that we have come to.
    pub own: Option<i64>,
    /// Who has witnessed something else.
    pub peer: String,
    /// What.
    pub statement: Statement,
}

/// So many peers must answer before their floors are relied on: as many as a quorum needs beside us, and at least one.
pub fn needed(quorum: usize) -> usize {
    quorum.saturating_sub(1).max(1)
}

/// The highest number that peers hold of each stream, and which of them holds it.
pub fn floors(answers: &[PeerHeads]) -> Vec<(String, Statement)> {
    let mut highest: BTreeMap<(&str, &str), (&str, &Statement)> = BTreeMap::new();
    for (peer, head) in each(answers) {
        match highest.entry((&head.submission.tenant_id, &head.submission.stream_id)) {
            Entry::Vacant(place) => drop(place.insert((peer, head))),
            Entry::Occupied(mut place) if number(place.get().1) < number(head) => drop(place.insert((peer, head))),
            Entry::Occupied(_) => {}
        }
    }
    highest.into_values().map(|(peer, head)| (peer.to_owned(), head.clone())).collect()
}

/// The streams that these floors raise: those of ours that end before them, and, where they are to be made of them,
/// those that we do not know. The peer names itself as who witnesses, so that the names of tenant and stream tell which
/// is meant.
pub fn is_ahead(own: &[Stream], floors: &[(String, Statement)], unknown_as: Option<&str>) -> Vec<Difference> {
    let known = by_name(own);
    let mut ahead = Vec::new();
    for (peer, head) in floors {
        let name = (head.submission.tenant_id.as_str(), head.submission.stream_id.as_str());
        let difference = |stream, own| Difference { stream, own, peer: peer.clone(), statement: head.clone() };
        match (known.get(&name), unknown_as) {
            (Some(streams), _) => ahead.extend(
                streams
                    .iter()
                    .filter(|stream| stream.is_of_this_origin(head))
                    .filter(|stream| own_number(stream).is_none_or(|own| own < number(head)))
                    .map(|stream| difference(stream.name.clone(), own_number(stream))),
            ),
            (None, Some(witness_id)) => {
                let name = StreamName { witness_id: witness_id.to_owned(), ..StreamName::from(&head.submission) };
                ahead.push(difference(name, None));
            }
            (None, None) => {}
        }
    }
    ahead
}

/// The streams of which a peer has witnessed another checkpoint of the very number that we have come to.
pub fn contradicts(own: &[Stream], answers: &[PeerHeads]) -> Vec<Difference> {
    let known = by_name(own);
    let mut found = Vec::new();
    for (peer, head) in each(answers) {
        let name = (head.submission.tenant_id.as_str(), head.submission.stream_id.as_str());
        for stream in known.get(&name).into_iter().flatten() {
            let is_another = stream.head.as_ref().is_some_and(|own| {
                own.checkpoint_seq_no == number(head) && own.checkpoint_hash != head.submission.checkpoint_hash
            });
            if is_another && stream.is_of_this_origin(head) {
                let (stream, own) = (stream.name.clone(), own_number(stream));
                found.push(Difference { stream, own, peer: peer.to_owned(), statement: head.clone() });
            }
        }
    }
    found
}

impl HeadsPage {
    /// Reads a page that was asked for behind `after`, every receipt in it verified under one of the peer's
    /// keys: it may have changed its key since the last one of a stream.
    pub fn read(page: &Object, keys: &[PublicKey], after: i64) -> Result<Self, PeerError> {
        let receipts = page.get("heads").and_then(Value::as_array).ok_or(PeerError::Form)?;
        let verified = |receipt: &Value| {
            let receipt = receipt.as_object().ok_or(PeerError::Form)?;
            let verified = keys.iter().find_map(|key| verify_receipt(receipt, key).ok());
            verified.ok_or(PeerError::Receipt)
        };
        let heads = receipts.iter().map(verified).collect::<Result<_, _>>()?;
        let next = match page.get("next") {
            None | Some(Value::Null) => None,
            Some(next) => Some(next.as_i64().filter(|next| *next > after).ok_or(PeerError::Form)?),
        };
        let is_stopped = !matches!(page.get("stopped"), None | Some(Value::Null));
        Ok(Self { heads, next, is_stopped })
    }
}

fn by_name(own: &[Stream]) -> BTreeMap<(&str, &str), Vec<&Stream>> {
    let mut known: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for stream in own {
        known.entry((stream.name.tenant_id.as_str(), stream.name.stream_id.as_str())).or_default().push(stream);
    }
    known
}

fn each(answers: &[PeerHeads]) -> impl Iterator<Item = (&str, &Statement)> {
    answers.iter().flat_map(|answer| answer.heads.iter().map(|head| (answer.peer.as_str(), head)))
}

fn number(head: &Statement) -> i64 {
    head.submission.checkpoint_seq_no
}

fn own_number(stream: &Stream) -> Option<i64> {
    stream.head.as_ref().map(|head| head.checkpoint_seq_no)
}

#[cfg(test)]
mod tests {
    use std::slice;

    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;
    use crate::facts::Timestamp;
    use crate::protocol::Signature;
    use crate::protocol::witness::{Head, Submission, receipt};

    fn statement(stream_id: &str, number: i64, hash: &str) -> Statement {
        let submission = Submission {
            witness_id: "ins_peer".into(),
            tenant_id: "ten_1".into(),
            stream_id: stream_id.into(),
            checkpoint_id: format!("chk_{number}"),
            checkpoint_seq_no: number,
            checkpoint_hash: hash.repeat(32),
            previous_checkpoint_hash: None,
        };
        Statement { submission, key_epoch: "kid_1".into(), accepted_at: Timestamp::from_millis(1_800_000_000_000) }
    }

    fn own(stream_id: &str, number: i64, hash: &str) -> Stream {
        let Submission { checkpoint_id, checkpoint_seq_no, checkpoint_hash, .. } =
            statement(stream_id, number, hash).submission;
        let name =
            StreamName { witness_id: "ins_1".into(), ..StreamName::from(&statement(stream_id, 1, "aa").submission) };
        Stream { head: Some(Head { checkpoint_id, checkpoint_seq_no, checkpoint_hash }), ..Stream::new(name) }
    }

    fn answer(peer: &str, heads: &[Statement]) -> PeerHeads {
        PeerHeads { peer: peer.into(), heads: heads.to_vec() }
    }

    fn told(differences: &[Difference]) -> Vec<(&str, Option<i64>, &str, i64)> {
        let told = |d: &'_ Difference| (d.own, d.statement.submission.checkpoint_seq_no);
        differences.iter().map(|d| (d.stream.stream_id.as_str(), told(d).0, d.peer.as_str(), told(d).1)).collect()
    }

    #[test]
    fn as_many_peers_are_needed_as_a_quorum_needs_beside_us_and_at_least_one() {
        assert_eq!([1, 2, 3].map(needed), [1, 1, 2]);
    }

    #[test]
    fn the_highest_number_of_each_stream_is_its_floor() {
        let answers = [
            answer("b", &[statement("str_1", 4, "aa"), statement("str_2", 9, "aa")]),
            answer("c", &[statement("str_1", 7, "aa"), statement("str_2", 9, "bb")]),
        ];
        let expected = [("c".to_owned(), statement("str_1", 7, "aa")), ("b".to_owned(), statement("str_2", 9, "aa"))];
        assert_eq!(floors(&answers), expected);
    }

    #[test]
    fn a_floor_raises_what_ends_before_it_and_nothing_else() {
        let own = [own("str_1", 4, "aa"), own("str_2", 9, "aa"), own("str_3", 12, "aa")];
        let heads = [statement("str_1", 7, "aa"), statement("str_2", 9, "aa"), statement("str_3", 11, "aa")];
        let floors = floors(&[answer("b", &heads)]);
        let ahead = is_ahead(&own, &floors, None);
        assert_eq!(told(&ahead), [("str_1", Some(4), "b", 7)]);
        assert_eq!(ahead[0].stream.witness_id, "ins_1");
    }

    #[test]
    fn a_stream_that_is_not_known_is_raised_only_where_it_is_to_be_made() {
        let floors = floors(&[answer("b", &[statement("str_1", 7, "aa")])]);
        assert_eq!(is_ahead(&[], &floors, None), []);
        let ahead = is_ahead(&[], &floors, Some("ins_1"));
        assert_eq!(told(&ahead), [("str_1", None, "b", 7)]);
        assert_eq!(ahead[0].stream.witness_id, "ins_1");
    }

    #[test]
    fn another_checkpoint_of_our_own_number_contradicts_us() {
        let own = [own("str_1", 7, "aa"), own("str_2", 7, "aa")];
        let answers = [answer("b", &[statement("str_1", 7, "bb"), statement("str_2", 7, "aa")])];
        assert_eq!(told(&contradicts(&own, &answers)), [("str_1", Some(7), "b", 7)]);
        assert_eq!(is_ahead(&own, &floors(&answers), None), []);
    }

    fn page(key: &SigningKey, statement: &Statement) -> Object {
        let public = PublicKey::ed25519(key.verifying_key().as_bytes()).unwrap();
        let signature = Signature::from_bytes(key.sign(statement.preimage().as_bytes()).to_bytes());
        Object::new().with("heads", vec![receipt("lwr_1", statement, &public, &signature)])
    }

    #[test]
    fn a_page_is_believed_under_the_pinned_key_alone() {
        let (key, other) = (SigningKey::from_bytes(&[7; 32]), SigningKey::from_bytes(&[8; 32]));
        let pinned = PublicKey::ed25519(key.verifying_key().as_bytes()).unwrap();
        let head = statement("str_1", 7, "aa");
        let read = HeadsPage::read(&page(&key, &head), slice::from_ref(&pinned), 0);
        assert_eq!(read, Ok(HeadsPage { heads: vec![head.clone()], next: None, is_stopped: false }));
        assert_eq!(HeadsPage::read(&page(&other, &head), slice::from_ref(&pinned), 0), Err(PeerError::Receipt));
    }

    #[test]
    fn pages_go_on_forward_alone() {
        let key = PublicKey::ed25519(SigningKey::from_bytes(&[7; 32]).verifying_key().as_bytes()).unwrap();
        let page = |next: i64| Object::new().with("heads", Vec::<Object>::new()).with("next", next);
        assert_eq!(
            HeadsPage::read(&page(5), slice::from_ref(&key), 4),
            Ok(HeadsPage { heads: vec![], next: Some(5), is_stopped: false })
        );
        assert_eq!(HeadsPage::read(&page(4), slice::from_ref(&key), 4), Err(PeerError::Form));
        assert_eq!(HeadsPage::read(&Object::new(), slice::from_ref(&key), 0), Err(PeerError::Form));
    }
}
