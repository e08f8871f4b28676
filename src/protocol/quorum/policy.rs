use std::collections::{BTreeMap, BTreeSet};

use super::Role;
use crate::protocol::json::{Object, Value};
use crate::protocol::member::{self, MemberError};
use crate::protocol::{Algorithm, PublicKey};

/// How many witnesses have to agree, and which ones count: the documented policy, and what we add to it.
///
/// Every witness has a key, no two have one in common, and what is required can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub(super) policy_id: String,
    pub(super) required: usize,
    pub(super) witnesses: Vec<Witness>,
    pub(super) max_age_seconds: Option<i64>,
    pub(super) required_roles: BTreeMap<Role, usize>,
}

/// A witness that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) name: String,
    pub(super) witness_id: Option<String>,
    pub(super) role: Option<Role>,
    pub(super) keys: Vec<PublicKey>,
}

impl Policy {
    /// Reads a policy strictly. `keys` are what the caller knows of witnesses by name, beside the keys that stand in
    /// the policy; several of one witness where its key changed.
    pub fn from_object(object: &Object, keys: &[(String, PublicKey)]) -> Result<Self, PolicyError> {
        only(object, "", &["max_age_seconds", "policy_id", "required", "required_roles", "witnesses"])?;
        let mut policy = Self {
            policy_id: member::text(object, "policy_id")?,
            required: member::number(object, "required")?,
            witnesses: read_witnesses(object)?,
            max_age_seconds: object.get("max_age_seconds").map(|_| positive(object, "max_age_seconds")).transpose()?,
            required_roles: object.get("required_roles").map(|_| read_roles(object)).transpose()?.unwrap_or_default(),
        };
        for (name, key) in keys {
            let witness = policy.witnesses.iter_mut().find(|witness| witness.name == *name);
            witness.ok_or_else(|| PolicyError::NoSuchWitness(name.clone()))?.add(key.clone())?;
        }
        policy.check()?;
        Ok(policy)
    }

    /// The policy's name.
    pub fn policy_id(&self) -> &str {
        &self.policy_id
    }

    /// Which witness has this key, as an index.
    pub(super) fn holder(&self, key: &PublicKey) -> Option<usize> {
        self.witnesses.iter().position(|witness| witness.keys.contains(key))
    }

    fn check(&self) -> Result<(), PolicyError> {
        let (mut names, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for (at, witness) in self.witnesses.iter().enumerate() {
            let name = || witness.name.clone();
            if !names.insert(&witness.name) {
                return Err(PolicyError::NameTwice(name()));
            }
            if witness.witness_id.as_ref().is_some_and(|id| !ids.insert(id)) {
                return Err(PolicyError::WitnessIdTwice(name()));
            }
            // Fork evidence of a witness whose key nobody knows would be passed over.
            if witness.keys.is_empty() {
                return Err(PolicyError::NoKey(name()));
            }
            if let Some(first) = witness.keys.iter().filter_map(|key| self.holder(key)).find(|holder| *holder < at) {
                return Err(PolicyError::KeyTwice(self.witnesses[first].name.clone(), name()));
            }
        }
        let (required, there) = (self.required, self.witnesses.len());
        if !(1..=there).contains(&required) {
            return Err(PolicyError::Required { required, there });
        }
        for (&role, &required) in &self.required_roles {
            let there = self.witnesses.iter().filter(|witness| witness.role == Some(role)).count();
            if !(1..=there).contains(&required) {
                return Err(PolicyError::RequiredRole { role, required, there });
            }
        }
        Ok(())
    }
}

impl Witness {
    fn add(&mut self, key: PublicKey) -> Result<(), PolicyError> {
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(PolicyError::Algorithm(self.name.clone()));
        }
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
        Ok(())
    }
}

/// Why a policy is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A key that cannot sign statements: the contract has Ed25519.
    #[error("a key of the witness `{0}` is not Ed25519")]
    Algorithm(String),
    /// A member is missing, unknown, or not what it should be.
    #[error("the policy's member `{}` is unknown, missing or malformed", .0.member())]
    Form(#[from] MemberError),
    /// Whoever has the key would count twice.
    #[error("the witnesses `{0}` and `{1}` have one key")]
    KeyTwice(String, String),
    /// Two witnesses of one name.
    #[error("the witness `{0}` is named twice")]
    NameTwice(String),
    /// A witness without a key could neither count nor warn.
    #[error("no key of the witness `{0}` is given")]
    NoKey(String),
    /// The caller has a key for somebody who is not in the policy.
    #[error("a key is given for `{0}`, who is no witness of the policy")]
    NoSuchWitness(String),
    /// Nobody is required, or more than there are.
    #[error("`required` is {required}, and there are {there} witnesses")]
    Required {
        /// How many have to agree.
        required: usize,
        /// How many there are.
        there: usize,
    },
    /// Nobody is required of a role, or more than have it.
    #[error("`required_roles` has {required} for {role}, and {there} of the witnesses have that role")]
    RequiredRole {
        /// Which role.
        role: Role,
        /// How many have to agree.
        required: usize,
        /// How many have the role.
        there: usize,
    },
    /// Two witnesses with one `witness_id`.
    #[error("the witness `{0}` has the witness_id of another")]
    WitnessIdTwice(String),
}

fn read_witnesses(policy: &Object) -> Result<Vec<Witness>, PolicyError> {
    let entries = policy.get("witnesses").and_then(Value::as_array).ok_or_else(|| MemberError::new("witnesses"))?;
    entries.iter().enumerate().map(|(at, entry)| read_witness(entry, &format!("witnesses[{at}]"))).collect()
}

/// Reads an entry, which is a name alone or an object. `place` is what it is called in errors.
fn read_witness(entry: &Value, place: &str) -> Result<Witness, PolicyError> {
    let wrong = |member: &str| MemberError::new(&format!("{place}{member}"));
    let (name, object) = match entry {
        Value::String(name) => (name.as_str(), None),
        Value::Object(object) => (object.get_str("name").ok_or_else(|| wrong(".name"))?, Some(object)),
        _ => return Err(wrong("").into()),
    };
    if name.is_empty() {
        return Err(wrong(".name").into());
    }
    let mut witness = Witness { name: name.to_owned(), witness_id: None, role: None, keys: Vec::new() };
    let Some(object) = object else { return Ok(witness) };
    only(object, &format!("{place}."), &["name", "public_keys", "role", "witness_id"])?;
    let text = |member: &str| match object.get(member) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| wrong(&format!(".{member}"))),
    };
    witness.witness_id = text("witness_id")?.map(str::to_owned);
    witness.role = text("role")?.map(|role| Role::from_name(role).ok_or_else(|| wrong(".role"))).transpose()?;
    let keys = object.get("public_keys").and_then(Value::as_array).ok_or_else(|| wrong(".public_keys"))?;
    for key in keys {
        let key = key.as_str().and_then(|hex| PublicKey::from_hex(hex).ok());
        witness.add(key.ok_or_else(|| wrong(".public_keys"))?)?;
    }
    Ok(witness)
}

fn read_roles(policy: &Object) -> Result<BTreeMap<Role, usize>, MemberError> {
    let roles = member::object(policy, "required_roles")?;
    let read = |(name, _): (&String, &Value)| {
        let wrong = || MemberError::new(&format!("required_roles.{name}"));
        let role = Role::from_name(name).ok_or_else(wrong)?;
        Ok((role, member::number(roles, name).map_err(|_| wrong())?))
    };
    roles.iter().map(read).collect()
}

fn positive(object: &Object, name: &str) -> Result<i64, MemberError> {
    member::number(object, name).ok().filter(|number| *number > 0).ok_or_else(|| MemberError::new(name))
}

/// Refuses a member that is not in `known`: a rule that is misspelt would be a rule that does not hold.
fn only(object: &Object, place: &str, known: &[&str]) -> Result<(), MemberError> {
    let unknown = object.iter().map(|(name, _)| name).find(|name| !known.contains(&name.as_str()));
    unknown.map_or(Ok(()), |name| Err(MemberError::new(&format!("{place}{name}"))))
}
