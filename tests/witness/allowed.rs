//! What an operator allows, and what a crash in the middle of it leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use local_vault::custody::{Anchor, AnchorKind, CustodyError, ErrorKind, Floor, PurposeKey};
use local_vault::facts::Timestamp;
use local_vault::protocol::witness::{Refusal, Statement, Submission};
use local_vault::witness::{
    Allowed, Change, Desk, FloorFile, Request, Setup, SignedFloor, Verdict, What, Witness, WitnessError, WitnessReader,
};

use super::witness::{checkpoint, rival, setup, submit, submit_request};
use super::{incident, key, place, signer};

/// A floor in a file, whose step may break off.
#[derive(Debug)]
struct Fragile {
    floor: SignedFloor,
    breaks: AtomicBool,
}

impl Fragile {
    fn at(path: &std::path::Path) -> Arc<Self> {
        let keys = vec![PurposeKey::bind(local_vault::custody::Purpose::Witness, "k", key()).unwrap()];
        let floor = SignedFloor::new(Box::new(FloorFile(path.with_extension("floor"))), "ins_1", keys);
        Arc::new(Self { floor, breaks: AtomicBool::new(false) })
    }
}

impl Anchor for Fragile {
    fn kind(&self) -> Result<AnchorKind, CustodyError> {
        self.floor.kind()
    }

    fn read(&self) -> Result<Option<Floor>, CustodyError> {
        self.floor.read()
    }

    fn begin(&self, floor: &Floor) -> Result<(), CustodyError> {
        self.floor.begin(floor)
    }

    fn advance(&self, floor: &Floor) -> Result<(), CustodyError> {
        if self.breaks.load(Ordering::Relaxed) {
            return Err(CustodyError::new(ErrorKind::Away, "test", "advance", "gone", ""));
        }
        self.floor.advance(floor)
    }
}

fn anchored(anchor: &Arc<Fragile>) -> Setup {
    Setup { anchor: Some(anchor.clone()), ..setup(signer(key())) }
}

/// What a peer has, as a floor of whatever we know by that name.
fn peer_has(head: Submission) -> Change {
    let accepted_at = Timestamp::from_millis(1_800_000_000_000);
    let statement = Statement {
        submission: Submission { witness_id: "ins_peer".into(), ..head },
        key_epoch: "peer-1".into(),
        accepted_at,
    };
    Change::Raise { heads: vec![("b".into(), statement)], unknown_as: Some("ins_1".into()) }
}

fn allowing(what: What, anchor: &Arc<Fragile>) -> Setup {
    let changes = vec![peer_has(checkpoint(3, Some(2)))];
    let allowed = Allowed { what, by: "alice".into(), reason: "a test".into(), changes };
    Setup { allowed: Some(allowed), ..anchored(anchor) }
}

/// What breaks off between the floors and the anchor stays an incident, so that nothing is signed without the floors.
async fn stays_an_incident(what: What, left: impl Fn(&std::path::Path)) {
    let (_folder, path) = place();
    let anchor = Fragile::at(&path);
    submit(&path, anchored(&anchor), &checkpoint(1, None)).await.unwrap();
    let copy = std::fs::read(&path).unwrap();
    submit(&path, anchored(&anchor), &checkpoint(2, Some(1))).await.unwrap();
    std::fs::write(&path, copy).unwrap();
    left(&path);

    anchor.breaks.store(true, Ordering::Relaxed);
    let broken = Witness::open(&path, allowing(what, &anchor)).map(drop);
    assert!(matches!(broken, Err(WitnessError::Custody(_))), "{broken:?}");
    anchor.breaks.store(false, Ordering::Relaxed);
    assert_eq!(incident(submit(&path, anchored(&anchor), &rival(2, Some(1))).await), What::OtherHistory);

    Witness::open(&path, allowing(What::OtherHistory, &anchor)).map(drop).unwrap();
    let refused = submit(&path, anchored(&anchor), &rival(2, Some(1))).await;
    assert_eq!(refused, Err(WitnessError::Refused(Refusal::BelowFloor)));
    let accepted = submit(&path, anchored(&anchor), &checkpoint(4, Some(3))).await;
    assert!(matches!(accepted, Ok(Verdict::Accepted(_))), "{accepted:?}");
}

#[tokio::test]
async fn a_crash_while_a_restored_state_is_allowed_leaves_an_incident() {
    stays_an_incident(What::RolledBack, |_| ()).await;
}

#[tokio::test]
async fn a_crash_while_a_lost_state_is_allowed_leaves_an_incident() {
    stays_an_incident(What::StateLost, |path| std::fs::remove_file(path).unwrap()).await;
}

#[tokio::test]
async fn a_witness_that_its_own_signature_stopped_has_floors_before_it_goes_on() {
    let (_folder, path) = place();
    let (_elsewhere, other) = place();
    let clone = submit(&other, setup(signer(key())), &checkpoint(2, None)).await.unwrap();
    let Verdict::Accepted(receipt) = clone else { panic!("it was accepted") };
    submit(&path, setup(signer(key())), &checkpoint(1, None)).await.unwrap();
    let shown = Request { known: vec![receipt], ..Request::new(rival(2, Some(1)), "operator") };
    let refused = submit_request(&path, setup(signer(key())), shown).await;
    assert_eq!(incident(refused), What::OwnSignatureAhead);
    let stopped = submit(&path, setup(signer(key())), &checkpoint(2, Some(1))).await;
    assert!(matches!(stopped, Err(WitnessError::Stopped(_))), "{stopped:?}");

    let mut witness = Witness::open(&path, setup(signer(key()))).unwrap();
    assert_eq!(witness.stopped(), Some("own-signature-ahead"));
    witness.change(&peer_has(checkpoint(3, Some(2)))).unwrap();
    let accept = |what| Change::Accept { what, allowed_by: "alice".into(), reason: "a clone was found".into() };
    assert!(matches!(witness.change(&accept(What::RolledBack)), Err(WitnessError::Change(_))));
    witness.change(&accept(What::OwnSignatureAhead)).unwrap();
    let (desk, closing) = Desk::start(witness).unwrap();
    let refused = desk.submit(Request::new(rival(2, Some(1)), "operator")).await;
    assert_eq!(refused, Err(WitnessError::Refused(Refusal::BelowFloor)));
    closing.close(desk).await;
    assert_eq!(WitnessReader::open(&path).unwrap().counts().unwrap().forks, 0);
}
