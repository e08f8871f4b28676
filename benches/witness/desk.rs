use std::time::{Duration, Instant};

use local_vault::witness::{Desk, Request, Verdict};
use tokio::time::sleep_until;

use crate::place::{Place, checkpoint};

/// What callers saw.
pub(crate) struct Figures {
    pub(crate) rate: f64,
    /// In milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// So many callers, each with a stream of its own and `each` checkpoints, one behind the other.
pub(crate) async fn closed_loop(place: &Place, callers: usize, each: i64) -> Figures {
    let (desk, closing) = Desk::start(place.open("closed")).unwrap();
    let begun = Instant::now();
    let callers: Vec<_> = (0..callers)
        .map(|stream| {
            let desk = desk.clone();
            tokio::spawn(async move {
                let mut took = Vec::new();
                for n in 1..=each {
                    took.push(submit(&desk, stream, n, Instant::now()).await);
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for caller in callers {
        took.extend(caller.await.unwrap());
    }
    let figures = figures(took, begun.elapsed());
    closing.close(desk).await;
    figures
}

/// Checkpoints of as many streams, at a rate, whether the ones before were answered or not: the time counts from when
/// each was due.
pub(crate) async fn offered(place: &Place, per_second: u32, count: usize) -> Figures {
    let (desk, closing) = Desk::start(place.open("offered")).unwrap();
    let begun = Instant::now();
    let mut callers = Vec::new();
    for n in 0..count {
        let due = begun + Duration::from_secs(1) * u32::try_from(n).unwrap() / per_second;
        sleep_until(due.into()).await;
        let desk = desk.clone();
        callers.push(tokio::spawn(async move { submit(&desk, n, 1, due).await }));
    }
    let mut took = Vec::new();
    for caller in callers {
        took.push(caller.await.unwrap());
    }
    let figures = figures(took, begun.elapsed());
    closing.close(desk).await;
    figures
}

async fn submit(desk: &Desk, stream: usize, n: i64, since: Instant) -> Duration {
    let verdict = desk.submit(Request::new(checkpoint(stream, n), "bench")).await.unwrap();
    assert!(matches!(verdict, Verdict::Accepted(_)));
    since.elapsed()
}

fn figures(mut took: Vec<Duration>, whole: Duration) -> Figures {
    took.sort_unstable();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    Figures { rate: took.len() as f64 / whole.as_secs_f64(), p50: at(0.5), p99: at(0.99) }
}
