use std::sync::Arc;

use tokio::sync::Mutex;

use super::archive::in_turn;
use super::identity::{Identity, Policy};
use super::{Desk, WitnessError, WitnessReader};
use crate::facts::Clock;
use crate::protocol::json::Object;

/// A witness that is open, as those who ask it meet it: takes submissions, looks things up, and says who it is.
#[derive(Debug)]
pub struct Counter {
    /// Where checkpoints are submitted.
    pub desk: Desk,
    pub(super) witness_id: String,
    identity: Identity,
    reader: Arc<Mutex<WitnessReader>>,
}

/// Whether the witness is there.
#[derive(Debug, Clone)]
pub enum Presence {
    /// Not yet, or a device of its is away.
    Away,
    /// The service ends.
    Ending,
    /// An incident, by name, keeps it from signing.
    Stopped(String),
    /// It is.
    There(Arc<Counter>),
}

impl Counter {
    /// In front of a desk. Opens the database a second time, for looking. Blocks shortly on the disk.
    pub fn open(
        desk: Desk,
        witness_id: &str,
        policy: Policy,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, WitnessError> {
        let reader = Arc::new(Mutex::new(WitnessReader::open(desk.path())?));
        let identity = Identity::new(witness_id.to_owned(), policy, clock);
        Ok(Arc::new(Self { desk, witness_id: witness_id.to_owned(), identity, reader }))
    }

    /// What the witness says of itself, signed.
    pub async fn identity(&self) -> Result<Object, WitnessError> {
        self.identity.signed(&self.desk).await
    }

    /// Looks something up.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&WitnessReader) -> Result<T, WitnessError> + Send + 'static,
    ) -> Result<T, WitnessError> {
        in_turn(self.reader.clone().lock_owned().await, read).await
    }
}
