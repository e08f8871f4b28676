//! Reads objects that must have exactly one form.
//!
//! A reader takes the members it knows, builds the typed value, and compares what that value writes with what it
//! was given. So a member too many, another protocol or a time in another notation is refused without a check each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::json::{Object, Value};
use crate::facts::{Digest, Timestamp};

/// The member that is missing, too many, of another type, or not what the contract says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the member `{0}` is not as the contract has it")]
pub struct MemberError(String);

impl MemberError {
    pub(super) fn new(member: &str) -> Self {
        Self(member.to_owned())
    }

    /// The member's name; a dot leads into a member's own members, as in `public_key.kid`.
    pub fn member(&self) -> &str {
        &self.0
    }
}

pub(super) fn text(object: &Object, member: &str) -> Result<String, MemberError> {
    object.get_str(member).map(str::to_owned).ok_or_else(|| MemberError::new(member))
}

pub(super) fn object<'a>(object: &'a Object, member: &str) -> Result<&'a Object, MemberError> {
    object.get_object(member).ok_or_else(|| MemberError::new(member))
}

/// Reads a member that is an object; what is wrong in it is named from the outside.
pub(super) fn within<T>(
    member: &str,
    of: &Object,
    read: impl FnOnce(&Object) -> Result<T, MemberError>,
) -> Result<T, MemberError> {
    read(object(of, member)?).map_err(|error| MemberError(format!("{member}.{}", error.0)))
}

/// A member that is text or null.
pub(super) fn nullable_text(object: &Object, member: &str) -> Result<Option<String>, MemberError> {
    match object.get(member) {
        Some(Value::Null) => Ok(None),
        _ => text(object, member).map(Some),
    }
}

pub(super) fn number<T: TryFrom<i64>>(object: &Object, member: &str) -> Result<T, MemberError> {
    let number = object.get(member).and_then(Value::as_i64);
    number.and_then(|number| number.try_into().ok()).ok_or_else(|| MemberError::new(member))
}

pub(super) fn digest(object: &Object, member: &str) -> Result<Digest, MemberError> {
    named(object, member, |text| text.parse().ok())
}

pub(super) fn time(object: &Object, member: &str) -> Result<Timestamp, MemberError> {
    named(object, member, |text| Timestamp::parse(text).ok())
}

/// A member whose text stands for something that `read` knows.
pub(super) fn named<T>(object: &Object, member: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, MemberError> {
    object.get_str(member).and_then(read).ok_or_else(|| MemberError::new(member))
}

/// Bytes in padded base64 of the standard alphabet (RFC 4648).
pub(super) fn base64(object: &Object, member: &str) -> Result<Vec<u8>, MemberError> {
    named(object, member, |text| STANDARD.decode(text).ok())
}

/// As [`base64`] reads it.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Refuses the first member in which `given` is not `written`.
pub(super) fn same(written: &Object, given: &Object) -> Result<(), MemberError> {
    first_difference(written, given).map_or(Ok(()), |path| Err(MemberError(path)))
}

fn first_difference(left: &Object, right: &Object) -> Option<String> {
    let added = right.iter().filter(|(key, _)| left.get(key).is_none());
    let (key, _) = left.iter().chain(added).find(|(key, _)| left.get(key) != right.get(key))?;
    let inner = left.get_object(key).zip(right.get_object(key)).and_then(|(left, right)| first_difference(left, right));
    Some(inner.map_or_else(|| key.clone(), |inner| format!("{key}.{inner}")))
}
