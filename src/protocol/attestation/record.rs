use super::{Assurance, Holder, Measurement, POLICY, SealedIdentity, TokenIdentity};
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
/// Our own kind, of level L0: the published contract knows no key that a TPM releases.
const SEALED_KEY_CUSTODY: &str = "tpm2-sealed-key-custody";

/// What is signed about the custody of the relay key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What runs, and with which key.
    pub measurement: Measurement,
    /// What holds that key.
    pub holder: Holder,
}

impl Record {
    /// The level that the record stands for.
    pub const fn assurance(&self) -> Assurance {
        match self.holder {
            Holder::SealingTpm(..) => Assurance::L0,
            Holder::Token(_) => Assurance::L1,
            Holder::TokenAndTpm(..) => Assurance::L2,
        }
    }

    /// The kind, as the record names it.
    pub const fn kind(&self) -> &'static str {
        match self.holder {
            Holder::SealingTpm(..) => SEALED_KEY_CUSTODY,
            Holder::Token(_) => KEY_CUSTODY,
            Holder::TokenAndTpm(..) => QUOTE,
        }
    }

    /// Whether the published contract knows records of this kind. Others are posted nowhere.
    pub const fn is_published(&self) -> bool {
        !matches!(self.holder, Holder::SealingTpm(..))
    }

    /// The wire form.
    pub fn to_object(&self) -> Object {
        let object = Object::new()
            .with("attestation_protocol", PROTOCOL)
            .with("version", VERSION)
            .with("kind", self.kind())
            .with("policy_id", POLICY)
            .with("measurement", self.measurement.to_object())
            .with("measurement_digest", self.measurement.digest().to_string());
        let object = match &self.holder {
            Holder::SealingTpm(sealed, _) => object.with("sealed", sealed.to_object()),
            Holder::Token(token) | Holder::TokenAndTpm(token, _) => object.with("token", token.to_object()),
        };
        match self.holder.quote() {
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
        let token = || member::within("token", object, TokenIdentity::from_object);
        let sealed = || member::within("sealed", object, SealedIdentity::from_object);
        let holder = match object.get_str("kind") {
            Some(KEY_CUSTODY) => Holder::Token(token()?),
            Some(QUOTE) => Holder::TokenAndTpm(token()?, Box::new(quote(object)?)),
            Some(SEALED_KEY_CUSTODY) => Holder::SealingTpm(sealed()?, Box::new(quote(object)?)),
            _ => return Err(MemberError::new("kind")),
        };
        let record = Self { measurement: member::within("measurement", object, Measurement::from_object)?, holder };
        member::same(&record.to_object(), object)?;
        Ok(record)
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
