use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use crate::{key_used, open, request};

const PRODUCERS: usize = 64;
const EACH: usize = 2_000;
const ALONE: usize = 500;
const FSYNCS: usize = 200;

pub(crate) fn run() {
    println!("entries that are on the disk before whoever asks goes on");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let (alone, bare) = (runtime.block_on(alone()), fsyncs());
    println!("  a lone producer: {alone:.0}/s, where the disk does {bare:.0} fsyncs/s: {:.2} of it", alone / bare);
    for _ in 0..3 {
        let together = runtime.block_on(together());
        println!(
            "  {PRODUCERS} producers: {together:.0}/s, {:.1} a fsync of the disk (target: 20000/s)",
            together / bare
        );
    }
}

async fn alone() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let audit = open(&folder.path().join("audit"));
    let start = Instant::now();
    for n in 0..ALONE {
        audit.record(vec![key_used(&request(n))]).await.unwrap();
    }
    rate(ALONE, start)
}

async fn together() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let audit = Arc::new(open(&folder.path().join("audit")));
    let start = Instant::now();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let audit = audit.clone();
            tokio::spawn(async move {
                for n in 0..EACH {
                    audit.record(vec![key_used(&request(producer * EACH + n))]).await.unwrap();
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    rate(PRODUCERS * EACH, start)
}

/// What a line and an fsync take by themselves.
fn fsyncs() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let mut file = File::create(folder.path().join("bare")).unwrap();
    let start = Instant::now();
    for _ in 0..FSYNCS {
        file.write_all(&[b'x'; 400]).unwrap();
        file.sync_data().unwrap();
    }
    rate(FSYNCS, start)
}

fn rate(count: usize, start: Instant) -> f64 {
    count as f64 / start.elapsed().as_secs_f64()
}
