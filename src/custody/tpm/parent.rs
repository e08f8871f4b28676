use sha2::{Digest as _, Sha256};
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::handles::{KeyHandle, PersistentTpmHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::structures::{EccPoint, Public, PublicBuilder, PublicEccParametersBuilder, SymmetricDefinitionObject};
use tss_esapi::traits::Marshall as _;

use super::config::Parent;
use super::error;
use super::fault::{Fault, at};
use super::link::Link;
use crate::custody::{CustodyError, ErrorKind};

/// The parent key as the TPM has it, whatever is pinned, with its Name.
pub(super) fn find(link: &mut Link) -> Result<(KeyHandle, Vec<u8>), Fault> {
    let handle = match link.config.parent {
        Parent::Persistent(handle) => persistent(link, handle)?,
        Parent::Template => {
            link.open_owner()?;
            let template = template().map_err(at("TPM2_CreatePrimary"))?;
            link.as_owner("TPM2_CreatePrimary", |context| {
                context.create_primary(Hierarchy::Owner, template, None, None, None, None)
            })?
            .key_handle
        }
    };
    let (public, told, _) = link.context.read_public(handle).map_err(at("TPM2_ReadPublic"))?;
    refuse_unfit(link.config.parent, &public)?;
    // Sessions are salted with the public area that the library keeps for the handle, which may have come with another
    // answer than this one. Its Name is computed from that area, and nothing but it is believed.
    let kept = link.context.tr_get_name(handle.into()).map_err(at("TPM2_ReadPublic"))?;
    let name = name_of(&public).map_err(at("TPM2_ReadPublic"))?;
    if let Some(other_name) = [kept.value(), told.value()].into_iter().find(|other| *other != name) {
        return Err(other(link.config.parent, &hex::encode(&name), &hex::encode(other_name)).into());
    }
    Ok((handle, name))
}

/// The parent key, whose Name must be the one that was pinned.
pub(super) fn open(link: &mut Link) -> Result<KeyHandle, Fault> {
    let pinned = link.config.parent_name.clone().ok_or_else(not_provisioned)?;
    let (handle, name) = find(link)?;
    let found = hex::encode(name);
    if found != pinned {
        return Err(other(link.config.parent, &pinned, &found).into());
    }
    Ok(handle)
}

/// That there is nothing to compare with yet.
pub(super) fn not_provisioned() -> CustodyError {
    let advice = "Run `local-vault custody tpm provision` once, and put what it prints into the config file.";
    error(ErrorKind::Misconfigured, "parent", "no TPM was provisioned: no parent_name is configured", advice)
}

fn other(parent: Parent, pinned: &str, found: &str) -> CustodyError {
    let message = format!("this is not the TPM that was provisioned: the parent key ({parent}) has the Name {found}");
    let advice = format!(
        "Pinned is {pinned}. Was the TPM cleared, or the board replaced, or does something stand in between? Nothing was made anew. With another board: local-vault custody tpm recover"
    );
    error(ErrorKind::Misconfigured, "parent", message, advice)
}

fn persistent(link: &mut Link, handle: u32) -> Result<KeyHandle, Fault> {
    let tpm_handle = PersistentTpmHandle::new(handle).map_err(at("TPM2_ReadPublic"))?;
    let found = link.find(TpmHandle::Persistent(tpm_handle))?;
    let found = found.ok_or_else(|| {
        let message = format!("the TPM has no key at 0x{handle:08x}");
        let advice = "Was the TPM cleared? Nothing was made anew. Name the parent as custody.tpm.parent.";
        error(ErrorKind::Misconfigured, "parent", message, advice)
    })?;
    Ok(KeyHandle::from(found))
}

/// In lockout a parent with dictionary-attack protection loads nothing, whatever its children have.
fn refuse_unfit(parent: Parent, public: &Public) -> Result<(), CustodyError> {
    let attributes = public.object_attributes();
    let unfit = if !attributes.no_da() {
        "has dictionary-attack protection (no noDA), so that a lockout would stop every key"
    } else if !(attributes.restricted() && attributes.decrypt()) {
        "is no storage key"
    } else if !(attributes.fixed_tpm() && attributes.fixed_parent()) {
        "may leave the TPM"
    } else if public.name_hashing_algorithm() != HashingAlgorithm::Sha256 {
        "has a Name that is not SHA-256"
    } else {
        return Ok(());
    };
    let advice = "Use custody.tpm.parent = \"template\", which needs no persistent key.";
    Err(error(ErrorKind::Misconfigured, "parent", format!("the parent key ({parent}) {unfit}"), advice))
}

/// A Name is the hash algorithm and the hash of the public area (Part 1, section on Names).
pub(super) fn name_of(public: &Public) -> Result<Vec<u8>, tss_esapi::Error> {
    const SHA256: [u8; 2] = [0x00, 0x0b];
    Ok([SHA256.as_slice(), &Sha256::digest(public.marshall()?)].concat())
}

/// The usual storage key, byte for byte as other tools make it for the owner's hierarchy.
fn template() -> Result<Public, tss_esapi::Error> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(true)
        .with_decrypt(true)
        .build()?;
    let parameters = PublicEccParametersBuilder::new_restricted_decryption_key(
        SymmetricDefinitionObject::AES_128_CFB,
        EccCurve::NistP256,
    );
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters.build()?)
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}
