use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::fault::Fault;
use super::firmware_log::{self, Digests};
use super::link::Link;
use super::measure;
use super::pcr::{Selection, Value, Values};
use super::policy_folder;
use super::policy_key::PolicyKey;
use super::signed_policy::{Application, SignedPolicy};
use super::worker::Tpm;
use super::{durable, error};
use crate::custody::{CustodyError, ErrorKind};

/// The state that a policy is signed for, where it is not the one of now.
#[derive(Debug, Clone, Default)]
pub struct Predicted {
    /// PCRs that will hold something else.
    pub pcrs: BTreeMap<u8, [u8; 32]>,
    /// The executable that will run, where what runs is measured.
    pub executable: Option<PathBuf>,
}

/// The first generation of sealed secrets.
pub(super) const FIRST: u32 = 1;

impl Tpm {
    /// Signs a policy for the state of now, or a predicted one. Whether it measures what runs, the policies tell that
    /// are in use, or where there are none the configuration. Installs nothing. Blocks.
    pub fn sign_policy(&self, key: PolicyKey, predicted: Predicted) -> Result<SignedPolicy, CustodyError> {
        key.refuse_other(&self.config().policy_key)?;
        let parent = policy_folder::parent_name(self.config())?.to_owned();
        let generation = self.generation()?;
        let measures = match self.in_use(generation)? {
            None => self.config().application_pcr,
            Some(policy) => policy.application.map(|application| application.pcr),
        };
        // All that is asked for is known already: no TPM is needed.
        let given = |pcr: &u8| predicted.pcrs.contains_key(pcr);
        if measures.is_none() && self.config().pcrs.indices().all(|pcr| given(&pcr)) {
            return SignedPolicy::sign(key.signing_key(), &parent, generation, predicted.pcrs, None, Digests::new());
        }
        self.run(move |link| Ok(sign_policy(link, &key, &parent, generation, &predicted, measures)?))
    }

    /// Takes a signed policy into use, and gives where it lies.
    pub fn apply_policy(&self, path: &Path) -> Result<PathBuf, CustodyError> {
        let policy = policy_folder::read(path)?;
        let _lock = durable::lock_folder(&self.config().folder)?;
        policy.verify(self.config(), &path.display().to_string())?;
        let generation = self.generation()?;
        if policy.generation != generation {
            let message = format!("{} is of generation {}", path.display(), policy.generation);
            let advice = format!("What is sealed here is of generation {generation}. Sign it again, on this box.");
            return Err(error(ErrorKind::Refused, "policy", message, advice));
        }
        policy_folder::install(&self.config().folder, &policy)
    }

    /// The generation that secrets are sealed in now.
    pub fn generation(&self) -> Result<u32, CustodyError> {
        // A file that nobody signed would have the operator sign for a generation that is still to come.
        let policies = policy_folder::in_folder(self.config())?;
        Ok(policies.iter().map(|policy| policy.generation).fold(FIRST, u32::max))
    }

    /// A policy of this generation, which tells what all of it measure.
    fn in_use(&self, generation: u32) -> Result<Option<SignedPolicy>, CustodyError> {
        Ok(policy_folder::in_folder(self.config())?.into_iter().find(|policy| policy.generation == generation))
    }

    /// Whether what was sealed may be opened to see that it opens: not where that happens once a boot.
    pub(super) fn opens_freely(&self, generation: u32) -> Result<bool, CustodyError> {
        Ok(self.in_use(generation)?.is_none_or(|policy| policy.application.is_none()))
    }
}

/// Signs a policy of this generation, which measures what runs into that PCR where one is named.
pub(super) fn sign_policy(
    link: &mut Link,
    key: &PolicyKey,
    parent_name: &str,
    generation: u32,
    predicted: &Predicted,
    measures: Option<u8>,
) -> Result<SignedPolicy, CustodyError> {
    let pcrs = link.config.pcrs.clone();
    let unknown = Selection::of(pcrs.indices().filter(|pcr| !predicted.pcrs.contains_key(pcr)));
    let mut values: Values = unknown.read(&mut link.context).map_err(Fault::told)?;
    let events = firmware_log::digests(&firmware_log::explaining(&link.config, &values));
    values.extend(predicted.pcrs.iter().filter(|(pcr, _)| pcrs.indices().any(|selected| selected == **pcr)));
    let application = match measures {
        None => None,
        Some(pcr) => Some(Application {
            pcr,
            base: base(link, pcr, predicted)?,
            digest: measure::digest(&link.config, predicted.executable.as_deref())?,
        }),
    };
    SignedPolicy::sign(key.signing_key(), parent_name, generation, values, application, events)
}

/// What the application's PCR holds before anything of ours is measured: as predicted, as an earlier policy has it,
/// or what it holds now.
fn base(link: &mut Link, pcr: u8, predicted: &Predicted) -> Result<Value, CustodyError> {
    if let Some(value) = predicted.pcrs.get(&pcr) {
        return Ok(*value);
    }
    let policies = match link.config.policy_key {
        Some(_) => policy_folder::in_folder(&link.config)?,
        None => Vec::new(),
    };
    let earlier = policies.iter().rev().filter_map(|policy| policy.application.as_ref()).find(|a| a.pcr == pcr);
    match earlier {
        Some(earlier) => Ok(earlier.base),
        None => measure::read(link, pcr).map_err(Fault::told),
    }
}
