use std::collections::{BTreeMap, BTreeSet};

use toml::de::{DeTable, DeValue};

/// Every value of a config file as it stands there, by its full name. A list is one value.
///
/// `None` where the text is no TOML.
pub fn leaves(text: &str) -> Option<BTreeMap<String, String>> {
    let table = DeTable::parse(text).ok()?;
    let mut leaves = BTreeMap::new();
    gather("", table.get_ref(), &mut leaves);
    Some(leaves)
}

/// The names of values that differ between two config files, whichever has them.
pub fn changed(before: &str, after: &str) -> Vec<String> {
    let (before, after) = (leaves(before).unwrap_or_default(), leaves(after).unwrap_or_default());
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

fn gather(prefix: &str, table: &DeTable<'_>, leaves: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        match value.get_ref() {
            DeValue::Table(inner) => gather(&name, inner, leaves),
            other => _ = leaves.insert(name, written(other)),
        }
    }
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
        let text = "[a]\nb = \"x\"\n[a.c]\nd = [1, 2]\ne = true\n[[f]]\ng = 1.5\n[[f]]\ng = 2\n";
        let leaves = leaves(text).unwrap();
        let leaves: Vec<(&str, &str)> = leaves.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(leaves, [("a.b", "\"x\""), ("a.c.d", "[1, 2]"), ("a.c.e", "true"), ("f", "[{g = 1.5}, {g = 2}]")]);
        assert_eq!(super::leaves("a = ["), None);
    }

    #[test]
    fn a_change_is_named_wherever_it_stands() {
        let before = "[a]\nb = 1\nc = 2\n[[f]]\ng = 1\n";
        assert_eq!(changed(before, "# moved\n\n[[f]]\ng = 1\n[a]\nc = 2\nb = 1\n"), [""; 0]);
        assert_eq!(changed(before, "[a]\nb = 3\nd = 2\n[[f]]\ng = 2\n"), ["a.b", "a.c", "a.d", "f"]);
    }
}
