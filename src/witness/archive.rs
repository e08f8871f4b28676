use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;

use super::{WitnessError, WitnessReader};

/// The witness's database for looking only, also while nobody may sign on it: what was signed stays true.
#[derive(Debug, Clone)]
pub struct Archive {
    path: PathBuf,
    turn: Arc<Mutex<()>>,
}

impl Archive {
    /// Of the database at `path`, which need not be there.
    pub fn at(path: PathBuf) -> Self {
        Self { path, turn: Arc::default() }
    }

    /// Looks something up. Opens the database each time: an operator may be about to put another in its place.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&WitnessReader) -> Result<T, WitnessError> + Send + 'static,
    ) -> Result<T, WitnessError> {
        let (path, turn) = (self.path.clone(), self.turn.clone().lock_owned().await);
        in_turn(turn, move |()| read(&WitnessReader::open(&path)?)).await
    }
}

/// Looks something up apart from the threads that serve everybody, one after the other: whoever asks for much waits for
/// their own turns, and takes no threads from the anchor or the relay.
pub(super) async fn in_turn<R: Send + 'static, T: Send + 'static>(
    turn: OwnedMutexGuard<R>,
    read: impl FnOnce(&R) -> Result<T, WitnessError> + Send + 'static,
) -> Result<T, WitnessError> {
    let read = spawn_blocking(move || read(&turn));
    read.await.unwrap_or(Err(WitnessError::Damaged("a look at it broke off")))
}
