//! The spool beside a model of it in memory: whatever is done to both, they tell the same.

use std::collections::BTreeMap;

use local_vault::spool::{Event, Lease, Limit, Limits, Park, Retention, Settlement, Spool, SpoolError, State};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::support::{Place, answer, event, judged, outage};

/// In milliseconds.
const YEAR: i64 = 365 * 24 * 60 * 60 * 1000;
/// The longest that a spool takes for a wait.
const LONGEST_WAIT: i64 = 2 * 60 * 60 * 1000;

#[derive(Debug, Clone)]
enum Step {
    Advance(i64),
    /// At most so many events are taken that are not settled.
    Bound(Option<u64>),
    /// The process ends without closing anything.
    Crash,
    Enqueue {
        stream: u8,
        source_ref: u8,
        content: u8,
    },
    Pause(bool),
    Reopen,
    /// The dead event at this place among the dead.
    Retry(usize),
    Rotate,
    Turn {
        settle: Vec<(usize, End)>,
        room: usize,
    },
}

#[derive(Debug, Clone, Copy)]
enum End {
    Conflict,
    Dead,
    NotAsked(i64),
    Outage(i64),
    Receipted,
    Retry(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        Just(End::Receipted),
        Just(End::Receipted),
        Just(End::Conflict),
        Just(End::Dead),
        (0..50_i64).prop_map(End::Retry),
        (0..50_i64).prop_map(End::NotAsked),
        (0..50_i64).prop_map(End::Outage),
    ];
    let turn = (prop::collection::vec((0..4_usize, end), 0..4), 0..4_usize);
    prop_oneof![
        2 => (0..30_i64).prop_map(Step::Advance),
        1 => (-40..0_i64).prop_map(Step::Advance),
        1 => prop_oneof![Just(-10 * YEAR), Just(10 * YEAR)].prop_map(Step::Advance),
        1 => prop_oneof![Just(None), (0..6_u64).prop_map(Some)].prop_map(Step::Bound),
        1 => Just(Step::Crash),
        1 => prop::bool::weighted(0.3).prop_map(Step::Pause),
        1 => (0..3_usize).prop_map(Step::Retry),
        6 => (0..3_u8, 0..8_u8, 0..2_u8).prop_map(|(stream, source_ref, content)| Step::Enqueue { stream, source_ref, content }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Rotate),
        8 => turn.prop_map(|(settle, room)| Step::Turn { settle, room }),
    ]
}

/// What the model knows of one event. Its place in the list is its place in the order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    stream: String,
    source_ref: String,
    payload: String,
    state: State,
    attempt: u32,
    failures: u32,
    epoch: u32,
}

/// Why nothing is taken.
#[derive(Debug)]
enum Refused {
    Conflict,
    Full,
}

#[derive(Debug, Default)]
struct Model {
    events: Vec<Entry>,
    /// Streams in the order they came up in, with when their heads may be sent.
    ready_at: Vec<(String, i64)>,
    epoch: u32,
    turned_at: i64,
    most: Option<u64>,
    is_paused: bool,
    /// When the next probe may be sent, where the receiver is away.
    parked: Option<i64>,
}

impl Model {
    fn head(&self, stream: &str) -> Option<usize> {
        self.events.iter().position(|e| e.stream == stream && matches!(e.state, State::Queued | State::Relaying))
    }

    fn enqueue(&mut self, new: Entry, now: i64) -> Result<bool, Refused> {
        let same = |e: &&Entry| e.stream == new.stream && e.source_ref == new.source_ref;
        if let Some(known) = self.events.iter().find(same) {
            return if known.payload == new.payload { Ok(true) } else { Err(Refused::Conflict) };
        }
        let pending = self.events.iter().filter(|e| matches!(e.state, State::Queued | State::Relaying)).count();
        if self.most.is_some_and(|most| pending as u64 >= most) {
            return Err(Refused::Full);
        }
        if !self.ready_at.iter().any(|(stream, _)| *stream == new.stream) {
            self.ready_at.push((new.stream.clone(), now));
        }
        if self.head(&new.stream).is_none() {
            self.wait(&new.stream.clone(), now);
        }
        self.events.push(new);
        Ok(false)
    }

    fn wait(&mut self, stream: &str, until: i64) {
        self.ready_at.iter_mut().find(|(name, _)| name == stream).expect("a stream").1 = until;
    }

    fn settle(&mut self, place: usize, end: End, now: i64) {
        let event = &mut self.events[place];
        let (state, wait) = match end {
            End::Conflict => (State::Conflict, 0),
            End::Dead => (State::Dead, 0),
            End::NotAsked(wait) | End::Retry(wait) => (State::Queued, wait),
            End::Outage(_) => (State::Queued, 0),
            End::Receipted => (State::Receipted, 0),
        };
        match end {
            // What was in flight beside the event that showed it first does not count again.
            End::Outage(wait) if self.parked.is_none_or(|probe_at| probe_at <= now) => self.parked = Some(now + wait),
            End::Outage(_) | End::NotAsked(_) => {}
            _ => self.parked = self.parked.filter(|probe_at| *probe_at > now),
        }
        event.state = state;
        event.failures += u32::from(matches!(end, End::Dead | End::Retry(_)));
        let stream = event.stream.clone();
        self.wait(&stream, now + wait);
    }

    /// How many events may be leased: while the receiver is away one, when its time has come.
    fn room(&self, room: usize, now: i64) -> usize {
        let is_busy = self.events.iter().any(|event| event.state == State::Relaying);
        match self.parked {
            _ if self.is_paused => 0,
            None => room,
            Some(probe_at) => room.min(usize::from(probe_at <= now && !is_busy)),
        }
    }

    /// Leases heads that are ready, the longest waiting first. Gives their places.
    fn lease(&mut self, room: usize, now: i64) -> Vec<usize> {
        let room = self.room(room, now);
        let mut ready: Vec<(i64, usize, usize)> = Vec::new();
        for (number, (stream, ready_at)) in self.ready_at.iter().enumerate() {
            let is_busy = self.events.iter().any(|e| e.stream == *stream && e.state == State::Relaying);
            let head = self.head(stream).filter(|_| !is_busy);
            ready.extend(head.filter(|_| *ready_at <= now).map(|head| (*ready_at, number, head)));
        }
        ready.sort_unstable();
        let leased: Vec<usize> = ready.into_iter().take(room).map(|(_, _, head)| head).collect();
        for place in &leased {
            self.events[*place].state = State::Relaying;
            self.events[*place].attempt += 1;
        }
        leased
    }

    fn turn(&mut self, now: i64) {
        let back = (self.turned_at - now).max(0);
        self.ready_at.iter_mut().for_each(|(_, ready_at)| *ready_at -= back);
        self.parked = self.parked.map(|probe_at| probe_at - back);
        self.end_absurd_waits(now);
        self.turned_at = now;
    }

    fn reopen(&mut self, now: i64) -> usize {
        let mut recovered = 0;
        for place in 0..self.events.len() {
            if self.events[place].state == State::Relaying {
                self.events[place].state = State::Queued;
                let stream = self.events[place].stream.clone();
                self.wait(&stream, now);
                recovered += 1;
            }
        }
        self.end_absurd_waits(now);
        self.turned_at = 0;
        self.most = None;
        recovered
    }

    /// A clock that was years ahead has gone back.
    fn end_absurd_waits(&mut self, now: i64) {
        let soon = |time: &mut i64| *time = if *time > now + LONGEST_WAIT { now } else { *time };
        self.ready_at.iter_mut().for_each(|(_, ready_at)| soon(ready_at));
        self.parked.iter_mut().for_each(soon);
    }

    /// Puts a dead event back where it was, which is in front of its stream.
    fn retry(&mut self, place: usize, now: i64) {
        let event = &mut self.events[place];
        (event.state, event.failures) = (State::Queued, 0);
        let stream = event.stream.clone();
        if !self.events.iter().any(|e| e.stream == stream && e.state == State::Relaying) {
            self.wait(&stream, now);
        }
    }
}

fn seen(event: &Event, payload: &[u8]) -> Entry {
    Entry {
        stream: event.stream_id.clone(),
        source_ref: event.source_ref.clone(),
        payload: String::from_utf8(payload.to_vec()).unwrap(),
        state: event.state,
        attempt: event.attempt,
        failures: event.failures,
        epoch: event.epoch,
    }
}

async fn enqueue(place: &Place, spool: &Spool, model: &mut Model, (stream, source_ref, content): (u8, u8, u8)) {
    // A reference belongs to one stream, as it must where reuse is not allowed.
    let new = Entry {
        stream: format!("s{stream}"),
        source_ref: format!("s{stream}-{source_ref}"),
        payload: format!("{{\"content\":{content}}}"),
        state: State::Queued,
        attempt: 0,
        failures: 0,
        epoch: model.epoch,
    };
    let got = spool.enqueue(event(&new.stream, &new.source_ref, &new.payload)).await;
    match model.enqueue(new, place.now().as_millis()) {
        Ok(known) => assert_eq!(got.unwrap().known, known),
        Err(Refused::Conflict) => assert!(matches!(got, Err(SpoolError::Conflict { .. }))),
        Err(Refused::Full) => assert_eq!(got, Err(SpoolError::Full { limit: Limit::Events })),
    }
}

async fn turn(place: &Place, spool: &Spool, model: &mut Model, settle: Vec<(usize, End)>, room: usize) {
    let now = place.now();
    model.turn(now.as_millis());
    let events = place.events();
    let in_flight: Vec<usize> = (0..events.len()).filter(|p| events[*p].state == State::Relaying).collect();
    let ends: BTreeMap<usize, End> =
        settle.into_iter().filter_map(|(n, end)| in_flight.get(n).map(|place| (*place, end))).collect();
    let mut settled = Vec::new();
    for (place, end) in ends {
        let event = &events[place];
        let settlement = match end {
            End::Conflict => Settlement::Conflict(answer(event)),
            End::Dead => judged(None),
            End::NotAsked(wait) => {
                Settlement::Unjudged { error: "custody".into(), park: Park::NotAsked(now.plus_millis(wait)) }
            }
            End::Outage(wait) => outage(now.plus_millis(wait)),
            End::Receipted => Settlement::Receipted(answer(event)),
            End::Retry(wait) => judged(Some(now.plus_millis(wait))),
        };
        settled.push((event.seq, settlement));
        model.settle(place, end, now.as_millis());
    }
    let Lease { leased, damaged, .. } = spool.turn(settled, room).await.unwrap();
    assert_eq!(damaged, []);
    let leased: Vec<Entry> = leased.iter().map(|leased| seen(&leased.event, &leased.payload)).collect();
    let expected = model.lease(room, now.as_millis());
    assert_eq!(leased, expected.iter().map(|place| model.events[*place].clone()).collect::<Vec<_>>());
}

/// Lets a parked receiver be probed at once, too.
async fn resume(place: &Place, spool: &Spool, model: &mut Model) {
    spool.control().resume(None, false).await.unwrap();
    let now = place.now().as_millis();
    model.parked = model.parked.map(|probe_at| probe_at.min(now));
}

async fn run(steps: Vec<Step>) {
    let mut place = Place::new();
    let mut spool = place.open();
    let mut model = Model { epoch: 1, ..Model::default() };
    for step in steps {
        match step {
            Step::Advance(millis) => place.clock.advance(millis),
            Step::Bound(most) => {
                spool.set_bounds(Limits { events: most, ..Limits::default() }, Retention::default());
                model.most = most;
            }
            Step::Crash => {
                place = place.copied();
                spool = place.open();
                assert_eq!(spool.recover().await.unwrap(), model.reopen(place.now().as_millis()));
            }
            Step::Enqueue { stream, source_ref, content } => {
                enqueue(&place, &spool, &mut model, (stream, source_ref, content)).await;
            }
            Step::Pause(pause) => {
                if pause {
                    spool.control().pause().await.unwrap()
                } else {
                    resume(&place, &spool, &mut model).await
                }
                model.is_paused = pause;
            }
            Step::Reopen => {
                drop(spool);
                spool = place.open();
                assert_eq!(spool.recover().await.unwrap(), model.reopen(place.now().as_millis()));
            }
            Step::Retry(number) => {
                let dead: Vec<usize> =
                    (0..model.events.len()).filter(|place| model.events[*place].state == State::Dead).collect();
                if let Some(dead) = dead.get(number) {
                    spool.control().retry(place.events()[*dead].event_id).await.unwrap();
                    model.retry(*dead, place.now().as_millis());
                }
            }
            Step::Rotate => {
                model.epoch += 1;
                assert_eq!(spool.rotate().await.unwrap(), model.epoch);
            }
            Step::Turn { settle, room } => turn(&place, &spool, &mut model, settle, room).await,
        }
        let events = place.events();
        let states = |e: &Entry| (e.stream.clone(), e.source_ref.clone(), e.state, e.attempt, e.failures, e.epoch);
        let stored: Vec<_> = events.iter().map(|event| states(&seen(event, b""))).collect();
        assert_eq!(stored, model.events.iter().map(states).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(Config {
        cases: 64,
        rng_seed: RngSeed::Fixed(2),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn the_spool_equals_its_model(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps));
    }
}
