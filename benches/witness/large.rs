use std::time::Instant;

use local_vault::witness::{Desk, Request};

use crate::place::{Place, checkpoint};

/// So many streams are submitted at once while the state is filled.
const AT_ONCE: usize = 256;

/// A state of `checkpoints` over `streams`: what it weighs, and how long it takes to be opened and to sign one more.
pub(crate) async fn run(checkpoints: usize, streams: usize) {
    let place = Place::software();
    let (desk, closing) = Desk::start(place.open("large")).unwrap();
    let each = i64::try_from(checkpoints / streams).unwrap();
    let begun = Instant::now();
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|worker| {
            let desk = desk.clone();
            tokio::spawn(async move {
                for n in 1..=each {
                    for stream in (worker..streams).step_by(AT_ONCE) {
                        desk.submit(Request::new(checkpoint("large", stream, n), "bench")).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let rate = checkpoints as f64 / begun.elapsed().as_secs_f64();
    closing.close(desk).await;

    let bytes = std::fs::metadata(place.path("large")).unwrap().len();
    println!("  {checkpoints} checkpoints over {streams} streams: {rate:.0}/s while it was filled");
    println!("    {:.0} MiB, {:.0} bytes a checkpoint", bytes as f64 / 1048576.0, bytes as f64 / checkpoints as f64);
    let begun = Instant::now();
    let (desk, closing) = Desk::start(place.open("large")).unwrap();
    let opened = begun.elapsed();
    desk.submit(Request::new(checkpoint("large", 0, each + 1), "bench")).await.unwrap();
    println!("    opened in {:.0} ms, first receipt after {:.0} ms", ms(opened), ms(begun.elapsed()));
    closing.close(desk).await;
}

fn ms(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
