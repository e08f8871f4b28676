use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use local_vault::custody::{
    CustodyError, ErrorKind, Protection, Purpose, PurposeKey, SharedSigningKey, SignError, Signer, SignerConfig,
    SigningKey,
};
use local_vault::protocol::{Domain, Preimage, PublicKey, Signature};

use super::purpose::Liar;
use super::{backends, preimage};

/// Long enough never to pass in a test that does not want it to.
const NEVER: Duration = Duration::from_secs(600);
/// For tests in which it passes, since the key is held. No assertion depends on how long it is.
const SOON: Duration = Duration::from_millis(250);

fn signer(key: SharedSigningKey, deadline: Duration, queue: usize) -> Signer {
    Signer::spawn(
        PurposeKey::bind(Purpose::Relay, "k1", key).unwrap(),
        SignerConfig { deadline, queue, ..SignerConfig::default() },
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once_each_get_the_signature_of_their_own_preimage() {
    for backend in backends() {
        let Some(key) = backend.ed25519() else { continue };
        for threads in [1, 3] {
            let key = PurposeKey::bind(Purpose::Relay, "k1", key.clone()).unwrap();
            many_callers(&Signer::spawn(key, SignerConfig { deadline: NEVER, queue: 4, threads })).await;
        }
    }
}

async fn many_callers(signer: &Signer) {
    let callers: Vec<_> = (0..200)
        .map(|i| {
            let signer = signer.clone();
            tokio::spawn(async move {
                let asked = preimage(Domain::Relay, &i.to_string());
                let (returned, signature) = signer.sign(asked.clone(), "req_1").await.unwrap();
                assert_eq!(returned, asked);
                assert_eq!(signer.public_key().verify(&asked, &signature), Ok(()));
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test]
async fn another_domain_and_a_lying_device_are_refused_here_too() {
    for backend in backends() {
        let Some(key) = backend.ed25519() else { continue };
        let honest = signer(key.clone(), NEVER, 1);
        let liar = signer(Arc::new(Liar(key)), NEVER, 1);
        let kinds = [
            honest.sign(preimage(Domain::Witness, "a"), "req_1").await.map_err(kind),
            liar.sign(preimage(Domain::Relay, "a"), "req_1").await.map_err(kind),
        ];
        assert_eq!(kinds, [Err(ErrorKind::Unsupported), Err(ErrorKind::Broken)], "{}", backend.name);
    }
}

fn kind(e: SignError) -> ErrorKind {
    let SignError::Custody(e) = e else { panic!("{e:?}") };
    e.kind
}

#[tokio::test]
async fn a_full_queue_is_busy_and_a_slow_key_misses_the_deadline() {
    for backend in backends() {
        let Some(key) = backend.ed25519() else { continue };
        let (key, gate) = held(key);
        let signer = signer(key, SOON, 1);
        let mut at_the_key = Box::pin(signer.sign(preimage(Domain::Relay, "first"), "req_1"));
        start(&mut at_the_key).await;
        gate.entered.recv().unwrap();
        let mut queued = Box::pin(signer.sign(preimage(Domain::Relay, "second"), "req_1"));
        start(&mut queued).await;

        let third = signer.sign(preimage(Domain::Relay, "third"), "req_1").await;
        assert_eq!(third.unwrap_err(), SignError::Busy, "{}", backend.name);
        assert_eq!(at_the_key.await.unwrap_err(), SignError::Deadline, "{}", backend.name);
        assert_eq!(queued.await.unwrap_err(), SignError::Deadline, "{}", backend.name);
    }
}

#[tokio::test]
async fn nothing_is_signed_for_a_caller_that_has_gone() {
    for backend in backends() {
        let Some(key) = backend.ed25519() else { continue };
        let (key, gate) = held(key);
        let signer = signer(key, NEVER, 2);
        let mut first = Box::pin(signer.sign(preimage(Domain::Relay, "first"), "req_1"));
        start(&mut first).await;
        gate.entered.recv().unwrap();
        let mut gone = Box::pin(signer.sign(preimage(Domain::Relay, "gone"), "req_1"));
        start(&mut gone).await;
        drop(gone);

        for _ in 0..3 {
            gate.pass.send(()).unwrap();
        }
        first.await.unwrap();
        signer.sign(preimage(Domain::Relay, "last"), "req_1").await.unwrap();
        let asked = gate.asked.lock().unwrap().clone();
        let expected = ["first", "last"].map(|text| preimage(Domain::Relay, text));
        assert_eq!(asked, expected, "{}", backend.name);
    }
}

#[tokio::test]
async fn the_thread_and_its_key_go_with_the_last_clone() {
    for backend in backends() {
        let Some(key) = backend.ed25519() else { continue };
        let (key, gate) = held(key);
        let signer = signer(key, NEVER, 1);
        drop(signer.clone());
        gate.pass.send(()).unwrap();
        signer.sign(preimage(Domain::Relay, "a"), "req_1").await.unwrap();
        gate.entered.recv().unwrap();
        drop(signer);
        // Ends when the key is dropped, and with it the sending half.
        assert!(gate.entered.recv().is_err(), "{}", backend.name);
    }
}

/// A key that waits at a gate before it signs, as a device under load does, and notes what it was asked for.
#[derive(Debug)]
struct Held {
    key: SharedSigningKey,
    entered: Sender<()>,
    pass: Mutex<Receiver<()>>,
    asked: Arc<Mutex<Vec<Preimage>>>,
}

/// The test's side of the gate. Dropped, it lets nobody through any more.
struct Gate {
    entered: Receiver<()>,
    pass: Sender<()>,
    asked: Arc<Mutex<Vec<Preimage>>>,
}

fn held(key: SharedSigningKey) -> (SharedSigningKey, Gate) {
    let (entered, has_entered) = channel();
    let (pass, passes) = channel();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let held = Held { key, entered, pass: Mutex::new(passes), asked: Arc::clone(&asked) };
    (Arc::new(held), Gate { entered: has_entered, pass, asked })
}

impl SigningKey for Held {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn protection(&self) -> Protection {
        self.key.protection()
    }

    fn sign(&self, preimage: &Preimage) -> Result<Signature, CustodyError> {
        self.asked.lock().unwrap().push(preimage.clone());
        let _ = self.entered.send(());
        match self.pass.lock().unwrap().recv() {
            Ok(()) => self.key.sign(preimage),
            Err(_) => Err(CustodyError::new(ErrorKind::Away, "test", "sign", "the gate is gone", "")),
        }
    }
}

/// Polls `future` once, so that its request is in the queue.
async fn start(future: &mut Pin<Box<impl Future>>) {
    poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}
