use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Everything that is wrong with a config file, each with its line.
pub(super) type Problems = RefCell<Vec<(usize, String)>>;

/// A table of a config file. Every member that is asked for is taken out; what is left at the end is unknown.
pub(super) struct Section<'a> {
    name: String,
    line: usize,
    text: &'a str,
    problems: &'a Problems,
    members: BTreeMap<String, Spanned<DeValue<'a>>>,
}

impl<'a> Section<'a> {
    /// The whole file. A file that is no TOML is an empty section, and a problem.
    pub(super) fn whole(text: &'a str, problems: &'a Problems) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            problems.borrow_mut().push((line, error.message().to_owned()));
        }
        Self { name: String::new(), line: 1, text, problems, members: members(table.into_inner()) }
    }

    /// A table in this one; empty where there is none.
    pub(super) fn section(&mut self, key: &str) -> Self {
        let name = self.full(key);
        let line = self.members.get(key).map_or(self.line, |value| line_of(self.text, value.span().start));
        let table = self.take(key, "a table", |value| match value {
            DeValue::Table(table) => Some(table),
            _ => None,
        });
        let (text, problems) = (self.text, self.problems);
        Self { name, line, text, problems, members: members(table.unwrap_or_default()) }
    }

    /// The tables of a list (`[[key]]`), in order; `None` where there is none.
    pub(super) fn sections(&mut self, key: &str) -> Option<Vec<Self>> {
        let name = self.full(key);
        let tables = self.take(key, "a list of tables", |value| match value {
            DeValue::Array(items) => {
                let table = |item: Spanned<DeValue<'a>>| {
                    let start = item.span().start;
                    match item.into_inner() {
                        DeValue::Table(table) => Some((start, table)),
                        _ => None,
                    }
                };
                items.into_iter().map(table).collect::<Option<Vec<_>>>()
            }
            _ => None,
        })?;
        let (text, problems) = (self.text, self.problems);
        let section = |(start, table)| {
            let line = line_of(text, start);
            Self { name: name.clone(), line, text, problems, members: members(table) }
        };
        Some(tables.into_iter().map(section).collect())
    }

    /// Whether nothing was said here.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether this was said, well or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.members.contains_key(key)
    }

    /// Text that is not empty.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.take(key, "text that is not empty", |value| match value {
            DeValue::String(text) if !text.is_empty() => Some(text.into_owned()),
            _ => None,
        })
    }

    /// `true`, where something may be asked for and not refused.
    pub(super) fn flag(&mut self, key: &str) -> Option<()> {
        self.take(key, "true, or left out", |value| matches!(value, DeValue::Boolean(true)).then_some(()))
    }

    /// Text that `read` understands; `expected` says what that is.
    pub(super) fn parsed<T>(&mut self, key: &str, expected: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.take(key, expected, |value| match value {
            DeValue::String(text) => read(&text),
            _ => None,
        })
    }

    /// A path; a relative one begins at `folder`, where the config file lies.
    pub(super) fn path(&mut self, key: &str, folder: &Path) -> Option<PathBuf> {
        self.text(key).map(|path| folder.join(path))
    }

    /// A whole number from 1 to `most`.
    pub(super) fn count(&mut self, key: &str, most: usize) -> Option<usize> {
        self.number(key, 1..=most as u64).and_then(|number| usize::try_from(number).ok())
    }

    /// A whole number in a range.
    pub(super) fn number(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.take(key, &expected, |value| match value {
            DeValue::Integer(number) if number.radix() == 10 => {
                number.as_str().replace('_', "").parse().ok().filter(|n| range.contains(n))
            }
            _ => None,
        })
    }

    /// Seconds, 0 or more.
    pub(super) fn seconds(&mut self, key: &str) -> Option<f64> {
        self.take(key, "seconds, 0 or more", |value| {
            let text = match &value {
                DeValue::Integer(number) => number.as_str(),
                DeValue::Float(number) => number.as_str(),
                _ => return None,
            };
            text.replace('_', "").parse().ok().filter(|s: &f64| s.is_finite() && *s >= 0.0)
        })
    }

    /// A list of texts that `read` understands; `expected` says what that is.
    pub(super) fn list<T>(&mut self, key: &str, expected: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        self.take(key, expected, |value| match value {
            DeValue::Array(items) => {
                let read = |item: Spanned<DeValue<'_>>| item.into_inner().as_str().and_then(&read);
                items.into_iter().map(read).collect()
            }
            _ => None,
        })
    }

    /// Notes where not all of these were said. To be asked before they are taken.
    pub(super) fn needs(&self, keys: &[&str]) {
        if !keys.iter().all(|key| self.has(key)) {
            let (last, first) = keys.split_last().unwrap_or((&"", &[]));
            self.problem(&format!("needs {} and {last}", first.join(", ")));
        }
    }

    /// Notes something that is wrong with this section as a whole.
    pub(super) fn problem(&self, what: &str) {
        self.problems.borrow_mut().push((self.line, format!("{} {what}", self.name)));
    }

    /// Ends a section that has no business here, which was told of already.
    #[cfg(any(feature = "pkcs11", feature = "tpm"))]
    pub(super) fn pass_over(mut self) {
        self.members.clear();
    }

    /// Ends the section: what was not asked for is unknown.
    pub(super) fn end(self) {
        for (key, value) in &self.members {
            let line = line_of(self.text, value.span().start);
            self.problems.borrow_mut().push((line, format!("unknown key {}", self.full(key))));
        }
    }

    fn take<T>(&mut self, key: &str, expected: &str, read: impl FnOnce(DeValue<'a>) -> Option<T>) -> Option<T> {
        let value = self.members.remove(key)?;
        let line = line_of(self.text, value.span().start);
        let read = read(value.into_inner());
        if read.is_none() {
            // The value itself is not repeated: somebody may have written a secret there.
            self.problems.borrow_mut().push((line, format!("{} must be {expected}", self.full(key))));
        }
        read
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

fn members(table: DeTable<'_>) -> BTreeMap<String, Spanned<DeValue<'_>>> {
    table.into_iter().map(|(key, value)| (key.into_inner().into_owned(), value)).collect()
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|&&c| c == b'\n').count() + 1
}
