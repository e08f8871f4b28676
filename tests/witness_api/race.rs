use std::collections::BTreeSet;
use std::thread;

use local_vault::protocol::json::Value;
use local_vault::protocol::witness::Submission;
use local_vault::witness::WitnessReader;

use super::server::Server;
use super::witness::checkpoint;

/// Each client brings a history of its own, of which every number contradicts everybody else's.
#[test]
fn of_64_who_race_on_one_stream_exactly_one_line_of_history_is_signed() {
    const CLIENTS: usize = 64;
    const NUMBERS: i64 = 5;
    let server = Server::start();
    let mine = |client: usize, n: i64| Submission {
        checkpoint_hash: format!("{client:032x}{n:032x}"),
        previous_checkpoint_hash: (n > 1).then(|| format!("{client:032x}{:032x}", n - 1)),
        ..checkpoint(n, None)
    };
    let accepted: Vec<(usize, i64)> = thread::scope(|scope| {
        let race = |client: usize| {
            let (server, mine) = (&server, &mine);
            move || {
                let answers = (1..=NUMBERS).map(|n| (n, server.submit(&mine(client, n)).status));
                let answers: Vec<_> = answers.collect();
                assert!(answers.iter().all(|(_, status)| [201, 409].contains(status)), "{answers:?}");
                answers.into_iter().filter(|(_, status)| *status == 201).map(move |(n, _)| (client, n))
            }
        };
        let racing: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(race(client))).collect();
        racing.into_iter().flat_map(|racing| racing.join().unwrap()).collect()
    });
    // One of them won the first number, and nobody else extends that.
    let winners: BTreeSet<usize> = accepted.iter().map(|(client, _)| *client).collect();
    assert_eq!(winners.len(), 1, "{accepted:?}");
    assert_eq!(accepted.iter().map(|(_, n)| *n).collect::<Vec<_>>(), (1..=NUMBERS).collect::<Vec<_>>());
    let counts = WitnessReader::open(&server.path()).unwrap().counts().unwrap();
    assert_eq!(counts.receipts, NUMBERS.unsigned_abs());
    let head = server.get("/witness/v1/heads").object();
    let head = head.get("heads").and_then(Value::as_array).unwrap()[0].as_object().unwrap().clone();
    assert_eq!(head.get("checkpoint_seq_no").and_then(Value::as_i64), Some(NUMBERS));
}
