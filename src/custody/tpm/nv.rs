use std::fmt;

use tss_esapi::attributes::NvIndexAttributesBuilder;
use tss_esapi::constants::CapabilityType;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Code;
use tss_esapi::handles::{NvIndexHandle, NvIndexTpmHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{NvAuth, Provision};
use tss_esapi::structures::{Auth, CapabilityData, MaxNvBuffer, NvPublicBuilder};
use zeroize::Zeroizing;

use super::approved::digest;
use super::fault::{Fault, at};
use super::link::Link;
use super::object_policy;
use super::pcr::Value;
use super::policy::Reference;
use super::session::Needs;
use super::{error, random};
use crate::custody::{CustodyError, ErrorKind};

/// Half of a secret in an NV index of the TPM, read under a policy of ours. Undefining it destroys the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Half(u32);

/// The owner's indices (TCG Registry of reserved handles, table of NV index ranges).
const FIRST: u32 = 0x0180_0000;
const INDICES: u32 = 0x0040_0000;

/// How often a number is drawn that somebody else has.
const DRAWS: u32 = 32;

const LENGTH: u16 = 32;

impl Half {
    /// The index with this number, where it is one of the owner's.
    pub(super) fn at(index: u32) -> Option<Self> {
        (FIRST..FIRST + INDICES).contains(&index).then_some(Self(index))
    }

    /// Reads what it is shown as.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::at(u32::from_str_radix(name.strip_prefix("0x")?, 16).ok()?)
    }

    pub(super) const fn index(self) -> u32 {
        self.0
    }

    /// Puts `half` into a new index. Nobody can write it again: what would let them is drawn and forgotten.
    pub(super) fn store(link: &mut Link, reference: Reference, half: &[u8; 32]) -> Result<Self, Fault> {
        let written_with = random::<32>()?;
        for _ in 0..DRAWS {
            let half_at = Self(FIRST + u32::from_be_bytes(*random::<4>()?) % INDICES);
            match half_at.define(link, reference, &written_with) {
                Ok(handle) => return half_at.write(link, reference, handle, half).map(|()| half_at),
                Err(fault) if fault.is(&[Code::NvDefined]) => {}
                Err(fault) => return Err(fault),
            }
        }
        let advice = "Run: local-vault custody tpm status";
        Err(error(ErrorKind::Broken, "TPM2_NV_DefineSpace", "no NV index was free", advice).into())
    }

    fn define(self, link: &mut Link, reference: Reference, auth: &[u8; 32]) -> Result<NvIndexHandle, Fault> {
        link.open_owner()?;
        let policy = object_policy::signed(link, reference)?;
        let attributes = NvIndexAttributesBuilder::new()
            .with_auth_write(true)
            .with_policy_read(true)
            .with_no_da(true)
            .build()
            .map_err(at("TPM2_NV_DefineSpace"))?;
        let public = NvPublicBuilder::new()
            .with_nv_index(NvIndexTpmHandle::new(self.0).map_err(at("TPM2_NV_DefineSpace"))?)
            .with_index_name_algorithm(HashingAlgorithm::Sha256)
            .with_index_attributes(attributes)
            .with_index_auth_policy(digest(&policy)?)
            .with_data_area_size(LENGTH.into())
            .build()
            .map_err(at("TPM2_NV_DefineSpace"))?;
        let auth = Auth::try_from(auth.as_slice()).map_err(at("TPM2_NV_DefineSpace"))?;
        let defined = link
            .encrypted("TPM2_NV_DefineSpace", |context| context.nv_define_space(Provision::Owner, Some(auth), public));
        defined.map_err(|fault| link.explain_owner(fault))
    }

    fn write(self, link: &mut Link, reference: Reference, handle: NvIndexHandle, half: &[u8; 32]) -> Result<(), Fault> {
        let data = MaxNvBuffer::try_from(half.as_slice()).map_err(at("TPM2_NV_Write"))?;
        let written =
            link.encrypted("TPM2_NV_Write", |context| context.nv_write(NvAuth::NvIndex(handle), handle, data, 0));
        let closed = link.context.tr_close(&mut handle.into()).map_err(at("TPM2_NV_Write"));
        if written.is_err() {
            let _ = self.destroy(link, &[reference]);
        }
        written.and(closed)
    }

    /// Reads the half. `None` where there is no such index any more.
    pub(super) fn read(self, link: &mut Link, reference: Reference) -> Result<Option<Zeroizing<[u8; 32]>>, Fault> {
        refuse_other(link)?;
        let wanted = object_policy::signed(link, reference)?;
        let Some(handle) = self.handle(link)? else { return Ok(None) };
        if !is_read_under(link, handle, &[wanted])? {
            let _ = link.context.tr_close(&mut handle.into());
            return Err(odd("an NV index of ours was made anew by somebody else").into());
        }
        let needs = Needs { secret_answer: true, ..Needs::default() };
        let read = link.under_policy(reference, needs, "TPM2_NV_Read", |context| {
            context.nv_read(NvAuth::NvIndex(handle), handle, LENGTH, 0)
        });
        let closed = link.context.tr_close(&mut handle.into()).map_err(at("TPM2_NV_Read"));
        let half = read?;
        closed?;
        let half = half.value().try_into().map_err(|_| odd("an NV index holds another length"))?;
        Ok(Some(Zeroizing::new(half)))
    }

    /// Undefines the index, where it is read under one of these policies of ours. Whether it was there.
    pub(super) fn destroy(self, link: &mut Link, references: &[Reference]) -> Result<bool, Fault> {
        refuse_other(link)?;
        link.open_owner()?;
        let policies = policies(link, references)?;
        let Some(handle) = self.handle(link)? else { return Ok(false) };
        if !is_read_under(link, handle, &policies)? {
            let _ = link.context.tr_close(&mut handle.into());
            let message = format!("NV index {self} is not what it should be");
            let advice = "It belongs to another program, or to another box. Nothing was destroyed.";
            return Err(error(ErrorKind::Refused, "TPM2_NV_UndefineSpace", message, advice).into());
        }
        let undefined =
            link.encrypted("TPM2_NV_UndefineSpace", |context| context.nv_undefine_space(Provision::Owner, handle));
        undefined.map(|()| true).map_err(|fault| link.explain_owner(fault))
    }

    fn handle(self, link: &mut Link) -> Result<Option<NvIndexHandle>, Fault> {
        let index = NvIndexTpmHandle::new(self.0).map_err(at("TPM2_NV_ReadPublic"))?;
        Ok(link.find(TpmHandle::NvIndex(index))?.map(NvIndexHandle::from))
    }
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}", self.0)
    }
}

/// Another TPM has none of our indices, which says nothing about them: it is not what a destroyed one looks like.
fn refuse_other(link: &mut Link) -> Result<(), Fault> {
    link.parent().map(drop)
}

/// Every index in the owner's range that is of our making: read under a policy of the configured key.
pub(super) fn ours(link: &mut Link, references: &[Reference]) -> Result<Vec<Half>, Fault> {
    let policies = policies(link, references)?;
    let mut found = Vec::new();
    for half in indices(link)? {
        let Some(handle) = half.handle(link)? else { continue };
        if is_read_under(link, handle, &policies)? {
            found.push(half);
        }
        link.context.tr_close(&mut handle.into()).map_err(at("TPM2_NV_ReadPublic"))?;
    }
    Ok(found)
}

fn policies(link: &mut Link, references: &[Reference]) -> Result<Vec<Value>, Fault> {
    references.iter().map(|&reference| object_policy::signed(link, reference)).collect()
}

fn is_read_under(link: &mut Link, handle: NvIndexHandle, policies: &[Value]) -> Result<bool, Fault> {
    let (public, _) = link.context.nv_read_public(handle).map_err(at("TPM2_NV_ReadPublic"))?;
    Ok(policies.iter().any(|policy| public.authorization_policy().value() == policy))
}

fn indices(link: &mut Link) -> Result<Vec<Half>, Fault> {
    const AT_A_TIME: u32 = 64;
    let (mut found, mut next) = (Vec::new(), FIRST);
    loop {
        let told = link
            .context
            .execute_without_session(|context| context.get_capability(CapabilityType::Handles, next, AT_A_TIME));
        let (CapabilityData::Handles(handles), more) = told.map_err(at("TPM2_GetCapability"))? else {
            return Err(odd("the TPM lists no handles").into());
        };
        let handles: Vec<u32> = handles.into_inner().into_iter().map(u32::from).collect();
        found.extend(handles.iter().filter_map(|&handle| Half::at(handle)));
        match handles.last() {
            Some(&last) if more && last < FIRST + INDICES => next = last + 1,
            _ => return Ok(found),
        }
    }
}

fn odd(message: &str) -> CustodyError {
    error(ErrorKind::Broken, "TPM2_NV_Read", message, "Run: local-vault custody tpm status")
}
