use std::fmt;

use getrandom::fill;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::WitnessError;
use crate::custody::{Sealed, WrappedKey, WrappingKey};
use crate::facts::{Framed, LockedKey};

/// What the records and the state are authenticated with. It is sealed under a key that is wrapped in custody, so that
/// whoever has the file alone cannot write a record of ours.
///
/// Where nothing wraps, as with the published settings of a host that only witnesses, it is a constant: then the MACs
/// find what a disk or a careless hand changed, and not what somebody forged.
pub(super) struct Secret {
    key: LockedKey,
    is_kept: bool,
}

/// A MAC, or a sum of them.
pub(super) type Tag = [u8; 32];

const CONTEXT: &str = "local-vault.witness-state.v1";

impl Secret {
    /// Makes the secret of a new state and stores what opens it again. The row of the state must be there. Blocks on the
    /// device that wraps.
    pub(super) fn make(
        db: &Connection,
        state_id: &str,
        wrapping: Option<&dyn WrappingKey>,
    ) -> Result<Self, WitnessError> {
        let Some(wrapping) = wrapping else { return Ok(Self::constant()) };
        let mut secret = Zeroizing::new([0; 32]);
        fill(secret.as_mut_slice()).map_err(|_| WitnessError::NoRandomness)?;
        let context = context(state_id);
        let (wrapped, key) = wrapping.generate_data_key(context.as_bytes())?;
        let sealed = key.seal(context.as_bytes(), secret.as_slice())?;
        let sql = "UPDATE state SET wrapped = ?1, nonce = ?2, sealed = ?3";
        db.execute(sql, params![wrapped.0, sealed.nonce, sealed.ciphertext])?;
        Ok(Self { key: LockedKey::new(&mut secret), is_kept: true })
    }

    /// Opens the secret of a state. Blocks on the device that wraps.
    pub(super) fn open(
        db: &Connection,
        state_id: &str,
        wrapping: Option<&dyn WrappingKey>,
    ) -> Result<Self, WitnessError> {
        let sql = "SELECT wrapped, nonce, sealed FROM state WHERE wrapped IS NOT NULL";
        let read = |row: &rusqlite::Row<'_>| {
            Ok((WrappedKey(row.get(0)?), Sealed { nonce: row.get(1)?, ciphertext: row.get(2)? }))
        };
        let stored = db.query_row(sql, [], read).optional()?;
        match (stored, wrapping) {
            (None, None) => Ok(Self::constant()),
            // Whoever strips the seal off and computes the MACs anew must not be believed.
            (None, Some(_)) => Err(WitnessError::Unauthenticated),
            (Some(_), None) => Err(WitnessError::NoWrappingKey),
            (Some((wrapped, sealed)), Some(wrapping)) => {
                let context = context(state_id);
                let key = wrapping.unwrap_data_key(&wrapped, context.as_bytes())?;
                let mut secret = key.open(context.as_bytes(), &sealed)?;
                let secret = <&mut [u8; 32]>::try_from(secret.as_mut_slice());
                let secret = secret.map_err(|_| WitnessError::Damaged("the sealed secret has another length"))?;
                Ok(Self { key: LockedKey::new(secret), is_kept: true })
            }
        }
    }

    fn constant() -> Self {
        Self { key: LockedKey::new(&mut [0; 32]), is_kept: false }
    }

    /// Whether nobody without custody can make a MAC.
    pub(super) const fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// HMAC-SHA256 (RFC 2104).
    pub(super) fn mac(&self, framed: &Framed) -> Tag {
        // HMAC takes a key of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose()).expect("a key of 32 bytes");
        mac.update(framed.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

fn context(state_id: &str) -> Framed {
    Framed::new(CONTEXT).bytes(state_id.as_bytes())
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret(kept: {})", self.is_kept)
    }
}
