use std::sync::{Mutex, PoisonError};

use super::fault::Fault;

/// Something that was found in a token, good for as long as the module is not started anew.
#[derive(Debug)]
pub(super) struct PerGeneration<T>(Mutex<Option<(u64, T)>>);

impl<T: Copy> PerGeneration<T> {
    /// What was found in this generation, or what `find` finds now. Who comes meanwhile waits for it.
    pub(super) fn get(&self, generation: u64, find: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, found)) = *known
            && of == generation
        {
            return Ok(found);
        }
        let found = find()?;
        *known = Some((generation, found));
        Ok(found)
    }

    /// What was found, and in which generation.
    pub(super) fn known(&self) -> Option<(u64, T)> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for PerGeneration<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}
