use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::PolicySession;
use tss_esapi::structures::{
    Digest, EccParameter, EccPoint, EccScheme, EccSignature, HashScheme, Name, Nonce, Public, PublicBuilder,
    PublicEccParametersBuilder, Signature, VerifiedTicket,
};
use tss_esapi::tss2_esys::TPMT_TK_VERIFIED;

use super::fault::{Fault, at};
use super::link::Link;
use super::pcr::{Selection, Value, Values, composite};
use super::policy::{self, Reference};
use super::policy_folder::{in_folder, parent_name, policy_key};
use super::signed_policy::SignedPolicy;
use super::{firmware_log, mismatch};
use crate::protocol::PublicKey;

/// A policy that holds now, with the TPM's ticket for its signature.
#[derive(Debug, Clone)]
pub(super) struct Approved {
    reference: Reference,
    values: Values,
    key_name: Name,
    ticket: TPMT_TK_VERIFIED,
}

impl Approved {
    /// Asserts it in a session that asserts nothing yet.
    pub(super) fn assert(&self, link: &mut Link, session: PolicySession) -> Result<(), Fault> {
        let selection = Selection::of(self.values.keys().copied()).list()?;
        let composite = digest(&composite(&self.values))?;
        link.context.policy_pcr(session, composite, selection).map_err(at("TPM2_PolicyPCR"))?;
        let reference = self.reference.to_bytes(parent_name(&link.config)?);
        let reference = Nonce::try_from(reference.as_slice()).map_err(at("TPM2_PolicyAuthorize"))?;
        let approved = digest(&policy::pcr(&self.values))?;
        let ticket = VerifiedTicket::try_from(self.ticket).map_err(at("TPM2_PolicyAuthorize"))?;
        let done = link.context.policy_authorize(session, approved, reference, &self.key_name, ticket);
        done.map_err(at("TPM2_PolicyAuthorize"))
    }
}

/// The signed policy that the PCRs fulfil now.
pub(super) fn approve(link: &mut Link, reference: Reference) -> Result<Approved, Fault> {
    if let Some(approved) = link.approved.iter().find(|approved| approved.reference == reference) {
        return Ok(approved.clone());
    }
    // Another TPM is told as that, and not by policies that are not for it.
    link.parent()?;
    let policies = in_folder(&link.config)?;
    let policies: Vec<SignedPolicy> = policies
        .into_iter()
        .filter(|policy| match reference {
            Reference::Sealed { generation } => policy.generation == generation,
            Reference::Standing => true,
        })
        .collect();
    let pcrs = policies.iter().flat_map(|policy| policy.values(reference).into_keys());
    let now = Selection::of(pcrs).read(&mut link.context)?;
    let holds =
        |policy: &&SignedPolicy| policy.values(reference).iter().all(|(pcr, value)| now.get(pcr) == Some(value));
    let Some(policy) = policies.iter().find(holds) else {
        let events = firmware_log::explaining(&link.config, &now);
        return Err(mismatch::nothing_holds(&policies, reference, &now, &events).into());
    };
    let (key_name, ticket) = ticket(link, policy, reference)?;
    let approved = Approved { reference, values: policy.values(reference), key_name, ticket };
    link.approved.push(approved.clone());
    Ok(approved)
}

fn ticket(link: &mut Link, policy: &SignedPolicy, reference: Reference) -> Result<(Name, TPMT_TK_VERIFIED), Fault> {
    let key = load_policy_key(link)?;
    let verified = (|| {
        let name = link.context.tr_get_name(key.into()).map_err(at("TPM2_LoadExternal"))?;
        let signature = signature(policy.signature(reference)).map_err(at("TPM2_VerifySignature"))?;
        let ticket = link.context.verify_signature(key, digest(&policy.to_sign(reference))?, signature);
        let ticket = ticket.and_then(TPMT_TK_VERIFIED::try_from).map_err(at("TPM2_VerifySignature"))?;
        Ok((name, ticket))
    })();
    link.flush(key);
    verified
}

/// The Name of the policy key, which the policies of all our objects contain.
pub(super) fn policy_key_name(link: &mut Link) -> Result<Vec<u8>, Fault> {
    if link.policy_key_name.is_none() {
        let key = load_policy_key(link)?;
        let name = link.context.tr_get_name(key.into()).map_err(at("TPM2_LoadExternal"));
        link.flush(key);
        link.policy_key_name = Some(name?);
    }
    Ok(link.policy_key_name.as_ref().map(|name| name.value().to_vec()).unwrap_or_default())
}

fn load_policy_key(link: &mut Link) -> Result<KeyHandle, Fault> {
    let key = policy_key(&link.config.policy_key)?;
    let public = public(&key).map_err(at("TPM2_LoadExternal"))?;
    let loaded = link.context.execute_without_session(|context| context.load_external_public(public, Hierarchy::Owner));
    loaded.map_err(at("TPM2_LoadExternal"))
}

fn public(key: &PublicKey) -> Result<Public, tss_esapi::Error> {
    let point = key.to_bytes();
    let (x, y) = point.get(1..).map(|both| both.split_at(both.len() / 2)).unwrap_or_default();
    let attributes = ObjectAttributesBuilder::new().with_sign_encrypt(true).with_user_with_auth(true).build()?;
    let scheme = EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256));
    let parameters = PublicEccParametersBuilder::new_unrestricted_signing_key(scheme, EccCurve::NistP256);
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters.build()?)
        .with_ecc_unique_identifier(EccPoint::new(EccParameter::try_from(x)?, EccParameter::try_from(y)?))
        .build()
}

fn signature(bytes: &[u8; 64]) -> Result<Signature, tss_esapi::Error> {
    let (r, s) = bytes.split_at(32);
    let signature =
        EccSignature::create(HashingAlgorithm::Sha256, EccParameter::try_from(r)?, EccParameter::try_from(s)?)?;
    Ok(Signature::EcDsa(signature))
}

/// A digest as the library takes it.
pub(super) fn digest(value: &Value) -> Result<Digest, Fault> {
    Digest::try_from(value.as_slice()).map_err(at("policy"))
}
