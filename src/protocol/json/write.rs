use std::io::Write as _;

use super::{Float, Object, Value};

impl Object {
    /// The canonical form (section 1).
    pub fn to_canonical(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.write_canonical(&mut out);
        out
    }

    /// Appends the canonical form to `out`.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        object(out, self, &CANONICAL);
    }

    /// The line that the published commands print (section 9): Python's `json.dumps(…, sort_keys=True)`, without
    /// the line feed.
    pub fn to_python_line(&self) -> String {
        let mut out = Vec::with_capacity(256);
        object(&mut out, self, &PYTHON);
        // The style escapes everything outside ASCII.
        String::from_utf8(out).expect("ASCII")
    }
}

impl Value {
    /// As [`Object::to_python_line`] writes it inside an object.
    pub fn to_python_text(&self) -> String {
        let mut out = Vec::new();
        value(&mut out, self, &PYTHON);
        // As above.
        String::from_utf8(out).expect("ASCII")
    }
}

/// In what two outputs differ.
struct Style {
    comma: &'static [u8],
    colon: &'static [u8],
    ascii: bool,
}

const CANONICAL: Style = Style { comma: b",", colon: b":", ascii: false };
const PYTHON: Style = Style { comma: b", ", colon: b": ", ascii: true };

fn value(out: &mut Vec<u8>, value: &Value, style: &Style) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Integer(integer) => out.extend_from_slice(integer.digits().as_bytes()),
        Value::Float(number) => float(out, *number),
        Value::String(text) => string(out, text, style),
        Value::Array(items) => array(out, items, style),
        Value::Object(members) => object(out, members, style),
    }
}

fn array(out: &mut Vec<u8>, items: &[Value], style: &Style) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(style.comma);
        }
        value(out, item, style);
    }
    out.push(b']');
}

fn object(out: &mut Vec<u8>, members: &Object, style: &Style) {
    out.push(b'{');
    for (i, (key, member)) in members.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(style.comma);
        }
        string(out, key, style);
        out.extend_from_slice(style.colon);
        value(out, member, style);
    }
    out.push(b'}');
}

fn string(out: &mut Vec<u8>, text: &str, style: &Style) {
    let escaped = |c: u8| c < b' ' || c == b'"' || c == b'\\' || (style.ascii && c > b'~');
    out.push(b'"');
    let mut rest = text;
    // The first such byte begins a character, since no continuation byte stands before its lead byte.
    while let Some(at) = rest.bytes().position(escaped) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let mut chars = rest[at..].chars();
        chars.next().into_iter().for_each(|c| escape(out, c));
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, c: char) {
    let short = match c {
        '"' => b'"',
        '\\' => b'\\',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a vector cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// As Python's `repr(float)`: the shortest digits that read back as the same double, positional where the decimal
/// exponent lies in -4..16 and scientific elsewhere.
fn float(out: &mut Vec<u8>, number: Float) {
    let scientific = shortest(number.get());
    let (mantissa, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a number there");
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    out.extend_from_slice(sign.as_bytes());
    match exponent {
        -4..0 => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + exponent.unsigned_abs() as usize - 1, b'0');
            out.extend_from_slice(digits.as_bytes());
        }
        0..16 => {
            let whole = exponent.unsigned_abs() as usize + 1;
            if digits.len() <= whole {
                out.extend_from_slice(digits.as_bytes());
                out.resize(out.len() + whole - digits.len(), b'0');
                out.extend_from_slice(b".0");
            } else {
                out.extend_from_slice(&digits.as_bytes()[..whole]);
                out.push(b'.');
                out.extend_from_slice(&digits.as_bytes()[whole..]);
            }
        }
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.unsigned_abs());
        }
    }
}

/// The shortest digits that read back as `number`, as `-d.ddde-x`. Where two are equally near, as for
/// 1460754175091330.25, Python ends on the even digit and `{:e}` on the upper one. A fixed precision rounds to even,
/// but may leave the double beside a power of two, and then there is only one shortest form.
fn shortest(number: f64) -> String {
    let shortest = format!("{number:e}");
    let fraction = shortest.bytes().skip_while(|&c| c != b'.').skip(1).take_while(u8::is_ascii_digit).count();
    // No two decimals of 15 digits are near the same double.
    if fraction < 15 {
        return shortest;
    }
    let even = format!("{number:.fraction$e}");
    if even.parse() == Ok(number) { even } else { shortest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(number: f64) -> String {
        let object = Object::new().with("n", Value::Float(Float::new(number).unwrap()));
        String::from_utf8(object.to_canonical()).unwrap()[5..].trim_end_matches('}').to_owned()
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e-4, "0.0001"),
            (1.5e-5, "1.5e-05"),
            (123_456.789, "123456.789"),
            (9_007_199_254_740_993.0, "9007199254740992.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ];
        for (number, expected) in cases {
            assert_eq!(written(number), expected);
        }
    }

    #[test]
    fn of_two_shortest_forms_that_are_equally_near_the_even_one_is_written() {
        assert_eq!(written(1_460_754_175_091_330.0 + 0.25), "1460754175091330.2");
        assert_eq!(written(-1_460_754_175_091_330.0 - 0.75), "-1460754175091330.8");
    }

    #[test]
    fn a_nearer_form_that_reads_back_as_another_double_is_not_written() {
        // 2^-44 is 5.6843418860808015e-14, nearer to ...801e-14, which reads back as the double below.
        assert_eq!(written(2_f64.powi(-44)), "5.684341886080802e-14");
    }

    #[test]
    fn infinities_and_nan_are_no_json_numbers() {
        for number in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            assert_eq!(Float::new(number), None);
        }
    }

    #[test]
    fn keys_are_sorted_by_code_point_and_not_by_utf16_unit() {
        let object = Object::new().with("\u{1F600}", 1_i64).with("\u{FFFD}", 2_i64).with("", 3_i64);
        assert_eq!(object.to_canonical(), "{\"\":3,\"\u{FFFD}\":2,\"\u{1F600}\":1}".as_bytes());
    }

    #[test]
    fn canonical_text_escapes_only_what_it_must() {
        let object = Object::new().with("a", "\"\\/\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}\u{2028}é");
        let expected = "{\"a\":\"\\\"\\\\/\\n\\r\\t\\b\\f\\u0000\\u001f\u{7f}\u{2028}é\"}";
        assert_eq!(String::from_utf8(object.to_canonical()).unwrap(), expected);
    }

    #[test]
    fn a_printed_line_is_pythons_with_everything_outside_ascii_escaped() {
        let object = Object::new().with("sent", true).with("error", Value::Null).with("é", "\u{7f}😀");
        let expected = r#"{"error": null, "sent": true, "\u00e9": "\u007f\ud83d\ude00"}"#;
        assert_eq!(object.to_python_line(), expected);
    }
}
