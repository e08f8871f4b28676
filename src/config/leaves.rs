use std::collections::{BTreeMap, BTreeSet};

use toml::de::{DeTable, DeValue};

/// Every value of a config file as it stands there, by its full name. A list of plain values is one value; what is in any
/// other list has the number of its place in its name, `producers[0].uid`.
///
/// `None` where the text is no TOML.
pub fn leaves(text: &str) -> Option<BTreeMap<String, String>> {
    let table = DeTable::parse(text).ok()?;
    let mut leaves = BTreeMap::new();
    gather("", table.get_ref(), &mut leaves);
    Some(leaves)
}

/// The names of values that differ between two config files, whichever has them. A list has one name, whatever is in it.
pub fn changed(before: &str, after: &str) -> Vec<String> {
    let (before, after) = (leaves(before).unwrap_or_default(), leaves(after).unwrap_or_default());
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    let lists: BTreeSet<&str> = changed.map(|name| name.split('[').next().unwrap_or(name)).collect();
    lists.into_iter().map(str::to_owned).collect()
}

fn gather(prefix: &str, table: &DeTable<'_>, leaves: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        take(name, value.get_ref(), leaves);
    }
}

fn take(name: String, value: &DeValue<'_>, leaves: &mut BTreeMap<String, String>) {
    match value {
        DeValue::Table(inner) => gather(&name, inner, leaves),
        DeValue::Array(items) if !items.iter().all(|item| is_plain(item.get_ref())) => {
            for (place, item) in items.iter().enumerate() {
                take(format!("{name}[{place}]"), item.get_ref(), leaves);
            }
        }
        other => _ = leaves.insert(name, written(other)),
    }
}

const fn is_plain(value: &DeValue<'_>) -> bool {
    !matches!(value, DeValue::Table(_) | DeValue::Array(_))
}

/// A value in one line. Where it stood in the file is no part of it.
fn written(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| written(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let member = |(key, value): (&toml::Spanned<std::borrow::Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
                format!("{} = {}", key.get_ref(), written(value.get_ref()))
            };
            format!("{{{}}}", table.iter().map(member).collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_full_name_and_stands_in_one_line() {
        let text = "h = [[1]]\n[a]\nb = \"x\"\n[a.c]\nd = [1, 2]\ne = true\n[[f]]\ng = 1.5\n[[f]]\ng = 2\n";
        let leaves = leaves(text).unwrap();
        let leaves: Vec<(&str, &str)> = leaves.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [
            ("a.b", "\"x\""),
            ("a.c.d", "[1, 2]"),
            ("a.c.e", "true"),
            ("f[0].g", "1.5"),
            ("f[1].g", "2"),
            ("h[0]", "[1]"),
        ];
        assert_eq!(leaves, expected);
        assert_eq!(super::leaves("a = ["), None);
    }

    #[test]
    fn a_change_is_named_wherever_it_stands() {
        let before = "[a]\nb = 1\nc = 2\n[[f]]\ng = 1\n";
        assert_eq!(changed(before, "# moved\n\n[[f]]\ng = 1\n[a]\nc = 2\nb = 1\n"), [""; 0]);
        assert_eq!(changed(before, "[a]\nb = 3\nd = 2\n[[f]]\ng = 2\n"), ["a.b", "a.c", "a.d", "f"]);
    }
}
