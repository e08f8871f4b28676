use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus::{Histogram, Registry};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::Span;

use super::metrics::sign_seconds;
use super::{CustodyError, ErrorKind, PurposeKey};
use crate::protocol::{Preimage, PublicKey, Signature};

/// How long a signature may take, and how many may wait.
#[derive(Debug, Clone, Copy)]
pub struct SignerConfig {
    /// From the call of [`Signer::sign`] to its answer.
    pub deadline: Duration,
    /// Requests that wait for the key, at least one; beyond that, callers wait for room.
    pub queue: usize,
    /// How many signatures are made at once, at least one. More than one helps where the device has several sessions.
    pub threads: usize,
}

impl Default for SignerConfig {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(10), queue: 64, threads: 1 }
    }
}

/// Signs for async callers: a message interface with a bounded queue and a deadline, in front of threads that may
/// block in a device. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Signer {
    key: PurposeKey,
    deadline: Duration,
    queue: mpsc::Sender<Request>,
    seconds: Histogram,
}

#[derive(Debug)]
struct Request {
    preimage: Preimage,
    // What the device warns of belongs to what it was asked for.
    span: Span,
    // The preimage comes back with the signature, for the caller to verify without a copy.
    reply: oneshot::Sender<(Preimage, Result<Signature, CustodyError>)>,
}

impl Signer {
    /// Starts the threads; they end with the last clone of the signer.
    /// Panics where `config.queue` is zero, or the system has no thread left to give.
    pub fn spawn(key: PurposeKey, config: SignerConfig) -> Self {
        let (queue, requests) = mpsc::channel(config.queue);
        let requests = Arc::new(Mutex::new(requests));
        let seconds = sign_seconds(key.purpose());
        for _ in 0..config.threads {
            let (worker, requests, seconds) = (key.clone(), requests.clone(), seconds.clone());
            let thread = thread::Builder::new().name(format!("sign-{}", key.purpose().name()));
            thread.spawn(move || serve(&worker, &requests, &seconds)).expect("a thread to sign on");
        }
        Self { key, deadline: config.deadline, queue, seconds }
    }

    /// Signs `preimage` on behalf of a request and hands it back. Where a record is kept, it is on the disk before the
    /// key is asked (I9). What a device made was verified in the caller's task (I3).
    pub async fn sign(&self, preimage: Preimage, request: &str) -> Result<(Preimage, Signature), SignError> {
        self.key.record(&preimage, request).await.map_err(SignError::Unrecorded)?;
        let signed = self.ask(preimage).await;
        match &signed {
            Ok(_) => {}
            Err(SignError::Custody(e)) => self.key.note_failed(Some(request), e),
            // A device that hangs has said nothing itself.
            Err(e) => {
                let hangs = CustodyError::new(ErrorKind::Away, "custody", "sign", e.to_string(), "Look at the device.");
                self.key.note_failed(Some(request), &hangs);
            }
        }
        signed
    }

    async fn ask(&self, preimage: Preimage) -> Result<(Preimage, Signature), SignError> {
        let deadline = Instant::now() + self.deadline;
        let (reply, answer) = oneshot::channel();
        let sent = timeout_at(deadline, self.queue.send(Request { preimage, span: Span::current(), reply })).await;
        sent.map_err(|_| SignError::Busy)?.map_err(|_| SignError::Gone)?;
        let answered = timeout_at(deadline, answer).await;
        let (preimage, signature) = answered.map_err(|_| SignError::Deadline)?.map_err(|_| SignError::Gone)?;
        let signature = signature?;
        self.key.check(&preimage, &signature)?;
        Ok((preimage, signature))
    }

    /// Lets `registry` gather what this signer measures. One signer of a purpose a registry.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.seconds.clone()))
    }

    /// The public half of the key.
    pub fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    /// The name under which verifiers know the key.
    pub fn kid(&self) -> &str {
        self.key.kid()
    }
}

fn serve(key: &PurposeKey, requests: &Mutex<mpsc::Receiver<Request>>, seconds: &Histogram) {
    // One thread waits for the next request, the others for their turn to wait.
    let next = || requests.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
    while let Some(Request { preimage, span, reply }) = next() {
        // A caller that gave up gets no signature made for nobody.
        if reply.is_closed() {
            continue;
        }
        let signature = span.in_scope(|| seconds.observe_closure_duration(|| key.sign_unchecked(&preimage)));
        let _ = reply.send((preimage, signature));
    }
}

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The queue was full until the deadline. Nothing was signed; try again later.
    #[error("the signing key is busy")]
    Busy,
    /// Custody refused or failed.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The key did not answer in time. Whether it signed is unknown, and harmless: nothing left the process.
    #[error("the signing key did not answer in time")]
    Deadline,
    /// The signing thread has ended.
    #[error("the signing thread has ended")]
    Gone,
    /// It could not be written down, so that it was not asked for (I9).
    #[error(transparent)]
    Unrecorded(CustodyError),
}

impl SignError {
    /// What failed, without a name of a key or a file: for the log.
    pub fn origin(&self) -> String {
        match self {
            Self::Custody(error) | Self::Unrecorded(error) => error.origin(),
            error => error.to_string(),
        }
    }
}
