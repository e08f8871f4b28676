use sha2::{Digest as _, Sha256};
use tss_esapi::attributes::NvIndexAttributes;
use tss_esapi::handles::NvIndexHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::Provision;
use tss_esapi::structures::{Auth, NvPublicBuilder};

use super::broken;
use super::record;
use crate::custody::tpm::approved::digest;
use crate::custody::tpm::fault::{Fault, at};
use crate::custody::tpm::link::Link;
use crate::custody::tpm::nv_index::{self, DRAWS, NvIndex};
use crate::custody::tpm::policy;

/// The two NV indices of an anchor, as its file names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::custody::tpm) struct Indices {
    pub(in crate::custody::tpm) counter: NvIndex,
    pub(in crate::custody::tpm) floor: NvIndex,
}

impl Indices {
    /// Two numbers that are free now.
    pub(super) fn draw(link: &mut Link) -> Result<Self, Fault> {
        let taken = nv_index::all(link)?;
        let mut free = Vec::new();
        for _ in 0..DRAWS {
            let drawn = NvIndex::draw()?;
            if !taken.contains(&drawn) && !free.contains(&drawn) {
                free.push(drawn);
            }
            if let [counter, floor] = *free {
                return Ok(Self { counter, floor });
            }
        }
        Err(nv_index::none_free().into())
    }

    /// Undefines both, where they are there. What somebody else put in their place stays: it is none of ours.
    pub(in crate::custody::tpm) fn destroy(self, link: &mut Link) -> Result<(), Fault> {
        // Another TPM has none of them, which is not what destroyed ones look like.
        link.parent()?;
        link.open_owner()?;
        Role::Counter.undefine(link, self.counter)?;
        Role::Floor.undefine(link, self.floor)
    }
}

/// What an index is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Counter,
    Floor,
}

/// TPMA_NV (Part 2, 13.4). The owner may look; but for that an index is used by policy alone, and a guess locks nothing.
const POLICY_WRITE: u32 = 1 << 3;
const COUNTER: u32 = 1 << 4;
const OWNER_READ: u32 = 1 << 17;
const POLICY_READ: u32 = 1 << 19;
const NO_DA: u32 = 1 << 25;
const WRITTEN: u32 = 1 << 29;

impl Role {
    pub(super) const fn size(self) -> u16 {
        match self {
            Self::Counter => 8,
            Self::Floor => record::LENGTH as u16,
        }
    }

    const fn attributes(self) -> u32 {
        let both = POLICY_WRITE | OWNER_READ | POLICY_READ | NO_DA;
        match self {
            Self::Counter => both | COUNTER,
            Self::Floor => both,
        }
    }

    /// The Name of an index that is as we make it: the hash of its whole public area (Part 1, 16; Part 2, 13.5).
    fn name(self, index: NvIndex, is_written: bool) -> Vec<u8> {
        const SHA256: [u8; 2] = [0x00, 0x0b];
        let attributes = self.attributes() | if is_written { WRITTEN } else { 0 };
        let hash = Sha256::new_with_prefix(index.number().to_be_bytes())
            .chain_update(SHA256)
            .chain_update(attributes.to_be_bytes())
            .chain_update([0, 32])
            .chain_update(policy::auth_value_alone())
            .chain_update(self.size().to_be_bytes());
        [SHA256.as_slice(), &hash.finalize()].concat()
    }

    /// Makes it. Its secret passes encrypted.
    pub(super) fn define(self, link: &mut Link, index: NvIndex, auth: &[u8; 32]) -> Result<(), Fault> {
        let define = at("TPM2_NV_DefineSpace");
        link.open_owner()?;
        let public = NvPublicBuilder::new()
            .with_nv_index(index.to_define()?)
            .with_index_name_algorithm(HashingAlgorithm::Sha256)
            .with_index_attributes(NvIndexAttributes::try_from(self.attributes()).map_err(&define)?)
            .with_index_auth_policy(digest(&policy::auth_value_alone())?)
            .with_data_area_size(self.size().into())
            .build()
            .map_err(&define)?;
        let auth = Auth::try_from(auth.as_slice()).map_err(&define)?;
        let defined = link
            .encrypted("TPM2_NV_DefineSpace", |context| context.nv_define_space(Provision::Owner, Some(auth), public));
        let handle = defined.map_err(|fault| link.explain_owner(fault))?;
        link.context.tr_close(&mut handle.into()).map_err(&define)
    }

    /// Opens it for commands that its secret authorizes, where it is as we make it. Each of them is bound to its Name,
    /// so that what is compared here is what the TPM then works on.
    pub(super) fn open(
        self,
        link: &mut Link,
        index: NvIndex,
        is_written: bool,
        auth: &[u8; 32],
    ) -> Result<NvIndexHandle, Fault> {
        let open = at("TPM2_NV_ReadPublic");
        let Some(handle) = index.handle(link)? else {
            // Another TPM is told as that.
            link.parent()?;
            return Err(broken(format!("NV index {index} of the anchor is gone")).into());
        };
        let opened = (|| {
            if link.context.tr_get_name(handle.into()).map_err(&open)?.value() != self.name(index, is_written) {
                return Err(broken(format!("NV index {index} is not as the anchor made it")).into());
            }
            let auth = Auth::try_from(auth.as_slice()).map_err(&open)?;
            link.context.tr_set_auth(handle.into(), auth).map_err(&open)
        })();
        match opened {
            Ok(()) => Ok(handle),
            Err(fault) => {
                let _ = link.context.tr_close(&mut handle.into());
                Err(fault)
            }
        }
    }

    fn undefine(self, link: &mut Link, index: NvIndex) -> Result<(), Fault> {
        let Some(handle) = index.handle(link)? else { return Ok(()) };
        let name = link.context.tr_get_name(handle.into()).map_err(at("TPM2_NV_ReadPublic"))?;
        if ![false, true].iter().any(|&is_written| name.value() == self.name(index, is_written)) {
            return link.context.tr_close(&mut handle.into()).map_err(at("TPM2_NV_ReadPublic"));
        }
        let undefined =
            link.encrypted("TPM2_NV_UndefineSpace", |context| context.nv_undefine_space(Provision::Owner, handle));
        undefined.map_err(|fault| link.explain_owner(fault))
    }
}
