use crate::protocol::PublicKey;
use crate::protocol::json::Object;
use crate::protocol::member::{self, MemberError};
use crate::protocol::tpm::{PcrSelection, Quote, TpmKind};

/// What holds the relay key, with what a TPM says of the machine where one was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A TPM that releases the key's seed to this vault's memory, and quotes.
    SealingTpm(SealedIdentity, Box<Quote>),
    /// A token.
    Token(TokenIdentity),
    /// A token, and beside it a TPM that quotes.
    TokenAndTpm(TokenIdentity, Box<Quote>),
}

/// A token that holds the relay key. That the key is private, sensitive and not extractable goes without saying: there
/// is no record of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIdentity {
    /// Who made the token, in its own words.
    pub manufacturer: String,
    /// Which model it is, in its own words.
    pub model: String,
}

/// A TPM under whose policy the relay key's seed is sealed. That the seed is in memory while it signs goes without
/// saying: a TPM does not sign Ed25519.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedIdentity {
    /// Who made the TPM: four letters of the TCG's registry.
    pub manufacturer: String,
    /// Which model it is, in its own words.
    pub model: String,
    /// What holds it, as far as that can be told.
    pub kind: TpmKind,
    /// The public half of the key whose signature says which PCR values open the seed.
    pub policy_key: PublicKey,
    /// The PCRs that such a policy is about.
    pub pcr_selection: PcrSelection,
}

impl Holder {
    /// The quote, where there is one.
    pub fn quote(&self) -> Option<&Quote> {
        match self {
            Self::SealingTpm(_, quote) | Self::TokenAndTpm(_, quote) => Some(quote),
            Self::Token(_) => None,
        }
    }

    /// Who made what holds the key.
    pub fn manufacturer(&self) -> &str {
        match self {
            Self::SealingTpm(sealed, _) => &sealed.manufacturer,
            Self::Token(token) | Self::TokenAndTpm(token, _) => &token.manufacturer,
        }
    }

    /// Which model that is.
    pub fn model(&self) -> &str {
        match self {
            Self::SealingTpm(sealed, _) => &sealed.model,
            Self::Token(token) | Self::TokenAndTpm(token, _) => &token.model,
        }
    }
}

impl TokenIdentity {
    pub(super) fn to_object(&self) -> Object {
        Object::new()
            .with("manufacturer_id", self.manufacturer.as_str())
            .with("model", self.model.as_str())
            .with("key_type", "EC_EDWARDS")
            .with("extractable", false)
            .with("sensitive", true)
            .with("private", true)
    }

    pub(super) fn from_object(object: &Object) -> Result<Self, MemberError> {
        let token =
            Self { manufacturer: member::text(object, "manufacturer_id")?, model: member::text(object, "model")? };
        member::same(&token.to_object(), object)?;
        Ok(token)
    }
}

impl SealedIdentity {
    pub(super) fn to_object(&self) -> Object {
        Object::new()
            .with("manufacturer", self.manufacturer.as_str())
            .with("model", self.model.as_str())
            .with("kind", self.kind.name())
            .with("policy_key_hex", self.policy_key.to_hex())
            .with("pcr_selection", self.pcr_selection.to_string())
            .with("residence", "device-released")
    }

    pub(super) fn from_object(object: &Object) -> Result<Self, MemberError> {
        let sealed = Self {
            manufacturer: member::text(object, "manufacturer")?,
            model: member::text(object, "model")?,
            kind: member::named(object, "kind", TpmKind::from_name)?,
            policy_key: member::named(object, "policy_key_hex", |hex| PublicKey::from_hex(hex).ok())?,
            pcr_selection: member::named(object, "pcr_selection", |text| text.parse().ok())?,
        };
        member::same(&sealed.to_object(), object)?;
        Ok(sealed)
    }
}
