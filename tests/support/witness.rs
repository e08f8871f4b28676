//! A witness's setup for tests, and checkpoints to submit. Each test crate uses a part of this.

#![allow(dead_code, clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use local_vault::custody::{Purpose, PurposeKey, SharedSigningKey, Signer, SignerConfig};
use local_vault::facts::{Clock, SystemClock, Timestamp};
use local_vault::protocol::witness::{Refusal, Rules, Submission};
use local_vault::witness::{Desk, GuardedClock, Request, Setup, Times, Verdict, Witness, WitnessError};

/// As the published package has it: first use is accepted, and nothing else is asked.
pub(crate) const AS_PUBLISHED: Rules = Rules { first_use: true, longest_jump: None, evidence_each_time: true };

/// A setup without anchor and without a wrapping key.
pub(crate) fn setup(signer: Signer) -> Setup {
    Setup {
        signers: vec![signer],
        wrapping: None,
        anchor: None,
        anchor_interval: Duration::ZERO,
        rules: AS_PUBLISHED,
        times: Arc::new(GuardedClock(Arc::new(SystemClock))),
        adopts_keys: false,
        allowed: None,
    }
}

pub(crate) fn signer(kid: &str, key: SharedSigningKey) -> Signer {
    let config = SignerConfig { deadline: Duration::from_secs(60), ..SignerConfig::default() };
    Signer::spawn(PurposeKey::bind(Purpose::Witness, kid, key).unwrap(), config)
}

/// Opens the state, submits one checkpoint, and closes it: what a command does.
pub(crate) async fn submit(path: &Path, setup: Setup, submission: &Submission) -> Result<Verdict, WitnessError> {
    submit_request(path, setup, Request::new(submission.clone(), "operator")).await
}

pub(crate) async fn submit_request(path: &Path, setup: Setup, request: Request) -> Result<Verdict, WitnessError> {
    let (desk, closing) = Desk::start(Witness::open(path, setup)?)?;
    let verdict = desk.submit(request).await;
    closing.close(desk).await;
    verdict
}

/// Number `n`, on top of number `previous`, of the stream `str_1`.
pub(crate) fn checkpoint(n: i64, previous: Option<i64>) -> Submission {
    let hash = |n: i64| format!("{n:064x}");
    Submission {
        witness_id: "ins_1".into(),
        tenant_id: "ten_1".into(),
        stream_id: "str_1".into(),
        checkpoint_id: format!("chk_{n}"),
        checkpoint_seq_no: n,
        checkpoint_hash: hash(n),
        previous_checkpoint_hash: previous.map(hash),
    }
}

/// A rival of number `n`, on top of the same one.
pub(crate) fn rival(n: i64, previous: Option<i64>) -> Submission {
    Submission { checkpoint_hash: "ff".repeat(32), ..checkpoint(n, previous) }
}

/// Times as they are told, beneath the guard that keeps them from going back.
#[derive(Debug)]
pub(crate) struct Told(pub(crate) std::sync::Mutex<Timestamp>);

impl Told {
    pub(crate) fn at(time: Timestamp) -> Arc<Self> {
        Arc::new(Self(std::sync::Mutex::new(time)))
    }

    pub(crate) fn set(&self, time: Timestamp) {
        *self.0.lock().unwrap() = time;
    }
}

impl Times for Told {
    fn stamp(&self, _: Timestamp) -> Result<Timestamp, Refusal> {
        Ok(*self.0.lock().unwrap())
    }
}

impl Clock for Told {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}
