use super::{Object, Value};

impl Object {
    /// For people: Python's `json.dumps(…, sort_keys=True, indent=2)` and a line feed, as the published package writes
    /// files.
    pub fn to_python_pages(&self) -> String {
        let mut out = String::with_capacity(1024);
        object(&mut out, self, 1);
        out.push('\n');
        out
    }
}

fn value(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Array(items) => {
            list(out, ['[', ']'], items.iter(), depth, |out, item| self::value(out, item, depth + 1))
        }
        Value::Object(members) => object(out, members, depth),
        plain => out.push_str(&plain.to_python_text()),
    }
}

fn object(out: &mut String, members: &Object, depth: usize) {
    list(out, ['{', '}'], members.iter(), depth, |out, (key, member)| {
        out.push_str(&Value::from(key.as_str()).to_python_text());
        out.push_str(": ");
        value(out, member, depth + 1);
    });
}

/// Every item on a line of its own, between these; what is empty stays on one line.
fn list<T>(
    out: &mut String,
    [begin, end]: [char; 2],
    items: impl Iterator<Item = T>,
    depth: usize,
    mut write: impl FnMut(&mut String, T),
) {
    out.push(begin);
    let mut is_empty = true;
    for item in items {
        out.push_str(if is_empty { "\n" } else { ",\n" });
        indent(out, depth);
        write(out, item);
        is_empty = false;
    }
    if !is_empty {
        out.push('\n');
        indent(out, depth - 1);
    }
    out.push(end);
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_python_writes() {
        let inner = Object::new().with("é", Value::Array(vec![1_i64.into(), Vec::<Value>::new().into()]));
        let object = Object::new().with("a", inner).with("b", Object::new()).with("c", Value::Null);
        let expected =
            "{\n  \"a\": {\n    \"\\u00e9\": [\n      1,\n      []\n    ]\n  },\n  \"b\": {},\n  \"c\": null\n}\n";
        assert_eq!(object.to_python_pages(), expected);
    }
}
