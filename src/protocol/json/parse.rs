use super::{Float, Integer, JsonError, Object, Value};

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
        let mut members = Vec::new();
        self.white_space();
        if self.take(b'}') {
            return Ok(self.leave(Object::new()));
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
            members.push((at, key, self.value()?));
            self.white_space();
            if self.take(b'}') {
                let object = Object::from_read(members).map_err(|at| JsonError::DuplicateKey { at })?;
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
                items.shrink_to_fit();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(input: &str) -> JsonError {
        parse(input.as_bytes()).unwrap_err()
    }

    fn canonical(input: &str) -> String {
        String::from_utf8(parse(input.as_bytes()).unwrap().to_canonical()).unwrap()
    }

    #[test]
    fn a_repeated_key_is_refused_at_any_depth_and_in_any_spelling() {
        assert_eq!(refused(r#"{"a":1,"b":2,"a":1}"#), JsonError::DuplicateKey { at: 13 });
        assert_eq!(refused(r#"{"x":[{"a":1,"\u0061":2}]}"#), JsonError::DuplicateKey { at: 13 });
    }

    #[test]
    fn a_number_beyond_a_double_is_refused() {
        assert_eq!(refused(r#"{"a":1e400}"#), JsonError::NumberOverflow { at: 5 });
        assert_eq!(refused(r#"{"a":-1e99999999999999999999}"#), JsonError::NumberOverflow { at: 5 });
        assert_eq!(canonical(r#"{"a":1e-400}"#), r#"{"a":0.0}"#);
    }

    #[test]
    fn an_integer_keeps_4300_digits_and_no_more() {
        let most = "9".repeat(MAX_INTEGER_DIGITS);
        for sign in ["", "-"] {
            let kept = format!(r#"{{"a":{sign}{most}}}"#);
            assert_eq!(canonical(&kept), kept);
            let over = format!(r#"{{"a":{sign}{most}9}}"#);
            assert_eq!(refused(&over), JsonError::TooManyDigits { at: 5 });
        }
    }

    #[test]
    fn zeros_keep_their_sign_only_as_floats() {
        assert_eq!(canonical(r#"{"a":-0,"b":-0.0,"c":0.0,"d":-0e7}"#), r#"{"a":0,"b":-0.0,"c":0.0,"d":-0.0}"#);
    }

    #[test]
    fn nesting_ends_at_500_levels() {
        let nested = |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(refused(&nested(MAX_DEPTH + 1)), JsonError::TooDeep);
        let siblings = format!(r#"{{"a":[{}[]]}}"#, "[],".repeat(1000));
        assert!(parse(siblings.as_bytes()).is_ok());
    }

    #[test]
    fn ten_million_open_brackets_need_no_deep_stack() {
        let hostile = ["[".repeat(10_000_000), r#"{"a":"#.repeat(2_000_000)];
        let small = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
        let thread = small.spawn(move || hostile.map(|input| refused(&input))).unwrap();
        assert_eq!(thread.join().unwrap(), [JsonError::TooDeep, JsonError::TooDeep]);
    }

    #[test]
    fn a_body_of_100_megabytes_is_refused_unread() {
        // Not even UTF-8: it was its length that refused it.
        assert_eq!(parse(&vec![0xFF; 100_000_000]), Err(JsonError::TooLarge));
    }

    #[test]
    fn a_lone_surrogate_is_refused_and_a_pair_is_one_character() {
        for text in [r"\ud800", r"\udfff", r"\ud800x", r"\ud800\n", r"\ud800\ud800", r"\ud800\u0041"] {
            assert_eq!(refused(&format!(r#"{{"a":"{text}"}}"#)), JsonError::LoneSurrogate { at: 6 }, "{text}");
        }
        assert_eq!(canonical(r#"{"a":"\ud83d\ude00"}"#), r#"{"a":"😀"}"#);
    }

    #[test]
    fn a_top_level_that_is_no_object_is_told_apart() {
        for input in ["[1]", "1", r#""x""#, "null", " true "] {
            assert_eq!(refused(input), JsonError::NotAnObject, "{input}");
        }
    }

    #[test]
    fn whatever_strict_json_does_not_allow_is_refused() {
        let inputs = [
            "",
            "{",
            "\u{feff}{}",
            "{} x",
            "{'a':1}",
            r#"{"a":1,}"#,
            r#"{"a":[1,]}"#,
            r#"{"a" 1}"#,
            r#"{a:1}"#,
            r#"{"a":01}"#,
            r#"{"a":+1}"#,
            r#"{"a":.5}"#,
            r#"{"a":1.}"#,
            r#"{"a":1e}"#,
            r#"{"a":-}"#,
            r#"{"a":0x1}"#,
            r#"{"a":NaN}"#,
            r#"{"a":Infinity}"#,
            r#"{"a":-Infinity}"#,
            r#"{"a":nul}"#,
            r#"{"a":True}"#,
            "{\"a\":\"\t\"}",
            r#"{"a":"\x41"}"#,
            r#"{"a":"\u12g4"}"#,
            r#"{"a":"\u+123"}"#,
            r#"{"a":"é\u00é9"}"#,
            r#"{"a":"x}"#,
            r#"{"a":"\"#,
            "{\u{a0}}",
            "{\u{c}}",
            "{/**/}",
        ];
        for input in inputs {
            assert!(matches!(refused(input), JsonError::Unexpected { .. }), "{input}");
        }
        assert_eq!(parse(b"{\"a\":\"\xC0\xAF\"}"), Err(JsonError::NotUtf8 { at: 6 }));
    }
}
