use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::Session;
use cryptoki::slot::Slot;

use super::fault::Fault;
use super::token_info::TokenInfo;

/// The sessions that do the work, opened as they are needed, as many as the token allows. They are logged in because
/// another session of this process is.
#[derive(Debug)]
pub(super) struct Pool {
    slot: Slot,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug)]
struct State {
    idle: Vec<Session>,
    open: usize,
    most: usize,
}

impl Pool {
    /// At most `most` sessions, or fewer where the token says so. One more is logged in and not in here.
    pub(super) fn new(slot: Slot, told: &TokenInfo, most: usize) -> Self {
        let told = told.most_sessions.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let most = most.min(told.saturating_sub(1));
        let state = State { idle: Vec::new(), open: 0, most: most.max(1) };
        Self { slot, state: Mutex::new(state), freed: Condvar::new() }
    }

    /// Works with a session of its own; waits for one where all are taken.
    ///
    /// A session that saw an error is closed: an operation may still be active in it, and every later one would fail.
    pub(super) fn run<T>(&self, context: &Pkcs11, work: impl FnOnce(&Session) -> Result<T, Fault>) -> Result<T, Fault> {
        let session = self.take(context)?;
        let done = work(&session);
        self.give_back(session, done.is_ok());
        done
    }

    fn take(&self, context: &Pkcs11) -> Result<Session, Fault> {
        let mut state = self.state();
        loop {
            if let Some(session) = state.idle.pop() {
                return Ok(session);
            }
            if state.open < state.most {
                match context.open_ro_session(self.slot) {
                    Ok(session) => {
                        state.open += 1;
                        return Ok(session);
                    }
                    // Other programs have the rest of them.
                    Err(Error::Pkcs11(RvError::SessionCount, _)) if state.open > 0 => state.most = state.open,
                    Err(other) => return Err(other.into()),
                }
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, session: Session, sound: bool) {
        let kept = sound.then_some(session);
        let mut state = self.state();
        match kept {
            Some(session) => state.idle.push(session),
            None => state.open -= 1,
        }
        self.freed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
