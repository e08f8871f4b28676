use std::env;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use local_vault::protocol::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::sleep_until;

use crate::place::checkpoint;

/// What the client process is started with.
pub(crate) const CLIENT: &str = "LOCAL_VAULT_BENCH_CLIENT";
const CONNECTIONS: usize = 32;

/// What submitters saw.
pub(crate) struct Figures {
    pub(crate) rate: f64,
    /// Milliseconds from a submission to its receipt; at a rate, from when it was due.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Starts the client process: `each` checkpoints of a stream for each connection, at `per_second` together or, where that
/// is 0, one behind the other.
pub(crate) fn run(socket: &Path, prefix: &str, each: usize, per_second: u32) -> Figures {
    let mut client = Command::new(env::current_exe().unwrap());
    let output = client.env(CLIENT, format!("{prefix} {each} {per_second}")).arg(socket).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<f64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
    Figures { rate: numbers[0], p50: numbers[1], p99: numbers[2] }
}

/// The client process.
pub(crate) fn main(load: &str) {
    let words: Vec<&str> = load.split(' ').collect();
    let (prefix, each, per_second) = (words[0].to_owned(), words[1].parse().unwrap(), words[2].parse().unwrap());
    let socket = env::args().nth(1).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (rate, mut times) = runtime.block_on(async {
        let begun = Instant::now();
        let submitters: Vec<_> = (0..CONNECTIONS)
            .map(|stream| tokio::spawn(submit(socket.clone(), prefix.clone(), stream, each, per_second, begun)))
            .collect();
        let mut times = Vec::new();
        for submitter in submitters {
            times.extend(submitter.await.unwrap());
        }
        (times.len() as f64 / begun.elapsed().as_secs_f64(), times)
    });
    times.sort_unstable();
    let millis = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!("{rate} {} {}", millis(50), millis(99));
}

async fn submit(
    socket: String,
    prefix: String,
    stream: usize,
    each: usize,
    per_second: u32,
    begun: Instant,
) -> Vec<Duration> {
    let mut connection = UnixStream::connect(socket).await.unwrap();
    let mut times = Vec::with_capacity(each);
    let mut answer = vec![0; 16384];
    for n in 0..each {
        let mut since = Instant::now();
        if per_second > 0 {
            // Every connection has its own places in the one row of submissions that are due.
            let place = u32::try_from(n * CONNECTIONS + stream).unwrap();
            since = begun + Duration::from_secs(1) * place / per_second;
            sleep_until(since.into()).await;
        }
        let body = checkpoint(&prefix, stream, n as i64 + 1).to_object().to_canonical();
        let mut request =
            b"POST /witness/v1/checkpoints HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".to_vec();
        request.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        request.extend_from_slice(&body);
        connection.write_all(&request).await.unwrap();
        let mut length = 0;
        // An answer ends with the brace of its one object.
        while !is_whole(&answer[..length]) {
            length += connection.read(&mut answer[length..]).await.unwrap();
        }
        times.push(since.elapsed());
        assert!(answer.starts_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(&answer[..length]));
    }
    times
}

fn is_whole(answer: &[u8]) -> bool {
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| &answer[at + 4..]);
    body.is_some_and(|body| body.ends_with(b"}") && json::parse(body).is_ok())
}
