/// Undoes percent-encoding (RFC 3986 section 2.1). A `+` is a plus. `None` where it is not percent-encoded UTF-8.
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [c, tail @ ..] = rest {
        rest = tail;
        if *c != b'%' {
            bytes.push(*c);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        bytes.push(hex::decode(digits).ok()?[0]);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}
