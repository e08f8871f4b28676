use std::fmt;

use tss_esapi::constants::CapabilityType;
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle, TpmHandle};
use tss_esapi::structures::CapabilityData;

use super::fault::{Fault, at};
use super::link::Link;
use super::{error, random};
use crate::custody::{CustodyError, ErrorKind};

/// The number of an NV index in the owner's range (TCG Registry of reserved handles, table of NV index ranges).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NvIndex(u32);

const FIRST: u32 = 0x0180_0000;
const INDICES: u32 = 0x0040_0000;

/// How often a number is drawn that somebody else has.
pub(super) const DRAWS: u32 = 32;

impl NvIndex {
    /// The index with this number, where it is one of the owner's.
    pub(super) fn at(number: u32) -> Option<Self> {
        (FIRST..FIRST + INDICES).contains(&number).then_some(Self(number))
    }

    /// Reads what it is shown as.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::at(u32::from_str_radix(name.strip_prefix("0x")?, 16).ok()?)
    }

    /// Any number, which somebody else may have.
    pub(super) fn draw() -> Result<Self, CustodyError> {
        Ok(Self(FIRST + u32::from_be_bytes(*random::<4>()?) % INDICES))
    }

    pub(super) const fn number(self) -> u32 {
        self.0
    }

    /// The same as the library takes it for a new index.
    pub(super) fn to_define(self) -> Result<NvIndexTpmHandle, Fault> {
        NvIndexTpmHandle::new(self.0).map_err(at("TPM2_NV_DefineSpace"))
    }

    /// What lies there, to be closed by the caller. `None` where there is nothing.
    pub(super) fn handle(self, link: &mut Link) -> Result<Option<NvIndexHandle>, Fault> {
        let index = NvIndexTpmHandle::new(self.0).map_err(at("TPM2_NV_ReadPublic"))?;
        Ok(link.find(TpmHandle::NvIndex(index))?.map(NvIndexHandle::from))
    }
}

impl fmt::Display for NvIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}", self.0)
    }
}

/// Every index in the owner's range, whoever made it.
pub(super) fn all(link: &mut Link) -> Result<Vec<NvIndex>, Fault> {
    const AT_A_TIME: u32 = 64;
    let (mut found, mut next) = (Vec::new(), FIRST);
    loop {
        let told = link
            .context
            .execute_without_session(|context| context.get_capability(CapabilityType::Handles, next, AT_A_TIME));
        let (CapabilityData::Handles(handles), more) = told.map_err(at("TPM2_GetCapability"))? else {
            let advice = "Run: local-vault custody tpm status";
            return Err(error(ErrorKind::Broken, "TPM2_NV_Read", "the TPM lists no handles", advice).into());
        };
        let handles: Vec<u32> = handles.into_inner().into_iter().map(u32::from).collect();
        found.extend(handles.iter().filter_map(|&handle| NvIndex::at(handle)));
        match handles.last() {
            Some(&last) if more && last < FIRST + INDICES => next = last + 1,
            _ => return Ok(found),
        }
    }
}

/// That none of the numbers that were drawn was free.
pub(super) fn none_free() -> CustodyError {
    let advice = "Run: local-vault custody tpm status";
    error(ErrorKind::Broken, "TPM2_NV_DefineSpace", "no NV index was free", advice)
}
