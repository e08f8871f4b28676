use std::path::PathBuf;

use super::measure;
use super::pcr::Selection;
use super::policy::Reference;
use super::policy_folder;
use super::sealed_file::{Content, SealedFile};
use super::signed_policy::SignedPolicy;
use super::worker::Tpm;
use crate::custody::CustodyError;

/// A signed policy, and whether it holds now.
#[derive(Debug, Clone)]
pub struct PolicyState {
    /// Where it lies.
    pub file: PathBuf,
    /// For secrets of which generation.
    pub generation: u32,
    /// The PCRs that are not what it allows; where this is empty, it holds. The application's PCR is not among them.
    pub differs: Vec<u8>,
    /// The PCR that what runs is measured into, where it is.
    pub application_pcr: Option<u8>,
    /// Whether that PCR is past the point where secrets are released: they were, or cannot be before the next boot.
    pub is_spent: bool,
}

/// A secret that is sealed here.
#[derive(Debug, Clone)]
pub struct SealedState {
    /// Its label.
    pub label: String,
    /// What it is for.
    pub kind: SealedKind,
    /// The generation whose policies open it.
    pub generation: u32,
    /// Its half in the TPM.
    pub nv_index: u32,
}

impl SealedState {
    /// Whether this NV index goes with it.
    pub(super) fn has(&self, index: u32) -> bool {
        let is_of_an_anchor =
            matches!(self.kind, SealedKind::Anchor { counter, floor, .. } if [counter, floor].contains(&index));
        is_of_an_anchor || self.nv_index == index
    }
}

/// What a sealed secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedKind {
    /// It writes to an anchor, in two more NV indices.
    Anchor {
        /// Of the counter.
        counter: u32,
        /// Of the floor.
        floor: u32,
        /// Whether it was begun in full. Where it was not, the next begin makes it anew.
        is_made: bool,
    },
    /// A signing seed.
    Seed,
    /// It wraps data keys.
    Wrapping,
}

impl Tpm {
    /// Every signed policy, and whether it holds now. Blocks.
    pub fn policies(&self) -> Result<Vec<PolicyState>, CustodyError> {
        self.run(|link| {
            let mut states = Vec::new();
            for (file, policy) in policy_folder::with_paths(&link.config)? {
                let wanted = policy.values(Reference::Standing);
                let now = Selection::of(wanted.keys().copied()).read(&mut link.context)?;
                let differs = wanted.into_iter().filter(|(pcr, value)| now.get(pcr) != Some(value));
                let differs = differs.map(|(pcr, _)| pcr).collect();
                let SignedPolicy { generation, application, .. } = policy;
                let is_spent = match &application {
                    Some(application) => measure::read(link, application.pcr)? != application.base,
                    None => false,
                };
                let application_pcr = application.map(|application| application.pcr);
                states.push(PolicyState { file, generation, differs, application_pcr, is_spent });
            }
            Ok(states)
        })
    }

    /// Whether secrets are released once a boot, so that nothing opens them only to look.
    pub fn releases_once_a_boot(&self) -> Result<bool, CustodyError> {
        Ok(!self.opens_freely(self.generation()?)?)
    }

    /// Every secret that is sealed in the folder. Touches no TPM.
    pub fn sealed(&self) -> Result<Vec<SealedState>, CustodyError> {
        let folder = &self.config().folder;
        let state = |label: String| {
            let SealedFile { content, secret, .. } = SealedFile::read(folder, &label)?;
            let (generation, nv_index) = (secret.generation(), secret.half().index());
            let kind = match content {
                Content::Anchor { indices, is_made } => {
                    SealedKind::Anchor { counter: indices.counter.number(), floor: indices.floor.number(), is_made }
                }
                Content::Seed(_) => SealedKind::Seed,
                Content::Wrapping => SealedKind::Wrapping,
            };
            Ok(SealedState { label, kind, generation, nv_index })
        };
        SealedFile::labels(folder)?.into_iter().map(state).collect()
    }
}
