use std::sync::Arc;

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use super::error;
use super::fault::{Fault, device_error, means_gone};
use super::link::Linked;
use super::token::Token;
use crate::custody::{CustodyError, ErrorKind, FloorPlace};

/// A floor in a data object of the token (PKCS #11 section 4.5, CKO_DATA), beside the keys. Whoever has the PIN can set
/// it back.
///
/// It is never written over, since a token that loses power meanwhile may have half of it: each floor is an object of
/// its own, with a number that rises, and those before it are destroyed once it is there. A crash leaves the last one,
/// or the last two, of which the higher number counts.
#[derive(Debug)]
pub struct DataObject {
    token: Arc<Token>,
    label: String,
}

/// An object as it was found.
struct Found {
    handle: ObjectHandle,
    number: u64,
    content: Vec<u8>,
}

/// By which other programs tell our objects from theirs (CKA_APPLICATION).
const APPLICATION: &[u8] = b"local-vault witness floor";

impl DataObject {
    /// The object of this label, whether it is there or not. Touches no token.
    pub fn new(token: Arc<Token>, label: &str) -> Self {
        Self { token, label: label.to_owned() }
    }

    fn template(&self) -> Vec<Attribute> {
        vec![
            Attribute::Class(ObjectClass::DATA),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Label(self.label.clone().into_bytes()),
            Attribute::Application(APPLICATION.to_vec()),
        ]
    }

    fn find(&self, session: &Session) -> Result<Vec<Found>, Fault> {
        session.find_objects(&self.template())?.into_iter().map(|handle| self.read_one(session, handle)).collect()
    }

    fn read_one(&self, session: &Session, handle: ObjectHandle) -> Result<Found, Fault> {
        let attributes = session.get_attributes(handle, &[AttributeType::Value])?;
        let value = attributes.into_iter().find_map(|attribute| match attribute {
            Attribute::Value(value) => Some(value),
            _ => None,
        });
        let found = value.as_deref().and_then(|value| value.split_first_chunk()).map(|(number, content)| Found {
            handle,
            number: u64::from_be_bytes(*number),
            content: content.to_vec(),
        });
        found.ok_or_else(|| self.odd("holds something else than a floor").into())
    }

    fn replace(&self, linked: &Linked<'_>, content: &[u8]) -> Result<(), Fault> {
        let session = linked.session;
        let before = self.find(session)?;
        let number = before.iter().map(|found| found.number).max().unwrap_or(0);
        let number = number.checked_add(1).ok_or_else(|| self.odd("has the highest number there is"))?;
        let mut template = self.template();
        template.push(Attribute::Value([number.to_be_bytes().as_slice(), content].concat()));
        let made = session.create_object(&template)?;
        if self.read_one(session, made)?.content != content {
            return Err(self.odd("is not what was written").into());
        }
        before.iter().try_for_each(|found| Ok(session.destroy_object(found.handle)?))
    }

    fn odd(&self, how: &str) -> CustodyError {
        let message = format!("the data object {:?} {how}", self.label);
        error(ErrorKind::Broken, "floor", message, "Nothing was signed. Look at what became of it: pkcs11-tool -O.")
    }

    /// A token that goes away meanwhile may come back; whatever it did, the next look tells.
    fn away(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Device(e) if means_gone(&e) => {
                let message = format!("{} went away while a floor was written", self.token.name());
                device_error(&e, ErrorKind::Away, message, "Nothing was signed. It is written once it is back.").into()
            }
            fault => fault,
        }
    }
}

impl FloorPlace for DataObject {
    fn read(&self) -> Result<Option<Vec<u8>>, CustodyError> {
        let found = self.token.run(|linked| self.find(linked.session))?;
        Ok(found.into_iter().max_by_key(|found| found.number).map(|found| found.content))
    }

    fn write(&self, bytes: &[u8]) -> Result<(), CustodyError> {
        self.token.change(|linked| self.replace(linked, bytes).map_err(|fault| self.away(fault)))
    }
}
