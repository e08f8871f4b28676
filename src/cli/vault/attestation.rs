#[cfg(any(feature = "pkcs11", feature = "tpm"))]
use super::Kept;
use super::{LoadedKey, Vault, missing};
use crate::cli::failure::Failure;
use crate::custody::{self, Purpose, PurposeKey};
#[cfg(any(feature = "pkcs11", feature = "tpm"))]
use crate::protocol::attestation::Holder;
#[cfg(feature = "pkcs11")]
use crate::protocol::attestation::TokenIdentity;
use crate::protocol::attestation::{Assurance, Evidence, Measurement, SignedRecord};
use crate::protocol::tpm::Quote;

/// What could be shown of the relay key's custody.
pub(in crate::cli) struct Attested {
    pub(in crate::cli) key: PurposeKey,
    /// None for a key in a file, of which there is nothing to show.
    pub(in crate::cli) signed: Option<SignedRecord>,
    /// Why there is no quote, where one was configured and less will do.
    pub(in crate::cli) downgraded: Option<Failure>,
}

impl Attested {
    pub(in crate::cli) fn assurance(&self) -> Assurance {
        self.signed.as_ref().map_or(Assurance::L0, |signed| signed.record.assurance())
    }
}

const NOT_IN_A_TOKEN: &str = "the relay key is not in a token";
const NO_QUOTE: &str = "no quote is configured";

impl Vault {
    /// Makes and signs a record of the relay key's custody, and verifies it. What is configured is reached, or this is a
    /// failure; a quote that fails is passed over only where it is written that less will do. Blocks.
    pub(in crate::cli) fn attest(&self) -> Result<Attested, Failure> {
        let loaded = self.relay_key()?;
        let minimum = self.settings.attestation.minimum;
        if minimum > Assurance::L0 && !loaded.is_in_a_token() {
            return Err(unmet(minimum, NOT_IN_A_TOKEN));
        }
        match loaded.kept {
            #[cfg(feature = "pkcs11")]
            Kept::Token => self.attest_token(loaded),
            #[cfg(feature = "tpm")]
            Kept::Sealed => self.attest_sealed(loaded),
            _ => Ok(Attested { key: loaded.key, signed: None, downgraded: None }),
        }
    }

    /// Of a key in a token, which is checked to be held as a record says.
    #[cfg(feature = "pkcs11")]
    fn attest_token(&self, loaded: LoadedKey) -> Result<Attested, Failure> {
        let minimum = self.settings.attestation.minimum;
        loaded.key.check_key()?;
        let facts = self.token()?.facts()?;
        let token = TokenIdentity { manufacturer: facts.manufacturer, model: facts.model };
        let measurement = self.measurement(&loaded.key)?;
        let (quoted, downgraded) = match self.quote(&measurement) {
            Ok(quoted) => (quoted, None),
            Err(failure) if minimum < Assurance::L2 => (None, Some(failure)),
            Err(failure) => return Err(unless_away(minimum, failure)),
        };
        let (holder, evidence) = match quoted {
            Some((quote, evidence)) => (Holder::TokenAndTpm(token, Box::new(quote)), evidence),
            None if minimum == Assurance::L2 => return Err(unmet(minimum, NO_QUOTE)),
            None => (Holder::Token(token), Evidence::default()),
        };
        let signed = custody::attest(&loaded.key, measurement, holder, evidence)?;
        Ok(Attested { key: loaded.key, signed: Some(signed), downgraded })
    }

    /// Of a key that the TPM releases: it has no level, and its record is our own.
    #[cfg(feature = "tpm")]
    fn attest_sealed(&self, loaded: LoadedKey) -> Result<Attested, Failure> {
        let sealed = self.sealed_identity()?;
        let measurement = self.measurement(&loaded.key)?;
        let quoted = self.quote(&measurement)?;
        let (quote, evidence) = quoted.ok_or_else(|| Failure::software("a TPM that holds keys quotes"))?;
        let holder = Holder::SealingTpm(sealed, Box::new(quote));
        let signed = custody::attest(&loaded.key, measurement, holder, evidence)?;
        Ok(Attested { key: loaded.key, signed: Some(signed), downgraded: None })
    }

    /// Stops what signs with the relay key where less can be shown of it than is asked for. A token that is away has no
    /// say: nothing is signed until it is back, and it is checked then. A TPM that is away is waited for as a token is.
    pub(super) fn check_assurance(&self, relay: &LoadedKey) -> Result<(), Failure> {
        let minimum = self.settings.attestation.minimum;
        if minimum == Assurance::L0 {
            return Ok(());
        }
        if !relay.is_in_a_token() {
            return Err(unmet(minimum, NOT_IN_A_TOKEN));
        }
        if minimum == Assurance::L1 {
            return Ok(());
        }
        match self.quote(&self.measurement(&relay.key)?) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(unmet(minimum, NO_QUOTE)),
            Err(failure) => Err(unless_away(minimum, failure)),
        }
    }

    /// The relay key, with its name.
    pub(in crate::cli) fn relay_key(&self) -> Result<LoadedKey, Failure> {
        self.key_for(Purpose::Relay)
    }

    /// A verified quote over the measurement, where one is configured.
    fn quote(&self, measurement: &Measurement) -> Result<Option<(Quote, Evidence)>, Failure> {
        let quoter = self.quoter()?;
        Ok(quoter.map(|quoter| custody::quote(&*quoter, measurement)).transpose()?)
    }

    /// The key that was configured for this purpose, which has a name. What it signs is written down first.
    pub(super) fn key_for(&self, purpose: Purpose) -> Result<LoadedKey, Failure> {
        // There is at least one.
        Ok(self.keys_for(purpose)?.swap_remove(0))
    }

    /// Every key for a purpose, at least one: a witness has a second one that follows. Their uses are written down.
    pub(in crate::cli) fn keys_for(&self, purpose: Purpose) -> Result<Vec<LoadedKey>, Failure> {
        let name = purpose.name();
        let loaded: Vec<_> =
            self.signing_keys()?.into_iter().filter(|loaded| loaded.key.purpose() == purpose).collect();
        if loaded.is_empty() {
            let published = matches!(purpose, Purpose::Relay | Purpose::Witness);
            let or = if published { ", or set ATTESTO_LOCAL_VAULT_SIGNING_KEY" } else { "" };
            return Err(Failure::config(
                format!("no {name} key is configured"),
                format!("Name one under [custody.keys.{name}] in the config file{or}."),
            ));
        }
        if loaded.iter().any(|loaded| loaded.key.kid().is_empty()) {
            return Err(missing("key id", "KEY_ID", &format!("custody.keys.{name}.kid")));
        }
        let audit = self.audit()?;
        Ok(loaded.into_iter().map(|loaded| LoadedKey { key: loaded.key.recorded(audit.clone()), ..loaded }).collect())
    }
}

impl LoadedKey {
    /// A TPM's sealed key is in our memory while it signs, and not in a token.
    const fn is_in_a_token(&self) -> bool {
        match self.kept {
            #[cfg(feature = "pkcs11")]
            Kept::Token => true,
            _ => false,
        }
    }

    /// Whether a TPM seals it.
    pub(in crate::cli) const fn is_sealed(&self) -> bool {
        match self.kept {
            #[cfg(feature = "tpm")]
            Kept::Sealed => true,
            _ => false,
        }
    }
}

fn unmet(minimum: Assurance, why: &str) -> Failure {
    Failure::config(
        format!("{} is asked for and cannot be shown: {why}", minimum.name()),
        "Nothing was signed. Mend that, or write a lower attestation.minimum (ATTESTO_LOCAL_VAULT_ASSURANCE).",
    )
}

/// A device that is away may be back in a moment; everything else does not mend itself.
fn unless_away(minimum: Assurance, failure: Failure) -> Failure {
    if failure.is_away() { failure } else { unmet(minimum, failure.message()) }
}
