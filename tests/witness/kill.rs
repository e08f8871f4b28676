//! A witness that is killed at each step of I1, and at random: what was signed is answered again, and nothing twice.

#![allow(clippy::print_stdout)] // how many

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use local_vault::custody::{CustodyError, FloorPlace, Protection, SharedSigningKey, SigningKey};
use local_vault::facts::{SystemClock, Timestamp};
use local_vault::protocol::json::{self, Object};
use local_vault::protocol::witness::{Refusal, Submission};
use local_vault::protocol::{Preimage, PublicKey, Signature};
use local_vault::witness::{Desk, FloorFile, GuardedClock, Request, Setup, Times, Verdict, Witness, WitnessReader};

use super::custody::share_with;
use super::place::{Place, Signed, accepted, replayed};
use super::witness::{self, checkpoint, rival};

/// Where the child stops, for its parent to kill it there.
const STEPS: [&str; 5] = ["before-commit", "before-anchor", "after-anchor", "before-signing", "before-answer"];

const FOLDER: &str = "LOCAL_VAULT_TEST_WITNESS";
const STEP: &str = "LOCAL_VAULT_TEST_WITNESS_STEP";
const FROM: &str = "LOCAL_VAULT_TEST_WITNESS_FROM";
/// The line that a child says where it stops.
const STALLED: &str = "stalled";
const RECEIPT: &str = "receipt ";

/// The number at which a child stops.
const LAST: i64 = 3;

#[tokio::test]
async fn a_witness_that_is_killed_at_any_step_signs_nothing_twice_and_answers_the_same() {
    for step in STEPS {
        let place = Place::with_floor();
        let mut child = Running::start(&place, step, 1);
        let receipts = child.until_stalled();
        child.kill();
        assert_eq!(i64::try_from(receipts.len()).unwrap(), LAST - 1, "{step}");
        let is_unsigned = is_unsigned(&place);
        // The rival comes first: where number three was decided, it is the fork.
        let (desk, closing) = place.open().unwrap();
        let was_decided = step != "before-commit";
        let mut signed = Signed::default();
        let first = if was_decided { rival(LAST, Some(LAST - 1)) } else { checkpoint(LAST, Some(LAST - 1)) };
        let verdict = submit(&desk, first).await;
        assert_eq!(matches!(verdict, Verdict::Forked(_)), was_decided, "{step}: {verdict:?}");
        assert_eq!(is_unsigned, was_decided, "{step}");
        let again = replayed(desk.submit(request(checkpoint(LAST, Some(LAST - 1)))).await);
        for (n, receipt) in (1..).zip(&receipts) {
            let known = Request { known: vec![receipt.clone()], ..request(checkpoint(n, (n > 1).then_some(n - 1))) };
            assert_eq!(replayed(desk.submit(known).await), *receipt, "{step}");
            signed.see(receipt, &place.key);
        }
        signed.see(&again, &place.key);
        signed.see(&accepted(desk.submit(request(checkpoint(LAST + 1, Some(LAST)))).await), &place.key);
        closing.close(desk).await;
        assert_eq!(signed.forks(), 0, "{step}");
    }
}

/// The same bytes are signed again where the signature was answered and not stored.
#[tokio::test]
async fn a_receipt_whose_signature_was_not_stored_is_the_same_again() {
    let place = Place::with_floor();
    let receipts = place.accept(&[checkpoint(1, None), checkpoint(2, Some(1))]).await;
    let db = rusqlite::Connection::open(place.path()).unwrap();
    db.execute("UPDATE receipts SET signature = NULL, public_key = NULL", []).unwrap();
    drop(db);
    for (n, receipt) in (1..).zip(&receipts) {
        let again = replayed(place.submit(&checkpoint(n, (n > 1).then_some(n - 1))).await);
        assert_eq!(again.get("canonical_json_hex"), receipt.get("canonical_json_hex"));
        assert_eq!(again.get("receipt_id"), receipt.get("receipt_id"));
    }
}

#[tokio::test]
async fn a_witness_that_is_killed_at_random_loses_no_receipt_and_signs_nothing_twice() {
    let rounds = setting("LOCAL_VAULT_KILL_ROUNDS").unwrap_or(12);
    let seed = setting("LOCAL_VAULT_KILL_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 0x9e37_79b9 + 1);
    println!("{rounds} kills, LOCAL_VAULT_KILL_SEED={seed}");
    let (place, mut random) = (Place::with_floor(), seed);
    let (mut signed, mut receipts) = (Signed::default(), Vec::<Object>::new());
    for _ in 0..rounds {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut child = Running::start(&place, "none", i64::try_from(receipts.len()).unwrap() + 1);
        // After that many answers, and a moment within the next one.
        let answered = child.answers(usize::try_from(random % 4).unwrap());
        std::thread::park_timeout(Duration::from_micros(random % 6000));
        child.kill();
        receipts.extend(answered);
        receipts.extend(child.rest());
        // What was decided and not answered is answered now, the same or for the first time.
        let next = i64::try_from(receipts.len()).unwrap() + 1;
        let (desk, closing) = place.open().unwrap();
        match submit(&desk, numbered(next)).await {
            Verdict::Accepted(receipt) | Verdict::Replayed(receipt) => receipts.push(receipt),
            Verdict::Forked(_) => panic!("number {next} is honest"),
        }
        for (n, receipt) in (1..).zip(&receipts) {
            assert_eq!(replayed(desk.submit(request(numbered(n))).await), *receipt);
        }
        assert!(matches!(submit(&desk, rival(next, Some(next - 1))).await, Verdict::Forked(_)));
        closing.close(desk).await;
    }
    receipts.iter().for_each(|receipt| signed.see(receipt, &place.key));
    let counts = WitnessReader::open(&place.path()).unwrap().counts().unwrap();
    assert_eq!((signed.forks(), counts.receipts), (0, receipts.len() as u64));
}

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

fn request(submission: Submission) -> Request {
    Request::new(submission, "operator")
}

fn numbered(n: i64) -> Submission {
    checkpoint(n, (n > 1).then_some(n - 1))
}

async fn submit(desk: &Desk, submission: Submission) -> Verdict {
    desk.submit(request(submission)).await.unwrap()
}

/// Whether the last number was decided, and has no signature. The one before it may have none either.
fn is_unsigned(place: &Place) -> bool {
    let db = rusqlite::Connection::open(place.path()).unwrap();
    let sql = "SELECT EXISTS (SELECT 1 FROM receipts WHERE seq_no = ?1 AND signature IS NULL)";
    db.query_row(sql, [LAST], |row| row.get(0)).unwrap()
}

/// A process of its own that witnesses one number after the other and says what it signed.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(place: &Place, step: &str, from: i64) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "kill::as_the_other_process", "--nocapture"]);
        command.env(FOLDER, place.state().parent().unwrap()).env(STEP, step).env(FROM, from.to_string());
        let mut child = share_with(&mut command).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Its next word to us; none where it is at its end.
    fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // The test harness speaks on the same line.
            if let Some(at) = [RECEIPT, STALLED].iter().find_map(|word| line.find(word)) {
                return line.ends_with('\n').then(|| line[at..].trim_end().to_owned());
            }
        }
    }

    fn until_stalled(&mut self) -> Vec<Object> {
        let mut receipts = Vec::new();
        loop {
            match self.next().expect("it stops before it ends") {
                line if line == STALLED => return receipts,
                line => receipts.push(receipt(&line)),
            }
        }
    }

    fn answers(&mut self, count: usize) -> Vec<Object> {
        (0..count).map_while(|_| self.next()).map(|line| receipt(&line)).collect()
    }

    /// What it had said before it was killed.
    fn rest(&mut self) -> Vec<Object> {
        std::iter::from_fn(|| self.next()).map(|line| receipt(&line)).collect()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn receipt(line: &str) -> Object {
    json::parse(line.strip_prefix(RECEIPT).unwrap().as_bytes()).unwrap()
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}

/// What [`Running`] runs; among the other tests it has nothing to do.
#[tokio::test]
async fn as_the_other_process() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let step = env::var(STEP).unwrap();
    let from: i64 = env::var(FROM).unwrap().parse().unwrap();
    let place = Place::at(Path::new(&folder)).floored();
    let stall = Arc::new(Stall { step, is_last: std::sync::Mutex::new(false) });
    let anchor = place.anchor(StallingFloor { place: place.floor(), stall: stall.clone() });
    let key = Arc::new(StallingKey { key: place.key.clone(), stall: stall.clone() });
    let times = Arc::new(StallingClock { stall: stall.clone() });
    let setup = Setup { signers: vec![witness::signer("k", key)], anchor: Some(anchor), times, ..place.setup() };
    let (desk, _closing) = Desk::start(Witness::open(&place.path(), setup).unwrap()).unwrap();
    for n in from.. {
        *stall.is_last.lock().unwrap() = n == LAST;
        let verdict = submit(&desk, numbered(n)).await;
        let (Verdict::Accepted(receipt) | Verdict::Replayed(receipt)) = verdict else { panic!("{n} is honest") };
        say(&format!("{RECEIPT}{}", String::from_utf8(receipt.to_canonical()).unwrap()));
    }
}

/// Stops for good at its step, in the last number.
#[derive(Debug)]
struct Stall {
    step: String,
    is_last: std::sync::Mutex<bool>,
}

impl Stall {
    fn at(&self, step: &str) {
        if self.step == step && *self.is_last.lock().unwrap() {
            say(STALLED);
            loop {
                std::thread::park();
            }
        }
    }
}

/// Statements get their time within the transaction, after the decision.
#[derive(Debug)]
struct StallingClock {
    stall: Arc<Stall>,
}

impl Times for StallingClock {
    fn stamp(&self, last: Timestamp) -> Result<Timestamp, Refusal> {
        self.stall.at("before-commit");
        GuardedClock(Arc::new(SystemClock)).stamp(last)
    }
}

#[derive(Debug)]
struct StallingFloor {
    place: FloorFile,
    stall: Arc<Stall>,
}

impl FloorPlace for StallingFloor {
    fn read(&self) -> Result<Option<Vec<u8>>, CustodyError> {
        self.place.read()
    }

    fn write(&self, bytes: &[u8]) -> Result<(), CustodyError> {
        self.stall.at("before-anchor");
        self.place.write(bytes)?;
        self.stall.at("after-anchor");
        Ok(())
    }
}

#[derive(Debug)]
struct StallingKey {
    key: SharedSigningKey,
    stall: Arc<Stall>,
}

impl SigningKey for StallingKey {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn protection(&self) -> Protection {
        self.key.protection()
    }

    fn sign(&self, preimage: &Preimage) -> Result<Signature, CustodyError> {
        self.stall.at("before-signing");
        let signature = self.key.sign(preimage)?;
        self.stall.at("before-answer");
        Ok(signature)
    }
}
