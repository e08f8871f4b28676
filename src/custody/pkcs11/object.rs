use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::attributes::Attributes;
use super::config::KeyName;
use super::fault::Fault;
use super::link::Linked;
use super::{curve, error};
use crate::custody::{CustodyError, ErrorKind};
use crate::protocol::{Algorithm, PublicKey};

/// The one object of this class and name. Several are refused: which of them would be used is chance.
pub(super) fn find(linked: &Linked<'_>, class: ObjectClass, name: &KeyName) -> Result<ObjectHandle, Fault> {
    let found = find_all(linked.session, class, name)?;
    match found.as_slice() {
        [one] => Ok(*one),
        [] => {
            let advice = "Run `local-vault custody list` for what the token holds under which id, or make the key: \
                          local-vault custody generate";
            Err(error(ErrorKind::NotFound, "find", format!("the token holds no {name}"), advice).into())
        }
        several => {
            let message = format!("the token holds {} objects named {name}", several.len());
            let advice = "Which of them is meant is not guessed. Give each its own label and id with the maker's tool.";
            Err(error(ErrorKind::Misconfigured, "find", message, advice).into())
        }
    }
}

/// Every object of this class and name.
pub(super) fn find_all(session: &Session, class: ObjectClass, name: &KeyName) -> Result<Vec<ObjectHandle>, Fault> {
    let mut template = vec![Attribute::Token(true), Attribute::Class(class)];
    template.push(Attribute::Label(name.label.clone().into_bytes()));
    template.extend(name.id.clone().map(Attribute::Id));
    Ok(session.find_objects(&template)?)
}

/// What the token says of a private or secret key.
pub(super) fn attributes(session: &Session, key: ObjectHandle) -> Result<Attributes, Fault> {
    Ok(Attributes::from_read(&session.get_attributes(key, &Attributes::TYPES)?))
}

/// The public key of the pair that a private key belongs to, where the token has it: the public object of the same
/// name, in whichever form the token writes a point.
pub(super) fn public_key(session: &Session, name: &KeyName) -> Result<Option<PublicKey>, Fault> {
    let found = find_all(session, ObjectClass::PUBLIC_KEY, name)?;
    let [one] = found.as_slice() else { return Ok(None) };
    let (mut algorithm, mut point) = (None, None);
    for attribute in session.get_attributes(*one, &[AttributeType::EcParams, AttributeType::EcPoint])? {
        match attribute {
            Attribute::EcParams(params) => algorithm = curve::algorithm(&params),
            Attribute::EcPoint(bytes) => point = Some(bytes),
            _ => {}
        }
    }
    Ok(algorithm.zip(point).and_then(|(algorithm, point)| curve::public_key(algorithm, &point)))
}

/// The key's type in the standard.
pub(super) const fn key_type(algorithm: Algorithm) -> KeyType {
    match algorithm {
        Algorithm::Ed25519 => KeyType::EC_EDWARDS,
        Algorithm::Es256 => KeyType::EC,
    }
}

/// A key that is unfit for its use is refused, with everything that is wrong with it.
pub(super) fn refuse_unfit(name: &KeyName, faults: &[String]) -> Result<(), CustodyError> {
    if faults.is_empty() { Ok(()) } else { Err(unfit(name, &faults.join(", it "))) }
}

pub(super) fn unfit(name: &KeyName, fault: &str) -> CustodyError {
    let advice = "Nothing was done with it. Make a key that is fit: local-vault custody generate";
    error(ErrorKind::Misconfigured, "attributes", format!("the {name} is refused: it {fault}"), advice)
}
