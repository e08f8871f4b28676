use std::collections::HashSet;
use std::sync::Arc;

use local_vault::facts::EventId;
use local_vault::spool::{
    Enqueued, Event, Filter, Leased, Limits, Park, Retention, Settlement, Spool, SpoolError, SpoolReader, State,
};
use rusqlite::Connection;

use super::disk::Disk;
use super::place::{Offer, Place, answer};
use super::random::Random;

/// What the spool has answered for. After a crash it must be there.
#[derive(Debug, Clone)]
pub(crate) enum Fact {
    /// So many judgements against an event.
    Judged(EventId, u32),
    /// An event was given out for its attempt with this number.
    Leased(EventId, u32),
    /// There are so many epochs.
    Rotated(u32),
    /// An event is in this state for good.
    Settled(EventId, State),
    /// The offer at this place is spooled.
    Spooled(usize, EventId),
}

/// What was done to a spool, and what it has answered for.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// In the order in which the spool was asked.
    pub(crate) offers: Vec<Offer>,
    /// The offers that the spool failed to take, and said so.
    pub(crate) failed: Vec<usize>,
    /// Dead events that the operator wanted sent again, whether or not the spool answered.
    pub(crate) retried: HashSet<EventId>,
    /// Each with the length of the disk's log when it was answered.
    pub(crate) facts: Vec<(usize, Fact)>,
}

/// How work ended before its end.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: SpoolError,
    /// What the same spool said to the next request; `None` where it never opened.
    pub(crate) then: Option<Result<(), SpoolError>>,
}

impl Failed {
    /// While the spool was opened.
    const fn early(error: SpoolError) -> Self {
        Self { error, then: None }
    }
}

/// Everything that is done to a spool in its life, in an order that a seed gives.
pub(crate) struct Work<'a> {
    place: &'a Place,
    disk: Arc<Disk>,
    random: Random,
    in_flight: Vec<Event>,
    pub(crate) history: History,
}

impl<'a> Work<'a> {
    pub(crate) fn new(place: &'a Place, disk: &Arc<Disk>, seed: u64) -> Self {
        let random = Random::new(seed);
        Self { place, disk: disk.clone(), random, in_flight: Vec::new(), history: History::default() }
    }

    /// Works until the spool fails, asks it once more, and ends.
    pub(crate) async fn run(&mut self, steps: usize) -> Result<(), Failed> {
        self.run_and(steps, || ()).await
    }

    /// The same, with a look at what is there before the spool is closed.
    pub(crate) async fn run_and(&mut self, steps: usize, look: impl FnOnce()) -> Result<(), Failed> {
        let mut spool = self.open().await.map_err(Failed::early)?;
        for _ in 0..steps {
            let done = match self.random.below(20) {
                0 => {
                    drop(spool);
                    spool = self.open().await.map_err(Failed::early)?;
                    continue;
                }
                1 => self.rotate(&spool).await,
                2 => self.retry(&spool).await,
                3 => self.checkpoint(),
                4..7 => self.enqueue_together(&spool).await,
                7..12 => self.enqueue(&spool).await,
                _ => self.turn(&spool).await,
            };
            if let Err(error) = done {
                let offer = self.offer();
                let number = self.history.offers.len() - 1;
                let next = spool.enqueue(offer.event()).await;
                match &next {
                    Ok(enqueued) => self.spooled(number, enqueued),
                    Err(_) => self.history.failed.push(number),
                }
                return Err(Failed { error, then: Some(next.map(drop)) });
            }
            self.place.clock.advance(500);
        }
        look();
        Ok(())
    }

    async fn open(&mut self) -> Result<Spool, SpoolError> {
        let spool = self.place.open()?;
        // So that content is dropped in the middle of the work.
        spool.set_bounds(Limits::default(), Retention { keep_for: None, keep_events: Some(4) });
        spool.recover().await?;
        self.in_flight.clear();
        Ok(spool)
    }

    fn fact(&mut self, fact: Fact) {
        self.history.facts.push((self.disk.length(), fact));
    }

    fn offer(&mut self) -> Offer {
        let number = self.history.offers.len();
        // From what fits into a page to what takes a chain of them.
        let size = [20, 300, 3000, 9000][self.random.below(4)];
        let offer = Offer {
            stream: format!("s{}", self.random.below(3)),
            source_ref: format!("r{number}"),
            payload: format!("{{\"{number}\":\"{}\"}}", "7".repeat(size)),
        };
        self.history.offers.push(offer.clone());
        offer
    }

    fn spooled(&mut self, offer: usize, enqueued: &Enqueued) {
        self.fact(Fact::Spooled(offer, enqueued.event_id));
    }

    async fn enqueue(&mut self, spool: &Spool) -> Result<(), SpoolError> {
        let first = self.history.offers.len();
        let events = (0..=self.random.below(5)).map(|_| self.offer().event()).collect();
        let enqueued = spool.enqueue_all(events).await.inspect_err(|_| {
            let last = self.history.offers.len();
            self.history.failed.extend(first..last);
        })?;
        for (number, enqueued) in enqueued.into_iter().enumerate() {
            self.spooled(first + number, &enqueued?);
        }
        Ok(())
    }

    /// Three requests at once, which one commit may take.
    async fn enqueue_together(&mut self, spool: &Spool) -> Result<(), SpoolError> {
        let first = self.history.offers.len();
        let [a, b, c] = [self.offer(), self.offer(), self.offer()].map(|offer| spool.enqueue(offer.event()));
        let (a, b, c) = tokio::join!(a, b, c);
        let mut failed = None;
        for (number, enqueued) in [a, b, c].into_iter().enumerate() {
            match enqueued {
                Ok(enqueued) => self.spooled(first + number, &enqueued),
                Err(e) => {
                    self.history.failed.push(first + number);
                    failed = failed.or(Some(e));
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn rotate(&mut self, spool: &Spool) -> Result<(), SpoolError> {
        let epoch = spool.rotate().await?;
        self.fact(Fact::Rotated(epoch));
        Ok(())
    }

    /// The operator wants the first dead event sent again.
    async fn retry(&mut self, spool: &Spool) -> Result<(), SpoolError> {
        let reader = SpoolReader::open(&self.place.path())?;
        let dead = Filter { state: Some(State::Dead), limit: 1, ..Filter::default() };
        for event in reader.list(&dead)? {
            self.history.retried.insert(event.event_id);
            spool.control().retry(event.event_id).await?;
        }
        Ok(())
    }

    /// Another process checkpoints. What fails there is nothing to the spool.
    fn checkpoint(&mut self) -> Result<(), SpoolError> {
        let mode = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"][self.random.below(4)];
        if let Ok(db) = Connection::open(self.place.path()) {
            let _ = db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
        }
        Ok(())
    }

    async fn turn(&mut self, spool: &Spool) -> Result<(), SpoolError> {
        let coming_back = self.random.below(self.in_flight.len() + 1);
        let back: Vec<Event> = self.in_flight.drain(..coming_back).collect();
        let settled: Vec<_> = back.iter().map(|event| (event.seq, self.settlement(event))).collect();
        let room = self.random.below(4);
        let lease = spool.turn(settled.clone(), room).await?;
        assert!(lease.damaged.is_empty(), "{:?}", lease.damaged);
        for (event, (_, settlement)) in back.iter().zip(settled) {
            self.settled(event, &settlement);
        }
        for Leased { event, .. } in lease.leased {
            self.fact(Fact::Leased(event.event_id, event.attempt));
            self.in_flight.push(event);
        }
        Ok(())
    }

    fn settlement(&mut self, event: &Event) -> Settlement {
        let error = "ack-not-accepted".to_owned();
        match self.random.below(10) {
            0 => Settlement::Conflict(answer(event)),
            1 => Settlement::Judged { error, retry_at: None, answer: Some(answer(event)) },
            2 | 3 => Settlement::Judged { error, retry_at: Some(self.place.now().plus_millis(900)), answer: None },
            4 => Settlement::Unjudged { error, park: Park::Until(self.place.now().plus_millis(900)) },
            5 => Settlement::Unjudged { error, park: Park::NotAsked(self.place.now().plus_millis(900)) },
            _ => Settlement::Receipted(answer(event)),
        }
    }

    fn settled(&mut self, event: &Event, settlement: &Settlement) {
        let id = event.event_id;
        match settlement {
            Settlement::Receipted(_) => self.fact(Fact::Settled(id, State::Receipted)),
            Settlement::Conflict(_) => self.fact(Fact::Settled(id, State::Conflict)),
            Settlement::Judged { retry_at: None, .. } => self.fact(Fact::Settled(id, State::Dead)),
            Settlement::Judged { .. } => self.fact(Fact::Judged(id, event.failures + 1)),
            Settlement::Ahead { .. } | Settlement::Unjudged { .. } => {}
        }
    }
}
