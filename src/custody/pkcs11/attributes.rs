use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, AttributeType};

use super::allowed::{KeyUse, Scheme};

/// What a token says of a private or secret key. `None`: it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    private: Option<bool>,
    sensitive: Option<bool>,
    extractable: Option<bool>,
    always_sensitive: Option<bool>,
    never_extractable: Option<bool>,
    local: Option<bool>,
    modifiable: Option<bool>,
    always_authenticate: Option<bool>,
    sign: Option<bool>,
    sign_recover: Option<bool>,
    encrypt: Option<bool>,
    decrypt: Option<bool>,
    wrap: Option<bool>,
    unwrap: Option<bool>,
    derive: Option<bool>,
    value_len: Option<u64>,
    allowed: Option<Vec<MechanismType>>,
}

impl Attributes {
    pub(super) const TYPES: [AttributeType; 17] = [
        AttributeType::Private,
        AttributeType::Sensitive,
        AttributeType::Extractable,
        AttributeType::AlwaysSensitive,
        AttributeType::NeverExtractable,
        AttributeType::Local,
        AttributeType::Modifiable,
        AttributeType::AlwaysAuthenticate,
        AttributeType::Sign,
        AttributeType::SignRecover,
        AttributeType::Encrypt,
        AttributeType::Decrypt,
        AttributeType::Wrap,
        AttributeType::Unwrap,
        AttributeType::Derive,
        AttributeType::ValueLen,
        AttributeType::AllowedMechanisms,
    ];

    /// From what was read; other attributes are passed over.
    pub(super) fn from_read(read: &[Attribute]) -> Self {
        let mut found = Self::default();
        for attribute in read {
            match attribute {
                Attribute::Private(value) => found.private = Some(*value),
                Attribute::Sensitive(value) => found.sensitive = Some(*value),
                Attribute::Extractable(value) => found.extractable = Some(*value),
                Attribute::AlwaysSensitive(value) => found.always_sensitive = Some(*value),
                Attribute::NeverExtractable(value) => found.never_extractable = Some(*value),
                Attribute::Local(value) => found.local = Some(*value),
                Attribute::Modifiable(value) => found.modifiable = Some(*value),
                Attribute::AlwaysAuthenticate(value) => found.always_authenticate = Some(*value),
                Attribute::Sign(value) => found.sign = Some(*value),
                Attribute::SignRecover(value) => found.sign_recover = Some(*value),
                Attribute::Encrypt(value) => found.encrypt = Some(*value),
                Attribute::Decrypt(value) => found.decrypt = Some(*value),
                Attribute::Wrap(value) => found.wrap = Some(*value),
                Attribute::Unwrap(value) => found.unwrap = Some(*value),
                Attribute::Derive(value) => found.derive = Some(*value),
                Attribute::ValueLen(value) => found.value_len = Some((*value).into()),
                Attribute::AllowedMechanisms(value) => found.allowed = Some(value.clone()),
                _ => {}
            }
        }
        found
    }

    /// The scheme of a wrapping key. A key that mixes both could be made to decrypt what it unwraps, and so give away
    /// the keys that it guards; a key of neither wraps nothing.
    pub(super) fn scheme(&self) -> Result<Scheme, &'static str> {
        let says = |may: Option<bool>| may == Some(true);
        let (opens, unwraps) = (says(self.encrypt) || says(self.decrypt), says(self.wrap) || says(self.unwrap));
        match (opens, unwraps) {
            (true, true) => Err("may both wrap keys and decrypt, which gives away the keys it wraps"),
            (true, false) if says(self.encrypt) && says(self.decrypt) => Ok(Scheme::AesGcm),
            (false, true) if says(self.wrap) && says(self.unwrap) => Ok(Scheme::AesKw),
            _ => Err("must be for encrypt and decrypt, or for wrap and unwrap"),
        }
    }

    /// What makes the key unfit for `purpose`; empty where nothing does. `restricts`: whether the token keeps a key to
    /// the mechanisms that it is made for.
    pub(super) fn unfit(&self, purpose: KeyUse, restricts: bool) -> Vec<String> {
        let mut faults = Vec::new();
        let mut must = |name: &str, is: Option<bool>, wanted: bool| match is {
            Some(is) if is == wanted => {}
            Some(_) => faults.push(format!("is {}{name}", if wanted { "not " } else { "" })),
            None => faults.push(format!("does not say whether it is {name}")),
        };
        must("private", self.private, true);
        must("sensitive", self.sensitive, true);
        must("extractable", self.extractable, false);

        let signs = matches!(purpose, KeyUse::Sign(_));
        if signs && self.sign != Some(true) {
            faults.push("may not sign".into());
        }
        let others = [
            ("sign", self.sign, !signs),
            ("encrypt", self.encrypt, signs),
            ("decrypt", self.decrypt, signs),
            ("wrap", self.wrap, signs),
            ("unwrap", self.unwrap, signs),
            ("derive", self.derive, true),
        ];
        let more = others.iter().filter(|(_, may, refused)| *refused && *may == Some(true));
        faults.extend(more.map(|(name, ..)| format!("may also {name}")));
        match (purpose, self.scheme()) {
            (KeyUse::Wrap(wanted), Ok(is)) if is != wanted => faults.push("wraps in another way than before".into()),
            (KeyUse::Wrap(_), Err(why)) => faults.push(why.into()),
            _ => {}
        }
        faults.extend(self.other_length(purpose));
        if self.always_authenticate == Some(true) {
            faults.push("asks for the PIN at each use, which is not supported".into());
        }
        faults.extend(self.other_mechanisms(purpose, restricts));
        faults
    }

    /// A signing key's type leaves one mechanism anyway, so that a list is checked where there is one. An AES key has
    /// many modes, and some undo what GCM promises: where the token can restrict it, it must.
    fn other_mechanisms(&self, purpose: KeyUse, restricts: bool) -> Option<String> {
        let listed = self.allowed.as_deref().unwrap_or_default();
        let ours = purpose.mechanism();
        if listed.iter().any(|mechanism| *mechanism != ours) {
            return Some(format!("may be used with more mechanisms than {ours}"));
        }
        let unrestricted = restricts && listed.is_empty() && matches!(purpose, KeyUse::Wrap(_));
        unrestricted.then(|| format!("is not restricted to {ours} (CKA_ALLOWED_MECHANISMS)"))
    }

    /// Both schemes are AES-256; a shorter key would wrap as well, and nothing would tell.
    fn other_length(&self, purpose: KeyUse) -> Option<String> {
        match (purpose, self.value_len) {
            (KeyUse::Sign(_), _) | (_, Some(32)) => None,
            (_, Some(length)) => Some(format!("has {length} bytes and not 32")),
            (_, None) => Some("does not say how long it is".into()),
        }
    }

    /// Whether the key cannot be read from the token from now on.
    pub(super) fn stays(&self) -> bool {
        self.sensitive == Some(true) && self.extractable == Some(false)
    }

    /// Whether the key was made in the token and could never be read from it since. `None`: the token does not say.
    pub fn never_left(&self) -> Option<bool> {
        Some(self.local? && self.always_sensitive? && self.never_extractable?)
    }

    /// Each by its name in the standard, as the token says it.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let said = |value: Option<bool>| value.map_or("-", |yes| if yes { "yes" } else { "no" }).to_owned();
        let mechanisms = self.allowed.as_deref().map_or("-".to_owned(), |list| {
            let names: Vec<_> = list.iter().map(ToString::to_string).collect();
            if names.is_empty() { "any".to_owned() } else { names.join(" ") }
        });
        vec![
            ("CKA_PRIVATE", said(self.private)),
            ("CKA_SENSITIVE", said(self.sensitive)),
            ("CKA_EXTRACTABLE", said(self.extractable)),
            ("CKA_ALWAYS_SENSITIVE", said(self.always_sensitive)),
            ("CKA_NEVER_EXTRACTABLE", said(self.never_extractable)),
            ("CKA_LOCAL", said(self.local)),
            ("CKA_MODIFIABLE", said(self.modifiable)),
            ("CKA_ALWAYS_AUTHENTICATE", said(self.always_authenticate)),
            ("CKA_SIGN", said(self.sign)),
            ("CKA_SIGN_RECOVER", said(self.sign_recover)),
            ("CKA_ENCRYPT", said(self.encrypt)),
            ("CKA_DECRYPT", said(self.decrypt)),
            ("CKA_WRAP", said(self.wrap)),
            ("CKA_UNWRAP", said(self.unwrap)),
            ("CKA_DERIVE", said(self.derive)),
            ("CKA_VALUE_LEN", self.value_len.map_or("-".to_owned(), |length| length.to_string())),
            ("CKA_ALLOWED_MECHANISMS", mechanisms),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Algorithm;

    const SIGNS: KeyUse = KeyUse::Sign(Algorithm::Ed25519);

    fn signing() -> Attributes {
        Attributes {
            private: Some(true),
            sensitive: Some(true),
            extractable: Some(false),
            sign: Some(true),
            ..Attributes::default()
        }
    }

    fn wrapping() -> Attributes {
        Attributes {
            sign: Some(false),
            encrypt: Some(true),
            decrypt: Some(true),
            wrap: Some(false),
            unwrap: Some(false),
            value_len: Some(32),
            allowed: Some(vec![MechanismType::AES_GCM]),
            ..signing()
        }
    }

    #[track_caller]
    fn unfit(attributes: &Attributes, purpose: KeyUse, fault: &str) {
        assert_eq!(attributes.unfit(purpose, true), [fault]);
    }

    #[test]
    fn a_key_for_one_use_is_fit() {
        assert_eq!(signing().unfit(SIGNS, true), [""; 0]);
        assert_eq!(wrapping().unfit(KeyUse::Wrap(Scheme::AesGcm), true), [""; 0]);
        let listed = Attributes { allowed: Some(vec![MechanismType::EDDSA]), ..signing() };
        assert_eq!(listed.unfit(SIGNS, true), [""; 0]);
    }

    #[test]
    fn a_key_that_may_leave_is_unfit() {
        unfit(&Attributes { extractable: Some(true), ..signing() }, SIGNS, "is extractable");
        unfit(&Attributes { sensitive: Some(false), ..signing() }, SIGNS, "is not sensitive");
        unfit(&Attributes { private: Some(false), ..signing() }, SIGNS, "is not private");
        unfit(&Attributes { extractable: None, ..signing() }, SIGNS, "does not say whether it is extractable");
    }

    #[test]
    fn a_signing_key_for_more_than_signing_is_unfit() {
        unfit(&Attributes { decrypt: Some(true), ..signing() }, SIGNS, "may also decrypt");
        unfit(&Attributes { unwrap: Some(true), ..signing() }, SIGNS, "may also unwrap");
        unfit(&Attributes { derive: Some(true), ..signing() }, SIGNS, "may also derive");
        unfit(&Attributes { sign: None, ..signing() }, SIGNS, "may not sign");
        let asks = "asks for the PIN at each use, which is not supported";
        unfit(&Attributes { always_authenticate: Some(true), ..signing() }, SIGNS, asks);
    }

    #[test]
    fn a_wrapping_key_that_unwraps_and_decrypts_is_an_extraction_oracle() {
        let oracle = "may both wrap keys and decrypt, which gives away the keys it wraps";
        for both in [
            Attributes { unwrap: Some(true), ..wrapping() },
            Attributes { encrypt: Some(false), wrap: Some(true), ..wrapping() },
        ] {
            unfit(&both, KeyUse::Wrap(Scheme::AesGcm), oracle);
            assert_eq!(both.scheme(), Err(oracle));
        }
        let neither = Attributes { encrypt: Some(false), decrypt: None, ..wrapping() };
        unfit(&neither, KeyUse::Wrap(Scheme::AesGcm), "must be for encrypt and decrypt, or for wrap and unwrap");
    }

    #[test]
    fn a_wrapping_key_that_is_no_aes_256_is_unfit() {
        let gcm = KeyUse::Wrap(Scheme::AesGcm);
        unfit(&Attributes { value_len: Some(16), ..wrapping() }, gcm, "has 16 bytes and not 32");
        unfit(&Attributes { value_len: None, ..wrapping() }, gcm, "does not say how long it is");
    }

    #[test]
    fn a_key_with_another_mechanism_is_unfit_and_a_wrapping_key_needs_its_restriction() {
        let more = Attributes { allowed: Some(vec![MechanismType::EDDSA, MechanismType::ECDSA]), ..signing() };
        unfit(&more, SIGNS, "may be used with more mechanisms than CKM_EDDSA");
        let any = Attributes { allowed: Some(vec![]), ..wrapping() };
        let fault = "is not restricted to CKM_AES_GCM (CKA_ALLOWED_MECHANISMS)";
        unfit(&any, KeyUse::Wrap(Scheme::AesGcm), fault);
        assert_eq!(any.unfit(KeyUse::Wrap(Scheme::AesGcm), false), [""; 0], "a token that cannot restrict");
    }
}
