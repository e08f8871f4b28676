//! Reads Prometheus' text format 0.0.4, and takes nothing that the format does not have. Each test crate uses a part of
//! this.

#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;

type Labels = BTreeMap<String, String>;

/// What was told at one time.
#[derive(Debug)]
pub(crate) struct Exposition {
    /// Each family with its type.
    pub(crate) families: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Exposition {
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n') && !text.contains("\n\n"), "{text:?}");
        let mut read = Self { families: BTreeMap::new(), samples: BTreeMap::new() };
        let (mut helped, mut family, mut kind) = ("", "", "");
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(!help.is_empty() && is_name(name), "{line}");
                helped = name;
            } else if let Some(typed) = line.strip_prefix("# TYPE ") {
                (family, kind) = typed.split_once(' ').unwrap();
                assert_eq!(family, helped, "a type without help: {line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(kind != "counter" || family.ends_with("_total"), "{line}");
                assert_eq!(read.families.insert(family.into(), kind.into()), None, "a family in two parts: {line}");
            } else {
                let (name, labels, value) = sample(line);
                let parts: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(name.strip_prefix(family).is_some_and(|part| parts.contains(&part)), "{family}: {line}");
                assert_eq!(read.samples.insert((name, labels), value), None, "a sample twice: {line}");
            }
        }
        read.families.iter().filter(|(_, kind)| *kind == "histogram").for_each(|(name, _)| read.check_histogram(name));
        read
    }

    /// A sample that must be there.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let found = self.samples.get(&(name.into(), labels));
        *found.unwrap_or_else(|| panic!("no {name} {:?}", self.families.keys()))
    }

    /// Every value of the label `state` of a family, in order.
    #[track_caller]
    pub(crate) fn states(&self, family: &str) -> Vec<(&str, f64)> {
        let of = self.samples.iter().filter(|((name, _), _)| name == family);
        of.map(|((_, labels), value)| (labels["state"].as_str(), *value)).collect()
    }

    /// Whether any sample of a family, or of a part of one, has this label.
    pub(crate) fn has(&self, name: &str, label: &str, value: &str) -> bool {
        let is = |labels: &Labels| labels.get(label).is_some_and(|found| found == value);
        self.samples.keys().any(|(found, labels)| found == name && is(labels))
    }

    /// The names that a rule may use: of samples, not of families.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.samples.keys().map(|(name, _)| name.as_str()).collect();
        names.dedup();
        names
    }

    /// Buckets that grow, up to the one that has everything.
    fn check_histogram(&self, name: &str) {
        let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        for ((_, labels), value) in self.samples.iter().filter(|((found, _), _)| *found == format!("{name}_bucket")) {
            let mut labels = labels.clone();
            let limit = labels.remove("le").unwrap().parse().unwrap();
            series.entry(labels).or_default().push((limit, *value));
        }
        assert!(!series.is_empty(), "{name} has no bucket");
        for (labels, mut buckets) in series {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name}: {buckets:?}");
            let labels: Vec<_> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let last = (f64::INFINITY, self.value(&format!("{name}_count"), &labels));
            assert_eq!(buckets.last(), Some(&last), "{name}");
            assert!(self.value(&format!("{name}_sum"), &labels) >= 0.0);
        }
    }
}

/// `name{label="value",...} number`, with no time stamp.
#[track_caller]
fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    while let Some(inner) = rest.strip_prefix(if labels.is_empty() { '{' } else { ',' }) {
        let (label, quoted) = inner.split_once("=\"").unwrap();
        assert!(is_name(label) && !label.contains(':'), "{line}");
        let (value, after) = unquote(quoted);
        assert_eq!(labels.insert(label.into(), value), None, "{line}");
        rest = after;
    }
    let value = if labels.is_empty() { rest } else { rest.strip_prefix('}').unwrap() };
    (name.into(), labels, value.strip_prefix(' ').unwrap().parse().unwrap())
}

/// A label's value up to its quotation mark, and what is behind.
fn unquote(text: &str) -> (String, &str) {
    let (mut value, mut chars) = (String::new(), text.chars());
    loop {
        match chars.next().unwrap() {
            '"' => return (value, chars.as_str()),
            '\\' => value.push(match chars.next().unwrap() {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                other => panic!("\\{other} is no escape: {text}"),
            }),
            other => value.push(other),
        }
    }
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    chars.next().is_some_and(starts) && chars.all(|c| starts(c) || c.is_ascii_digit())
}
