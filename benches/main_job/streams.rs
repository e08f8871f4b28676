//! Drains 64 streams over TLS on loopback into a receiver in another process on the same cores: events a second, and
//! the processor time that an event takes on either side.

use std::process::Stdio;
use std::time::Instant;

use crate::cpu::{TICK_US, ticks_of, ticks_of_children};
use crate::fill::fill;
use crate::payload::payload;
use crate::receiver::Receiver;
use crate::sign::median;

const EVENTS: usize = 20_000;
const ROUNDS: usize = 5;

pub(crate) fn run() {
    let receiver = Receiver::start();
    println!("drain over TLS, software key, receiver in another process on the same cores, payloads of 600 bytes");
    for (streams, parallel) in [(8, 8), (64, 64)] {
        let drained: Vec<_> = (0..ROUNDS).map(|_| drain(&receiver, streams, parallel)).collect();
        let of = |figure: fn(&Drained) -> f64| median(drained.iter().map(figure).collect());
        let (rate, relay, receiver) = (of(|d| d.rate), of(|d| d.relay_us), of(|d| d.receiver_us));
        let best = drained.iter().map(|d| d.rate).fold(0.0, f64::max);
        println!(
            "  {streams} streams: {rate:.0} events/s, {best:.0} at best (target 3,500 with 64); processor time an event: \
             relay {relay:.0} us, receiver {receiver:.0} us"
        );
    }
}

struct Drained {
    rate: f64,
    relay_us: f64,
    receiver_us: f64,
}

fn drain(receiver: &Receiver, streams: usize, parallel: usize) -> Drained {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.sqlite3");
    fill(&path, EVENTS, streams, &payload(600));
    let config = receiver.config(folder.path(), &path, parallel);
    let (start, ours, theirs) = (Instant::now(), ticks_of_children(), ticks_of(receiver.child.id()));
    let done =
        receiver.command().arg("--config").arg(config).args(["relay", "drain"]).stderr(Stdio::inherit()).output();
    let (took, done) = (start.elapsed(), done.unwrap());
    let told = format!("receipted {EVENTS}, conflict 0, dead 0\n");
    assert_eq!(String::from_utf8_lossy(&done.stdout), told);
    let per_event = |ticks: f64| ticks * TICK_US / EVENTS as f64;
    Drained {
        rate: EVENTS as f64 / took.as_secs_f64(),
        relay_us: per_event(ticks_of_children() - ours),
        receiver_us: per_event(ticks_of(receiver.child.id()) - theirs),
    }
}
