use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// What the producers do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) producers: u32,
    /// Of each.
    pub(crate) events: u32,
    pub(crate) attested: bool,
}

/// How it went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Events a second, all producers together.
    pub(crate) rate: f64,
    /// Milliseconds from a request to its answer.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Load {
    pub(crate) fn to_text(self) -> String {
        format!("{} {} {}", self.producers, self.events, self.attested)
    }

    fn from_text(text: &str) -> Self {
        let words: Vec<&str> = text.split(' ').collect();
        Self {
            producers: words[0].parse().unwrap(),
            events: words[1].parse().unwrap(),
            attested: words[2].parse().unwrap(),
        }
    }
}

impl Figures {
    pub(crate) fn from_text(text: &str) -> Self {
        let numbers: Vec<f64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
        Self { rate: numbers[0], p50: numbers[1], p99: numbers[2] }
    }
}

/// The client process: every producer sends one event after the other, and waits for each answer.
pub(crate) fn main(load: &str) {
    let load = Load::from_text(load);
    let socket = std::env::args().nth(1).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (rate, mut times) = runtime.block_on(async {
        let begun = Instant::now();
        let producers = (0..load.producers).map(|n| {
            let socket = socket.clone();
            tokio::spawn(async move { produce(&socket, n, load).await })
        });
        let producers: Vec<_> = producers.collect();
        let mut times = Vec::new();
        for producer in producers {
            times.extend(producer.await.unwrap());
        }
        (times.len() as f64 / begun.elapsed().as_secs_f64(), times)
    });
    times.sort_unstable();
    let millis = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e3;
    println!("{rate} {} {}", millis(50), millis(99));
}

async fn produce(socket: &str, producer: u32, load: Load) -> Vec<Duration> {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let mut times = Vec::with_capacity(load.events as usize);
    let mut answer = vec![0; 4096];
    for n in 0..load.events {
        let body = event(producer, n, load.attested);
        let head = "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ";
        let request = format!("{head}{}\r\n\r\n{body}", body.len());
        let begun = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        // An answer is short, and ends with the brace of its one object.
        let mut length = 0;
        while length == 0 || answer[length - 1] != b'}' {
            length += stream.read(&mut answer[length..]).await.unwrap();
        }
        times.push(begun.elapsed());
        assert!(answer.starts_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(&answer[..length]));
    }
    times
}

/// One event. What differs from one to the next lies in front, so that no two have the same content.
pub(crate) fn event(producer: u32, n: u32, attested: bool) -> String {
    let reference = format!(r#""stream_id":"s{producer}","source_ref":"{producer}-{n}""#);
    let filling = "x".repeat(super::PAYLOAD - 20);
    if attested {
        return format!(r#"{{{reference},"content":"{n:08}{filling}"}}"#);
    }
    format!(r#"{{{reference},"payload":{{"n":"{n:08}","x":"{}"}}}}"#, &filling[..filling.len() - 4])
}
