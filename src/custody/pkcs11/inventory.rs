use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::allowed::KeyUse;
use super::attributes::Attributes;
use super::config::KeyName;
use super::fault::Fault;
use super::token::Token;
use super::{curve, object};
use crate::custody::CustodyError;
use crate::protocol::{Algorithm, PublicKey};

/// A private or secret key that a token holds, or a public half that is alone.
#[derive(Debug, Clone)]
pub struct FoundKey {
    /// Its name. Bytes of a label that are no text are shown as U+FFFD.
    pub name: KeyName,
    /// What it is, in the field's words: `Ed25519`, `ES256`, `AES`, or the token's own name for its type.
    pub kind: String,
    /// The public half, where the token shows it.
    pub public_key: Option<PublicKey>,
    /// What the token says of it.
    pub attributes: Attributes,
    /// Why it would be refused; empty where it would not be.
    pub unfit: Vec<String>,
}

impl Token {
    /// Every private and secret key in the token, and every public half that is alone, by label. Blocks.
    pub fn keys(&self) -> Result<Vec<FoundKey>, CustodyError> {
        let mut keys = self.run(|linked| {
            let restricts = linked.link.profile.restricts_mechanisms();
            let mut keys = Vec::new();
            for class in [ObjectClass::PRIVATE_KEY, ObjectClass::SECRET_KEY] {
                let objects = linked.session.find_objects(&[Attribute::Token(true), Attribute::Class(class)])?;
                for handle in objects {
                    keys.push(describe(linked.session, handle, restricts)?);
                }
            }
            for handle in
                linked.session.find_objects(&[Attribute::Token(true), Attribute::Class(ObjectClass::PUBLIC_KEY)])?
            {
                let alone = describe(linked.session, handle, restricts)?;
                let has_private = keys.iter().any(|key: &FoundKey| key.name == alone.name);
                keys.extend((!has_private).then(|| alone.without_private_half()));
            }
            Ok(keys)
        })?;
        keys.sort_by(|a, b| (&a.name.label, &a.name.id).cmp(&(&b.name.label, &b.name.id)));
        Ok(keys)
    }
}

impl FoundKey {
    /// What a kill in the middle of making a key may leave: it has the name, and is no key.
    fn without_private_half(self) -> Self {
        let unfit = vec!["is a public half alone: remove it with the maker's tool".to_owned()];
        Self { unfit, attributes: Attributes::default(), ..self }
    }
}

fn describe(session: &Session, handle: ObjectHandle, restricts: bool) -> Result<FoundKey, Fault> {
    let (mut name, mut key_type, mut algorithm) = (KeyName { label: String::new(), id: None }, None, None);
    let types = [AttributeType::Label, AttributeType::Id, AttributeType::KeyType, AttributeType::EcParams];
    for attribute in session.get_attributes(handle, &types)? {
        match attribute {
            Attribute::Label(label) => name.label = String::from_utf8_lossy(&label).into_owned(),
            Attribute::Id(id) => name.id = Some(id),
            Attribute::KeyType(found) => key_type = Some(found),
            Attribute::EcParams(params) => algorithm = curve::algorithm(&params),
            _ => {}
        }
    }
    let public_key = object::public_key(session, &name)?;
    let algorithm = algorithm.or(public_key.as_ref().map(PublicKey::algorithm));
    let attributes = object::attributes(session, handle)?;
    let unfit = unfit(&attributes, key_type, algorithm, restricts);
    let kind = match (algorithm, key_type) {
        (Some(algorithm), _) => algorithm.name().to_owned(),
        (None, Some(KeyType::AES)) => "AES".to_owned(),
        (None, other) => other.map_or_else(|| "unknown".to_owned(), |other| other.to_string()),
    };
    Ok(FoundKey { name, kind, public_key, attributes, unfit })
}

fn unfit(
    attributes: &Attributes,
    key_type: Option<KeyType>,
    algorithm: Option<Algorithm>,
    restricts: bool,
) -> Vec<String> {
    match (algorithm, key_type) {
        (Some(algorithm), _) => attributes.unfit(KeyUse::Sign(algorithm), restricts),
        (None, Some(KeyType::AES)) => match attributes.scheme() {
            Ok(scheme) => attributes.unfit(KeyUse::Wrap(scheme), restricts),
            Err(fault) => vec![fault.to_owned()],
        },
        _ => vec!["is of a kind that is not used here".into()],
    }
}
