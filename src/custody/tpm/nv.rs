use std::fmt;

use tss_esapi::attributes::NvIndexAttributesBuilder;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Code;
use tss_esapi::handles::NvIndexHandle;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{NvAuth, Provision};
use tss_esapi::structures::{Auth, MaxNvBuffer, NvPublicBuilder};
use zeroize::Zeroizing;

use super::approved::digest;
use super::fault::{Fault, at};
use super::link::Link;
use super::nv_index::{self, DRAWS, NvIndex};
use super::object_policy;
use super::pcr::Value;
use super::policy::Reference;
use super::session::Needs;
use super::{error, random};
use crate::custody::{CustodyError, ErrorKind};

/// Half of a secret in an NV index of the TPM, read under a policy of ours. Undefining it destroys the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Half(NvIndex);

const LENGTH: u16 = 32;

impl Half {
    /// The index with this number, where it is one of the owner's.
    pub(super) fn at(index: u32) -> Option<Self> {
        NvIndex::at(index).map(Self)
    }

    /// Reads what it is shown as.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        NvIndex::from_name(name).map(Self)
    }

    pub(super) const fn index(self) -> u32 {
        self.0.number()
    }

    /// Puts `half` into a new index. Nobody can write it again: what would let them is drawn and forgotten.
    pub(super) fn store(link: &mut Link, reference: Reference, half: &[u8; 32]) -> Result<Self, Fault> {
        let written_with = random::<32>()?;
        for _ in 0..DRAWS {
            let half_at = Self(NvIndex::draw()?);
            match half_at.define(link, reference, &written_with) {
                Ok(handle) => return half_at.write(link, reference, handle, half).map(|()| half_at),
                Err(fault) if fault.is(&[Code::NvDefined]) => {}
                Err(fault) => return Err(fault),
            }
        }
        Err(nv_index::none_free().into())
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
            .with_nv_index(self.0.to_define()?)
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
        let Some(handle) = self.0.handle(link)? else { return Ok(None) };
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
        let Some(handle) = self.0.handle(link)? else { return Ok(false) };
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
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
    for index in nv_index::all(link)? {
        let Some(handle) = index.handle(link)? else { continue };
        if is_read_under(link, handle, &policies)? {
            found.push(Half(index));
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

fn odd(message: &str) -> CustodyError {
    error(ErrorKind::Broken, "TPM2_NV_Read", message, "Run: local-vault custody tpm status")
}
