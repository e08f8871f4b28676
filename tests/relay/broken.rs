//! A send that breaks off by a defect of ours is made again by the same relay.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use local_vault::facts::{Clock, Timestamp};
use local_vault::spool::{Gate, State};

use super::place::{ManualClock, Place, client_of, run, sandbox};

/// A clock that fails the call of this number, which is one within a send.
#[derive(Debug)]
struct FailingClock(Arc<ManualClock>, AtomicI32);

impl Clock for FailingClock {
    fn now(&self) -> Timestamp {
        assert_ne!(self.1.fetch_sub(1, Ordering::SeqCst), 0, "a defect");
        self.0.now()
    }
}

#[tokio::test]
async fn a_send_that_broke_off_is_put_back_and_sent_again_by_the_same_relay() {
    let (place, sandbox) = (Place::new(), sandbox(&[]));
    place.fill(&["a"], 2).await;
    let clock = Arc::new(FailingClock(place.clock.clone(), AtomicI32::new(0)));
    let mut drain = place.drain_with_clock(client_of(&sandbox), clock).await;
    let (outcomes, gate) = run(&mut drain).await;
    assert_eq!((outcomes.len(), gate), (0, Gate::Open));
    let waiting = place.events();
    assert_eq!((waiting[0].state, waiting[0].attempt), (State::Queued, 1));
    place.clock.advance(Duration::from_secs(3));
    let (outcomes, _) = run(&mut drain).await;
    assert_eq!(outcomes.iter().map(|outcome| outcome.attempt).collect::<Vec<_>>(), [2, 1]);
    place.assert_all_delivered(2).await;
}
