/// Bytes made of fields that cannot run into one another: a label, then each field behind its length.
///
/// Used for associated data and key contexts, so that ("ab", "c") and ("a", "bc") never come out alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framed(Vec<u8>);

impl Framed {
    /// Starts with `label`, which names the use and its version.
    pub fn new(label: &str) -> Self {
        Self(Vec::with_capacity(128)).bytes(label.as_bytes())
    }

    /// Appends a field of any length (a 64-bit big-endian length, then the bytes).
    #[must_use]
    pub fn bytes(mut self, field: &[u8]) -> Self {
        self.0.extend_from_slice(&(field.len() as u64).to_be_bytes());
        self.0.extend_from_slice(field);
        self
    }

    /// Appends a number as an eight-byte field.
    #[must_use]
    pub fn number(self, field: u64) -> Self {
        self.bytes(&field.to_be_bytes())
    }

    /// The whole.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_one_another() {
        let a = Framed::new("t").bytes(b"ab").bytes(b"c");
        let b = Framed::new("t").bytes(b"a").bytes(b"bc");
        assert_ne!(a, b);
    }
}
