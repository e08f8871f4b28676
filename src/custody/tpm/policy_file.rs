use std::fs;
use std::path::{Path, PathBuf};

use p256::ecdsa::signature::hazmat::{PrehashSigner as _, PrehashVerifier as _};
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

use super::config::TpmConfig;
use super::fault::{Fault, at};
use super::firmware_log::{self, Digests};
use super::link::Link;
use super::mismatch;
use super::pcr::{Selection, Value, Values, composite, extended};
use super::policy::{self, Reference};
use super::{durable, error};
use crate::custody::{CustodyError, ErrorKind};
use crate::protocol::PublicKey;
use crate::protocol::json::{self, Object};

/// PCR values that the operator allows secrets to be released under, signed with the policy key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPolicy {
    /// The Name of the parent key of the box that it is for, in hex.
    parent_name: String,
    pub(super) generation: u32,
    pub(super) values: Values,
    pub(super) application: Option<Application>,
    /// What firmware had measured where this was signed. A hint, and not signed.
    pub(super) events: Digests,
    sealed: [u8; 64],
    standing: [u8; 64],
}

/// What our executable and configuration are measured as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Application {
    pub(super) pcr: u8,
    /// What the PCR holds before.
    pub(super) base: Value,
    /// What it is extended with.
    pub(super) digest: Value,
}

impl Application {
    /// What the PCR holds while secrets are released.
    pub(super) fn measured(&self) -> Value {
        extended(&self.base, &self.digest)
    }
}

impl SignedPolicy {
    /// Signs a policy for secrets of this generation on this box.
    pub(super) fn sign(
        key: &p256::ecdsa::SigningKey,
        parent_name: &str,
        generation: u32,
        values: Values,
        application: Option<Application>,
        events: Digests,
    ) -> Result<Self, CustodyError> {
        let parent_name = parent_name.to_owned();
        let (sealed, standing) = ([0; 64], [0; 64]);
        let mut policy = Self { parent_name, generation, values, application, events, sealed, standing };
        let sign = |reference| -> Result<[u8; 64], CustodyError> {
            let signed: Result<p256::ecdsa::Signature, _> = key.sign_prehash(&policy.to_sign(reference));
            Ok(signed
                .map_err(|_| error(ErrorKind::Broken, "sign", "the policy key made no signature", MAKE))?
                .to_bytes()
                .into())
        };
        let both = (sign(policy.sealed_reference())?, sign(Reference::Standing)?);
        (policy.sealed, policy.standing) = both;
        Ok(policy)
    }

    /// Refuses a policy that the configured key did not sign, or not for this box.
    pub(super) fn verify(&self, config: &TpmConfig, name: &str) -> Result<(), CustodyError> {
        let key = policy_key(&config.policy_key)?;
        if self.parent_name != parent_name(config)? {
            let message = format!("{name} is a policy for another box");
            let advice = "Nothing of it is used. It names the parent key of the box that it is for; sign one for this.";
            return Err(error(ErrorKind::Broken, "policy", message, advice));
        }
        let refused = || {
            let message = format!("{name} is not signed with the policy key");
            error(
                ErrorKind::Broken,
                "policy",
                message,
                "Nothing of it is used. Sign it with the key whose public half is custody.tpm.policy_key.",
            )
        };
        let PublicKey::Es256(key) = key else { return Err(refused()) };
        [(self.sealed_reference(), self.sealed), (Reference::Standing, self.standing)].into_iter().try_for_each(
            |(reference, signature)| {
                let signature = p256::ecdsa::Signature::from_slice(&signature).map_err(|_| refused())?;
                key.verify_prehash(&self.to_sign(reference), &signature).map_err(|_| refused())
            },
        )
    }

    /// What the file holds.
    pub fn to_object(&self) -> Object {
        let values = |values: &Values| {
            values.iter().fold(Object::new(), |all, (pcr, value)| all.with(&pcr.to_string(), hex::encode(value)))
        };
        let object = Object::new()
            .with("version", 1u32)
            .with("parent_name", self.parent_name.as_str())
            .with("generation", self.generation)
            .with("pcrs", values(&self.values))
            .with("sealed_signature", hex::encode(self.sealed))
            .with("standing_signature", hex::encode(self.standing));
        let object = if self.events.is_empty() { object } else { object.with("events", events_object(&self.events)) };
        match &self.application {
            Some(application) => {
                let measured = Object::new()
                    .with("pcr", i64::from(application.pcr))
                    .with("base", hex::encode(application.base))
                    .with("digest", hex::encode(application.digest));
                object.with("application", measured)
            }
            None => object,
        }
    }

    /// Reads what [`to_object`](Self::to_object) wrote, and nothing else.
    pub(super) fn from_object(object: &Object) -> Option<Self> {
        let bytes = |object: &Object, member: &str| hex::decode(object.get_str(member)?).ok();
        let values = object.get_object("pcrs")?.iter().map(|(pcr, value)| {
            let value: Value = hex::decode(value.as_str()?).ok()?.try_into().ok()?;
            Some((pcr.parse().ok().filter(|&pcr: &u8| pcr < 24)?, value))
        });
        let application = match object.get_object("application") {
            None => None,
            Some(told) => Some(Application {
                pcr: told.get("pcr")?.as_i64()?.try_into().ok().filter(|&pcr: &u8| pcr < 24)?,
                base: bytes(told, "base")?.try_into().ok()?,
                digest: bytes(told, "digest")?.try_into().ok()?,
            }),
        };
        let policy = Self {
            parent_name: object.get_str("parent_name")?.to_owned(),
            generation: object.get("generation")?.as_i64()?.try_into().ok()?,
            values: values.collect::<Option<_>>()?,
            application,
            events: match object.get_object("events") {
                None => Digests::new(),
                Some(events) => events.iter().map(events_of).collect::<Option<_>>()?,
            },
            sealed: bytes(object, "sealed_signature")?.try_into().ok()?,
            standing: bytes(object, "standing_signature")?.try_into().ok()?,
        };
        (policy.to_object() == *object && !policy.values.is_empty()).then_some(policy)
    }

    /// The PCRs that must hold for this reference, with their values.
    pub(super) fn values(&self, reference: Reference) -> Values {
        let mut values = self.values.clone();
        if let (Reference::Sealed { .. }, Some(application)) = (reference, &self.application) {
            values.insert(application.pcr, application.measured());
        }
        values
    }

    fn sealed_reference(&self) -> Reference {
        Reference::Sealed { generation: self.generation }
    }

    fn to_sign(&self, reference: Reference) -> Value {
        policy::to_sign(&policy::pcr(&self.values(reference)), reference, &self.parent_name)
    }

    fn signature(&self, reference: Reference) -> &[u8; 64] {
        match reference {
            Reference::Sealed { .. } => &self.sealed,
            Reference::Standing => &self.standing,
        }
    }
}

fn events_object(events: &Digests) -> Object {
    events.iter().fold(Object::new(), |all, (pcr, digests)| {
        let digests: Vec<String> = digests.iter().map(hex::encode).collect();
        all.with(&pcr.to_string(), digests)
    })
}

fn events_of((pcr, digests): (&String, &json::Value)) -> Option<(u8, Vec<Value>)> {
    let digests = digests.as_array()?.iter().map(|digest| hex::decode(digest.as_str()?).ok()?.try_into().ok());
    Some((pcr.parse().ok()?, digests.collect::<Option<_>>()?))
}

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

/// The Name of the configured parent.
pub(super) fn parent_name(config: &TpmConfig) -> Result<&str, CustodyError> {
    config.parent_name.as_deref().ok_or_else(super::parent::not_provisioned)
}

/// The configured policy key.
pub(super) fn policy_key(configured: &Option<PublicKey>) -> Result<PublicKey, CustodyError> {
    configured.clone().ok_or_else(|| {
        let advice = "Run `local-vault custody tpm provision` once, and put what it prints into the config file.";
        error(ErrorKind::Misconfigured, "policy", "no policy key is configured", advice)
    })
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

/// Every policy in the folder, each signed with the policy key.
pub(super) fn in_folder(config: &TpmConfig) -> Result<Vec<SignedPolicy>, CustodyError> {
    Ok(with_paths(config)?.into_iter().map(|(_, policy)| policy).collect())
}

/// The same, with where each lies.
pub(super) fn with_paths(config: &TpmConfig) -> Result<Vec<(PathBuf, SignedPolicy)>, CustodyError> {
    policy_key(&config.policy_key)?;
    let read = |path: PathBuf| {
        let policy = read(&path)?;
        policy.verify(config, &path.display().to_string())?;
        Ok((path, policy))
    };
    paths(&config.folder)?.into_iter().map(read).collect()
}

/// The policy files of a folder, in the order of their names.
pub(super) fn paths(folder: &Path) -> Result<Vec<PathBuf>, CustodyError> {
    let folder = folder.join(FOLDER);
    let listed = match fs::read_dir(&folder) {
        Ok(listed) => listed,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(durable::failed("read", &folder, &e)),
    };
    let mut paths = Vec::new();
    for entry in listed {
        let path = entry.map_err(|e| durable::failed("read", &folder, &e))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads a policy file. Its signature is not looked at.
pub(super) fn read(path: &Path) -> Result<SignedPolicy, CustodyError> {
    let bytes = durable::read(path)?;
    let policy = json::parse(&bytes).ok().and_then(|object| SignedPolicy::from_object(&object));
    policy.ok_or_else(|| {
        let message = format!("{} is no signed policy", path.display());
        error(ErrorKind::Broken, "policy", message, "Sign one: local-vault custody policy sign")
    })
}

/// Where the policies of a folder lie.
pub(super) fn folder(folder: &Path) -> PathBuf {
    folder.join(FOLDER)
}

/// Puts a policy into the folder, under a name that tells what it is.
pub(super) fn install(folder: &Path, policy: &SignedPolicy) -> Result<PathBuf, CustodyError> {
    let folder = folder.join(FOLDER);
    durable::make_folder(&folder)?;
    let text = policy.to_object().to_canonical();
    let digest = crate::facts::Digest::of(&text).to_string();
    let path = folder.join(format!("{:06}-{}.json", policy.generation, &digest[..12]));
    durable::replace(&path, &text)?;
    Ok(path)
}

const FOLDER: &str = "policies";
const MAKE: &str = "Make another one: local-vault custody tpm provision";
