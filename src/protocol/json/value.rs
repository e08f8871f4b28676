use std::borrow::Cow;

/// A JSON value. Integers and floats stay apart, since their canonical forms differ.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without `.` and without an exponent.
    Integer(Integer),
    /// Any other number.
    Float(Float),
    /// Text.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// An object.
    Object(Object),
}

impl Value {
    /// The text, where this is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The object, where this is one.
    pub const fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The number, where this is an integer of 64 bits.
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Integer(integer) = self { integer.as_i64() } else { None }
    }

    /// The list, where this is one.
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The truth value, where this is one.
    pub const fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(bool) = self { Some(*bool) } else { None }
    }
}

/// An integer of any size up to [`MAX_INTEGER_DIGITS`](super::MAX_INTEGER_DIGITS) digits, kept digit by digit
/// where it does not fit 64 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integer(Repr);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Repr {
    Small(i64),
    // Invariant: matches -?[1-9][0-9]* and does not fit an i64.
    Big(Box<str>),
}

impl Integer {
    /// From digits that match `-?(0|[1-9][0-9]*)`, which the reader has checked.
    pub(super) fn from_checked_digits(digits: &str) -> Self {
        Self(digits.parse().map_or_else(|_| Repr::Big(digits.into()), Repr::Small))
    }

    /// The number, where it fits 64 bits.
    pub const fn as_i64(&self) -> Option<i64> {
        if let Repr::Small(small) = self.0 { Some(small) } else { None }
    }

    /// Its digits, behind a `-` where it is negative.
    pub fn digits(&self) -> Cow<'_, str> {
        match &self.0 {
            Repr::Small(small) => Cow::Owned(small.to_string()),
            Repr::Big(digits) => Cow::Borrowed(digits),
        }
    }
}

/// A finite double, the only kind that JSON can write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Float(f64);

impl Float {
    /// The number, unless it is infinite or NaN.
    pub const fn new(number: f64) -> Option<Self> {
        if number.is_finite() { Some(Self(number)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// A JSON object. Iterates in canonical order: a `String` compares by its UTF-8 bytes, which is by code point.
///
/// A sorted list: a tree would take eighty bytes of memory for each byte of some inputs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object(Vec<(String, Value)>);

impl Object {
    /// An empty object.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// From members in any order, each with the position at which it was read. Returns the position of the second
    /// one where two have the same name.
    pub(super) fn from_read(mut members: Vec<(usize, String, Value)>) -> Result<Self, usize> {
        members.sort_by(|(_, a, _), (_, b, _)| a.cmp(b));
        match members.windows(2).find(|pair| pair[0].1 == pair[1].1) {
            Some(pair) => Err(pair[1].0),
            None => {
                let mut exact = Vec::with_capacity(members.len());
                exact.extend(members.into_iter().map(|(_, key, value)| (key, value)));
                Ok(Self(exact))
            }
        }
    }

    /// This object with one member more; a member of that name is replaced.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.insert(key.to_owned(), value.into());
        self
    }

    /// Sets a member and returns the one that had the name before.
    pub fn insert(&mut self, key: String, value: Value) -> Option<Value> {
        match self.position(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.position(key).ok().map(|at| self.0.remove(at).1)
    }

    /// A member.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.position(key).ok().map(|at| &self.0[at].1)
    }

    /// A member that is text.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// A member that is an object.
    pub fn get_object(&self, key: &str) -> Option<&Object> {
        self.get(key)?.as_object()
    }

    /// How many members there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no member.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The members in canonical order.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// Where a member is, or would have to go.
    fn position(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.as_str().cmp(key))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(Integer(Repr::Small(number)))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        i64::from(number).into()
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(Integer::from_checked_digits(&number.to_string()))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        (number as u64).into()
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
