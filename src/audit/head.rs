use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use crate::custody::{CustodyError, PurposeKey};
use crate::facts::{Digest, Timestamp};
use crate::protocol::audit::{Head, SignedHead};

/// What came of a head that was to be signed.
pub(super) type Signed = Result<SignedHead, CustodyError>;

/// Signs heads on a thread of its own: a device that hangs keeps no entry waiting.
#[derive(Debug)]
pub(super) struct HeadSigner {
    key: PurposeKey,
    queue: Sender<Head>,
    thread: JoinHandle<()>,
}

impl HeadSigner {
    /// Starts the thread, which gives each head to `done`. It ends with this value, once its device lets it.
    /// Panics where the system has no thread left to give.
    pub(super) fn start(key: PurposeKey, done: impl Fn(Signed) + Send + 'static) -> Self {
        let (queue, heads) = mpsc::channel::<Head>();
        let signing = key.clone();
        let thread = thread::Builder::new().name("audit-head".into()).spawn(move || {
            for head in heads {
                let signature = signing.sign(&head.preimage());
                let public_key = signing.public_key().clone();
                done(signature.map(|signature| SignedHead { head, public_key, signature }));
            }
        });
        Self { key, queue, thread: thread.expect("a thread to sign on") }
    }

    /// Ends the thread, and with it what the key holds of its device. Blocks for as long as a signature takes.
    pub(super) fn end(self) {
        let Self { key, queue, thread } = self;
        drop((key, queue));
        // A panic there was reported by the panic hook already.
        let _ = thread.join();
    }

    /// Asks for the signature of how far a log has come.
    pub(super) fn ask(&self, log_id: &str, (seq, hash): (u64, Digest), signed_at: Timestamp) {
        let (alg, kid) = (self.key.public_key().algorithm(), self.key.kid().to_owned());
        // The thread ends with this value alone.
        let _ = self.queue.send(Head { log_id: log_id.to_owned(), seq, hash, signed_at, alg, kid });
    }
}
