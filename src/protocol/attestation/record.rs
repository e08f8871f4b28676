use super::{Assurance, Measurement, POLICY};
use crate::facts::Digest;
use crate::protocol::json::Object;
use crate::protocol::member::{self, MemberError};
use crate::protocol::tpm::{Quote, Scheme};
use crate::protocol::{Domain, Preimage};

const PROTOCOL: &str = "ATTESTO-VAULT-ATTESTATION-001";
const VERSION: &str = "0.1";
/// The kind of a record of level L1.
const KEY_CUSTODY: &str = "pkcs11-key-custody";
/// The kind of a record of level L2.
const QUOTE: &str = "tpm2-quote";

/// What is signed about the custody of the relay key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What runs, and with which key.
    pub measurement: Measurement,
    /// What holds that key.
    pub token: TokenIdentity,
    /// What a TPM says of the machine, where one was asked: then the record is of level L2.
    pub quote: Option<Quote>,
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

impl Record {
    /// The level that the record stands for.
    pub const fn assurance(&self) -> Assurance {
        if self.quote.is_some() { Assurance::L2 } else { Assurance::L1 }
    }

    /// The kind, as the record names it.
    pub const fn kind(&self) -> &'static str {
        if self.quote.is_some() { QUOTE } else { KEY_CUSTODY }
    }

    /// The wire form.
    pub fn to_object(&self) -> Object {
        let object = Object::new()
            .with("attestation_protocol", PROTOCOL)
            .with("version", VERSION)
            .with("kind", self.kind())
            .with("policy_id", POLICY)
            .with("measurement", self.measurement.to_object())
            .with("measurement_digest", self.measurement.digest().to_string())
            .with("token", self.token.to_object());
        match &self.quote {
            Some(quote) => with_quote(object, quote),
            None => object,
        }
    }

    /// What is signed, with the relay key.
    pub fn preimage(&self) -> Preimage {
        Preimage::new(Domain::Attestation, &self.to_object())
    }

    /// The hash of the canonical form, by which others refer to the record.
    pub fn attestation_ref(&self) -> Digest {
        Digest::of(&self.to_object().to_canonical())
    }

    /// Reads the wire form strictly: exactly these members, and a measurement digest that is the measurement's. Whether
    /// the quote holds is still to be verified.
    pub fn from_object(object: &Object) -> Result<Self, MemberError> {
        let kind = member::named(object, "kind", |kind| [KEY_CUSTODY, QUOTE].into_iter().find(|known| *known == kind))?;
        let record = Self {
            measurement: member::within("measurement", object, Measurement::from_object)?,
            token: member::within("token", object, TokenIdentity::from_object)?,
            quote: (kind == QUOTE).then(|| quote(object)).transpose()?,
        };
        member::same(&record.to_object(), object)?;
        Ok(record)
    }
}

impl TokenIdentity {
    fn to_object(&self) -> Object {
        Object::new()
            .with("manufacturer_id", self.manufacturer.as_str())
            .with("model", self.model.as_str())
            .with("key_type", "EC_EDWARDS")
            .with("extractable", false)
            .with("sensitive", true)
            .with("private", true)
    }

    fn from_object(object: &Object) -> Result<Self, MemberError> {
        let token =
            Self { manufacturer: member::text(object, "manufacturer_id")?, model: member::text(object, "model")? };
        member::same(&token.to_object(), object)?;
        Ok(token)
    }
}

fn with_quote(object: Object, quote: &Quote) -> Object {
    object
        .with("pcr_selection", quote.pcr_selection.to_string())
        .with("pcr_digest", quote.pcr_digest.to_string())
        .with("quote_message_b64", member::to_base64(&quote.message))
        .with("quote_signature_b64", member::to_base64(&quote.signature))
        .with("signature_scheme", quote.scheme.name())
        .with("ak_public_b64", member::to_base64(&quote.ak_public))
        .with("ak_name_hex", hex::encode(&quote.ak_name))
}

fn quote(object: &Object) -> Result<Quote, MemberError> {
    Ok(Quote {
        message: member::base64(object, "quote_message_b64")?,
        signature: member::base64(object, "quote_signature_b64")?,
        ak_public: member::base64(object, "ak_public_b64")?,
        ak_name: member::named(object, "ak_name_hex", |hex| hex::decode(hex).ok())?,
        pcr_selection: member::named(object, "pcr_selection", |text| text.parse().ok())?,
        pcr_digest: member::digest(object, "pcr_digest")?,
        scheme: member::named(object, "signature_scheme", Scheme::from_name)?,
    })
}
