//! A log taken apart into its lines, as somebody who may write to its files would.

use std::fs;
use std::path::{Path, PathBuf};

use local_vault::protocol::audit::{Entry, START, write_line};
use local_vault::protocol::json::Object;

use super::support::files;

/// The lines of each file, with their ends.
#[derive(Clone, PartialEq)]
pub(crate) struct Lines(pub(crate) Vec<(PathBuf, Vec<Vec<u8>>)>);

impl Lines {
    pub(crate) fn read(log: &Path) -> Self {
        let lines = |path: &PathBuf| {
            let bytes = fs::read(path).unwrap();
            bytes.split_inclusive(|&c| c == b'\n').map(<[u8]>::to_vec).collect()
        };
        Self(files(log).into_iter().map(|path| (path.clone(), lines(&path))).collect())
    }

    pub(crate) fn write(&self) {
        for (path, lines) in &self.0 {
            fs::write(path, lines.concat()).unwrap();
        }
    }

    /// How many lines there are.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|(_, lines)| lines.len()).sum()
    }

    /// A line by the number of its entry.
    pub(crate) fn line(&mut self, seq: usize) -> &mut Vec<u8> {
        let (file, at) = self.place(seq);
        &mut self.0[file].1[at]
    }

    pub(crate) fn remove(&mut self, seq: usize) {
        let (file, at) = self.place(seq);
        self.0[file].1.remove(at);
    }

    pub(crate) fn repeat(&mut self, seq: usize) {
        let (file, at) = self.place(seq);
        let line = self.0[file].1[at].clone();
        self.0[file].1.insert(at + 1, line);
    }

    pub(crate) fn entry(&mut self, seq: usize) -> Entry {
        Entry::read(self.line(seq).strip_suffix(b"\n").unwrap()).unwrap()
    }

    pub(crate) fn entries(&mut self) -> Vec<Entry> {
        (1..=self.count()).map(|seq| self.entry(seq)).collect()
    }

    /// Puts another entry into a line, and computes all hashes from there on anew.
    pub(crate) fn forge(&mut self, seq: usize, change: impl FnOnce(Object) -> Object) {
        let mut previous = if seq == 1 { START } else { self.entry(seq - 1).hash };
        let mut object = change(self.entry(seq).object);
        for at in seq..=self.count() {
            if at > seq {
                object = self.entry(at).object;
                if object.get("previous_hash").is_some() {
                    object = object.with("previous_hash", previous.to_string());
                }
            }
            self.line(at).clear();
            previous = write_line(self.line(at), &previous, &object);
        }
    }

    /// Adds an entry behind the last, with the hash that it must have.
    pub(crate) fn forge_end(&mut self, change: impl FnOnce(Object) -> Object) {
        let last = self.count();
        let entry = self.entry(last);
        let object = change(entry.object.with("seq", last as u64 + 1));
        let mut line = Vec::new();
        write_line(&mut line, &entry.hash, &object);
        self.0.last_mut().unwrap().1.push(line);
    }

    fn place(&self, seq: usize) -> (usize, usize) {
        let mut at = seq - 1;
        for (file, (_, lines)) in self.0.iter().enumerate() {
            if at < lines.len() {
                return (file, at);
            }
            at -= lines.len();
        }
        panic!("no entry {seq}");
    }
}
