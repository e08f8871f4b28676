use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::told::Told;
use crate::cli::failure::Failure;
use crate::custody::pkcs11::{PinState, Token};

/// How long an answer is waited for. A token in good health takes a hundredth of it.
const PATIENCE: Duration = Duration::from_secs(1);

const STATES: [PinState; 4] = [PinState::Fine, PinState::Low, PinState::FinalTry, PinState::Locked];

/// What a token tells of the tries of its PIN, without a login.
pub(super) struct Pin {
    token: Arc<Token>,
    /// Whether an earlier question has no answer yet.
    is_asked: Arc<AtomicBool>,
}

impl Pin {
    pub(super) fn new(token: Arc<Token>) -> Self {
        Self { token, is_asked: Arc::default() }
    }

    /// Tells it; nothing where no token is there to tell.
    pub(super) fn tell(&self, told: &Told) -> Result<(), Failure> {
        let Some(state) = self.ask() else { return Ok(()) };
        let help = "What the token tells of the tries of its PIN.";
        told.one_of("local_vault_custody_pin", help, "state", &STATES.map(PinState::name), state.name())
    }

    /// Asks on a thread of its own: a token may hang for ever, and neither who waits for the metrics nor the end of
    /// this process waits along. There is one such thread at most.
    fn ask(&self) -> Option<PinState> {
        if self.is_asked.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (tell, told) = mpsc::channel();
        let (token, is_asked) = (self.token.clone(), self.is_asked.clone());
        let asked = thread::Builder::new().name("pin".into()).spawn(move || {
            let facts = token.facts();
            is_asked.store(false, Ordering::Release);
            // Nobody waits any more where it took long.
            let _ = tell.send(facts.map(|facts| facts.pin));
        });
        if asked.is_err() {
            self.is_asked.store(false, Ordering::Release);
        }
        told.recv_timeout(PATIENCE).ok()?.ok()
    }
}
