use p256::ecdsa::signature::hazmat::{PrehashSigner as _, PrehashVerifier as _};

use super::config::TpmConfig;
use super::error;
use super::firmware_log::Digests;
use super::pcr::{Value, Values, extended};
use super::policy::{self, Reference};
use super::policy_folder::{parent_name, policy_key};
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

    pub(super) fn to_sign(&self, reference: Reference) -> Value {
        policy::to_sign(&policy::pcr(&self.values(reference)), reference, &self.parent_name)
    }

    pub(super) fn signature(&self, reference: Reference) -> &[u8; 64] {
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

const MAKE: &str = "Make another one: local-vault custody tpm provision";
