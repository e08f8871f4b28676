use super::change::Change;
use super::desk::Desk;
use super::turn::{Decided, Work};
use super::{WitnessError, document};
use crate::facts::Timestamp;
use crate::protocol::PublicKey;
use crate::protocol::json::Object;
use crate::protocol::witness::{KeyName, Rollover};

impl Desk {
    /// Lets the next key sign from now on: the one that is configured and has not signed here yet. Gives the rollover,
    /// signed by the key before it and by itself. What has no signature yet gets one first, of the key that it names.
    pub async fn rotate(&self, witness_id: &str, at: Timestamp) -> Result<Object, WitnessError> {
        self.sign_the_rest().await?;
        let keys = self.standing().keys;
        let old = keys.last().ok_or(WitnessError::Damaged("the state names no key"))?;
        let is_new = |key: &PublicKey| keys.iter().all(|own| own.public_key != *key);
        let next = self.signers.iter().find(|signer| is_new(signer.public_key()));
        let next =
            next.ok_or_else(|| WitnessError::Change("no key is configured that has not signed here yet".into()))?;
        let new = KeyName { kid: next.kid().to_owned(), public_key: next.public_key().clone() };
        let old = KeyName { kid: old.kid.clone(), public_key: old.public_key.clone() };
        let rollover = Rollover { witness_id: witness_id.to_owned(), old, new, at }.to_object();
        let by_old = self.sign_document(&rollover).await?;
        let by_new = document::sign(next, &rollover).await?;
        let rollover = Rollover::sealed(by_old, &by_new);
        let (kid, public_key) = (next.kid().to_owned(), next.public_key().clone());
        self.change(Change::Rotate { kid, public_key, rollover: rollover.clone() }).await?;
        Ok(rollover)
    }

    /// Signs what was decided and has no signature yet, since a crash came before it or the key was away: each with the key
    /// that it names.
    pub async fn sign_the_rest(&self) -> Result<(), WitnessError> {
        loop {
            let Decided::Unsigned(some) = self.ask(Work::Unsigned).await? else { return Ok(()) };
            if some.is_empty() {
                return Ok(());
            }
            // Each signature is on its way to the disk before the next look.
            for one in some {
                match one {
                    Decided::Receipted { committed, .. } => drop(self.receipt(committed).await?),
                    Decided::Forked(committed) => drop(self.evidence(committed).await?),
                    _ => {}
                }
            }
        }
    }
}
