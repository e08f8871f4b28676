#[cfg(feature = "tpm")]
use std::sync::Arc;

use super::Vault;
use crate::cli::failure::Failure;
#[cfg(feature = "tpm")]
use crate::config::{AkAlgorithm, QuoteSettings};
use crate::custody::Quoter;
#[cfg(feature = "tpm")]
use crate::custody::tpm::{QuoteAlgorithm, Tcti, Tpm, TpmConfig, TpmQuoter};
#[cfg(feature = "tpm")]
use crate::protocol::attestation::SealedIdentity;

impl Vault {
    /// The TPM that quotes, where one is configured.
    #[cfg(feature = "tpm")]
    pub(super) fn quoter(&self) -> Result<Option<Box<dyn Quoter>>, Failure> {
        let Some((tpm, settings)) = self.quoting_tpm()? else { return Ok(None) };
        let algorithm = match settings.ak_algorithm {
            AkAlgorithm::Ecc => QuoteAlgorithm::Ecc,
            AkAlgorithm::Rsa => QuoteAlgorithm::Rsa,
        };
        let (pcrs, keys) = (settings.pcrs.clone(), self.resident_keys());
        Ok(Some(Box::new(TpmQuoter::new(tpm, pcrs, settings.ak_handle, algorithm, keys))))
    }

    /// The TPM that quotes, where one is configured.
    #[cfg(not(feature = "tpm"))]
    pub(super) fn quoter(&self) -> Result<Option<Box<dyn Quoter>>, Failure> {
        match self.settings.attestation.quote {
            None => Ok(None),
            Some(_) => Err(Failure::config("this build speaks to no TPM", "Install one with the feature tpm.")),
        }
    }

    /// The TPM that quotes, and what it is asked for, where one is configured. Touches nothing of it.
    #[cfg(feature = "tpm")]
    pub(in crate::cli) fn quoting_tpm(&self) -> Result<Option<(Arc<Tpm>, &QuoteSettings)>, Failure> {
        let Some(settings) = &self.settings.attestation.quote else { return Ok(None) };
        // Over the same connection as its keys are used: a simulator serves one.
        if self.settings.custody.tpm.is_some() {
            return Ok(Some((self.tpm()?, settings)));
        }
        let tcti = Tcti::parse(settings.tcti.as_deref().unwrap_or(Tcti::DEFAULT))?;
        Ok(Some((Tpm::new(TpmConfig::without_keys(tcti, settings.pcrs.clone())), settings)))
    }

    /// What a record says of the TPM that releases the relay key.
    #[cfg(feature = "tpm")]
    pub(super) fn sealed_identity(&self) -> Result<SealedIdentity, Failure> {
        let tpm = self.tpm()?;
        let facts = tpm.facts()?;
        let policy_key = tpm.config().policy_key.clone().ok_or_else(|| {
            let advice = "Run `local-vault custody tpm provision` once, and put what it prints into the config file.";
            Failure::config("no TPM was provisioned: no policy_key is configured", advice)
        })?;
        Ok(SealedIdentity {
            manufacturer: facts.manufacturer,
            model: facts.model,
            kind: facts.maker.kind,
            policy_key,
            pcr_selection: tpm.config().pcrs.clone(),
        })
    }
}
