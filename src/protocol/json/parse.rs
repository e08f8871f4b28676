use super::{Float, Integer, Object, Value};

/// The longest input that is read, in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// The deepest nesting that is read; the top-level object is level 1.
pub const MAX_DEPTH: usize = 500;
/// The longest integer that is read, in digits.
pub const MAX_INTEGER_DIGITS: usize = 4300;

/// Reads one JSON object, strictly (RFC 8259 and section 1).
///
/// Memory is bounded by [`MAX_BYTES`] and the stack by [`MAX_DEPTH`].
pub fn parse(input: &[u8]) -> Result<Object, JsonError> {
    if input.len() > MAX_BYTES {
        return Err(JsonError::TooLarge);
    }
    let text = std::str::from_utf8(input).map_err(|e| JsonError::NotUtf8 { at: e.valid_up_to() })?;
    let mut reader = Reader { text, at: 0, depth: 0 };
    reader.white_space();
    if reader.peek() != Some(b'{') {
        // What is no JSON at all is told apart from a list or a number, which is only no object.
        reader.value()?;
        return Err(JsonError::NotAnObject);
    }
    let object = reader.object()?;
    reader.white_space();
    if reader.at < text.len() {
        return Err(reader.unexpected("the end"));
    }
    Ok(object)
}

/// Why an input is not a payload. Positions are byte offsets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// A member appears twice, so that two readers could see two contents.
    #[error("a key is repeated at byte {at}")]
    DuplicateKey {
        /// Where the second one begins.
        at: usize,
    },
    /// A `\u` escape that is half of a surrogate pair.
    #[error("a lone surrogate escape at byte {at}")]
    LoneSurrogate {
        /// Where the escape begins.
        at: usize,
    },
    /// The top level is a list, text, a number or a literal.
    #[error("the top level is not an object")]
    NotAnObject,
    /// Not UTF-8.
    #[error("not UTF-8 at byte {at}")]
    NotUtf8 {
        /// The first byte that is wrong.
        at: usize,
    },
    /// A number beyond what a double holds.
    #[error("a number overflows at byte {at}")]
    NumberOverflow {
        /// Where the number begins.
        at: usize,
    },
    /// More than [`MAX_DEPTH`] levels.
    #[error("nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// More than [`MAX_BYTES`] bytes.
    #[error("larger than {} MiB", MAX_BYTES / 1024 / 1024)]
    TooLarge,
    /// More than [`MAX_INTEGER_DIGITS`] digits.
    #[error("an integer of more than {MAX_INTEGER_DIGITS} digits at byte {at}")]
    TooManyDigits {
        /// Where the integer begins.
        at: usize,
    },
    /// Anything else that strict JSON does not allow.
    #[error("expected {expected} at byte {at}")]
    Unexpected {
        /// What would have been right.
        expected: &'static str,
        /// Where it is missing.
        at: usize,
    },
}

/// A reader that walks `text` once. `at` always lies on a character boundary.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Value, JsonError> {
        match self.peek() {
            Some(b'{') => self.object().map(Value::Object),
            Some(b'[') => self.array().map(Value::Array),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn object(&mut self) -> Result<Object, JsonError> {
        self.enter()?;
        let mut object = Object::new();
        self.white_space();
        if self.take(b'}') {
            return Ok(self.leave(object));
        }
        loop {
            self.white_space();
            let at = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key"));
            }
            let key = self.string()?;
            self.white_space();
            if !self.take(b':') {
                return Err(self.unexpected("a colon"));
            }
            self.white_space();
            let value = self.value()?;
            if object.insert(key, value).is_some() {
                return Err(JsonError::DuplicateKey { at });
            }
            self.white_space();
            if self.take(b'}') {
                return Ok(self.leave(object));
            }
            if !self.take(b',') {
                return Err(self.unexpected("a comma or a closing brace"));
            }
        }
    }

    fn array(&mut self) -> Result<Vec<Value>, JsonError> {
        self.enter()?;
        let mut items = Vec::new();
        self.white_space();
        if self.take(b']') {
            return Ok(self.leave(items));
        }
        loop {
            self.white_space();
            items.push(self.value()?);
            self.white_space();
            if self.take(b']') {
                return Ok(self.leave(items));
            }
            if !self.take(b',') {
                return Err(self.unexpected("a comma or a closing bracket"));
            }
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1; // the opening quote
        let mut text = String::new();
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let plain = rest.iter().take_while(|&&c| c != b'"' && c != b'\\' && c >= 0x20).count();
            text.push_str(&self.text[self.at..self.at + plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return Err(self.unexpected("an escape in place of a control character")),
                None => return Err(self.unexpected("a closing quote")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        self.at += 1; // the backslash
        let c = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => c as char,
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(start),
            _ => return Err(self.unexpected("an escape")),
        };
        self.at += 1;
        Ok(c)
    }

    fn unicode_escape(&mut self, start: usize) -> Result<char, JsonError> {
        let lone = JsonError::LoneSurrogate { at: start };
        let first = self.code_unit()?;
        if !(0xD800..0xE000).contains(&first) {
            return char::from_u32(first).ok_or(lone);
        }
        if first >= 0xDC00 || !self.text[self.at..].starts_with("\\u") {
            return Err(lone);
        }
        self.at += 1; // the backslash of the second half
        let second = self.code_unit()?;
        if !(0xDC00..0xE000).contains(&second) {
            return Err(lone);
        }
        char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)).ok_or(lone)
    }

    /// Reads `uXXXX`.
    fn code_unit(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
        let digits = digits.filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else { return Err(self.unexpected("four hex digits")) };
        self.at += 5;
        Ok(digits.iter().fold(0, |n, &d| n * 16 + (d as char).to_digit(16).unwrap_or(0)))
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut integer = true;
        if self.take(b'.') {
            integer = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            integer = false;
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        if integer {
            if text.trim_start_matches('-').len() > MAX_INTEGER_DIGITS {
                return Err(JsonError::TooManyDigits { at: start });
            }
            return Ok(Value::Integer(Integer::from_checked_digits(text)));
        }
        // Rust reads decimals with correct rounding, as Python does.
        let number = text.parse().ok().and_then(Float::new);
        number.map(Value::Float).ok_or(JsonError::NumberOverflow { at: start })
    }

    /// Skips one digit or more.
    fn digits(&mut self) -> Result<(), JsonError> {
        let count = self.text.as_bytes()[self.at..].iter().take_while(|c| c.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.unexpected("a digit")) } else { Ok(()) }
    }

    fn literal(&mut self, word: &'static str, value: Value) -> Result<Value, JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn enter(&mut self) -> Result<(), JsonError> {
        self.at += 1; // the opening brace or bracket
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(JsonError::TooDeep) } else { Ok(()) }
    }

    const fn leave<T>(&mut self, value: T) -> T {
        self.depth -= 1;
        value
    }

    fn white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    const fn unexpected(&self, expected: &'static str) -> JsonError {
        JsonError::Unexpected { expected, at: self.at }
    }
}
