use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::fate::{Fate, write};

/// What SQLite did to the files of one folder, and what of it is on the disk for good.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What each file held when it was first seen. A file is its place here: a name may come to mean another one.
    found: Vec<Vec<u8>>,
    names: HashMap<String, usize>,
    log: Vec<Entry>,
    calls: HashMap<Call, usize>,
    fault: Option<Fault>,
    fired: usize,
    lies_about: Option<&'static str>,
}

#[derive(Debug)]
struct Entry {
    op: Op,
    /// The place in the log of the sync that made it durable.
    durable_at: Option<usize>,
    /// A sync failed over it. The kernel marks such pages clean, so that no later sync writes them.
    forsaken: bool,
}

#[derive(Debug)]
enum Op {
    Create { name: String, file: usize },
    Delete { name: String },
    Sync,
    Truncate { file: usize, length: usize },
    Write { file: usize, at: usize, bytes: Vec<u8> },
}

impl Op {
    const fn file(&self) -> Option<usize> {
        match self {
            Self::Truncate { file, .. } | Self::Write { file, .. } => Some(*file),
            Self::Create { .. } | Self::Delete { .. } | Self::Sync => None,
        }
    }

    /// What it does to the folder: the name, and the file that the name leads to from then on.
    fn entry(&self) -> Option<(&str, Option<usize>)> {
        match self {
            Self::Create { name, file } => Some((name, Some(*file))),
            Self::Delete { name } => Some((name, None)),
            Self::Sync | Self::Truncate { .. } | Self::Write { .. } => None,
        }
    }
}

/// Kinds of calls that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Access,
    Delete,
    Lock,
    Open,
    Read,
    SharedMemory,
    Size,
    Sync,
    Truncate,
    Write,
}

/// A call that fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) call: Call,
    /// Which one of its kind, from 1.
    pub(crate) nth: usize,
    /// What SQLite is told.
    pub(crate) code: i32,
    /// Whether every later one of its kind fails too.
    pub(crate) stays: bool,
}

/// The files of a folder, by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// All folders that are watched now.
static WATCHED: Mutex<Vec<Arc<Disk>>> = Mutex::new(Vec::new());

/// The disk that a path is on, where its folder is watched.
pub(crate) fn watched(path: &Path) -> Option<Arc<Disk>> {
    let folder = path.parent()?;
    WATCHED.lock().unwrap().iter().find(|disk| disk.folder == folder).cloned()
}

impl Disk {
    /// Watches a folder until [`release`](Self::release).
    pub(crate) fn watch(folder: &Path) -> Arc<Self> {
        super::vfs::install();
        let disk = Arc::new(Self { folder: folder.canonicalize().unwrap(), state: Mutex::default() });
        WATCHED.lock().unwrap().push(disk.clone());
        disk
    }

    /// Files that are opened from now on are not watched.
    pub(crate) fn release(self: &Arc<Self>) {
        WATCHED.lock().unwrap().retain(|disk| !Arc::ptr_eq(disk, self));
    }

    /// Lets one call fail, or none.
    pub(crate) fn fail(&self, fault: Option<Fault>) {
        self.state().fault = fault;
    }

    /// Says that files with this ending are synced, and does not sync them.
    pub(crate) fn lie_about(&self, ending: &'static str) {
        self.state().lies_about = Some(ending);
    }

    /// How many calls have failed.
    pub(crate) fn fired(&self) -> usize {
        self.state().fired
    }

    /// Operations so far. A crash comes before one of them, or after the last.
    pub(crate) fn length(&self) -> usize {
        self.state().log.len()
    }

    /// What the files hold now, for whoever does not crash.
    pub(crate) fn now(&self) -> Files {
        self.after_crash(self.length(), || Fate::Kept)
    }

    /// What a crash before the operation at `cut` leaves: all that was synced, and of the rest what `fate` says for
    /// each file and for the names in the folder.
    pub(crate) fn after_crash(&self, cut: usize, mut fate: impl FnMut() -> Fate) -> Files {
        let state = self.state();
        let log = &state.log[..cut];
        let mut files = state.found.clone();
        for (file, content) in files.iter_mut().enumerate() {
            let mut fate = fate();
            for entry in log.iter().filter(|entry| entry.op.file() == Some(file)) {
                apply(content, &entry.op, &mut fate, entry.durable_at.is_some_and(|at| at < cut));
            }
        }
        let (mut fate, mut names) = (fate(), BTreeMap::new());
        for entry in log {
            let is_durable = entry.durable_at.is_some_and(|at| at < cut);
            if let Some((name, file)) = entry.op.entry()
                && (is_durable || fate.keeps())
            {
                names.insert(name.to_owned(), file);
            }
        }
        names.into_iter().filter_map(|(name, file)| Some((name, files[file?].clone()))).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn apply(content: &mut Vec<u8>, op: &Op, fate: &mut Fate, is_durable: bool) {
    match op {
        Op::Write { at, bytes, .. } if is_durable => write(content, *at, bytes),
        Op::Write { at, bytes, .. } => fate.write(content, *at, bytes),
        Op::Truncate { length, .. } if is_durable || fate.keeps() => content.resize(*length, 0),
        _ => {}
    }
}

/// What the VFS tells of.
impl Disk {
    /// Counts a call; gives the code that it is to fail with.
    pub(crate) fn enter(&self, call: Call) -> Option<i32> {
        let mut state = self.state();
        let count = state.calls.entry(call).or_default();
        *count += 1;
        let count = *count;
        let fails = |fault: &Fault| fault.call == call && (count == fault.nth || fault.stays && count > fault.nth);
        let fault = state.fault.filter(fails)?;
        state.fired += 1;
        Some(fault.code)
    }

    /// The file that was opened under a name: a known one, one that `read` gives, or a new one.
    pub(crate) fn opened(&self, name: &str, existed: bool, read: impl FnOnce() -> Vec<u8>) -> usize {
        let mut state = self.state();
        if let Some(file) = state.names.get(name) {
            return *file;
        }
        let file = state.found.len();
        state.found.push(if existed { read() } else { Vec::new() });
        state.names.insert(name.to_owned(), file);
        let at = state.log.len();
        // What was there before anybody watched is durable.
        let durable_at = existed.then_some(at);
        state.log.push(Entry { op: Op::Create { name: name.to_owned(), file }, durable_at, forsaken: false });
        file
    }

    pub(crate) fn deleted(&self, name: &str, folder_is_synced: bool) {
        let mut state = self.state();
        if state.names.remove(name).is_some() {
            state.push(Op::Delete { name: name.to_owned() });
            if folder_is_synced {
                state.sync(|op| op.entry().is_some());
            }
        }
    }

    pub(crate) fn wrote(&self, file: usize, at: usize, bytes: &[u8]) {
        self.state().push(Op::Write { file, at, bytes: bytes.to_vec() });
    }

    pub(crate) fn truncated(&self, file: usize, length: usize) {
        self.state().push(Op::Truncate { file, length });
    }

    /// SQLite syncs the folder along with a log that it has just opened.
    pub(crate) fn synced(&self, name: &str, file: usize, with_folder: bool) {
        let mut state = self.state();
        if !state.lies_about.is_some_and(|ending| name.ends_with(ending)) {
            state.sync(|op| op.file() == Some(file) || with_folder && op.entry().is_some());
        }
    }

    /// Somebody has written a whole file once more, with what it held, and synced it.
    pub(crate) fn written_again(&self, name: &str) {
        let mut state = self.state();
        if let Some(&file) = state.names.get(name) {
            let of_file = state.log.iter_mut().filter(|entry| entry.op.file() == Some(file));
            of_file.for_each(|entry| entry.forsaken = false);
            state.sync(|op| op.file() == Some(file));
        }
    }

    /// What was to be synced may never be.
    pub(crate) fn failed_to_sync(&self, file: usize) {
        let mut state = self.state();
        let pending = state.log.iter_mut().filter(|entry| entry.op.file() == Some(file));
        pending.for_each(|entry| entry.forsaken |= entry.durable_at.is_none());
    }
}

impl State {
    fn push(&mut self, op: Op) {
        self.log.push(Entry { op, durable_at: None, forsaken: false });
    }

    fn sync(&mut self, covers: impl Fn(&Op) -> bool) {
        let at = self.log.len();
        self.push(Op::Sync);
        for entry in self.log.iter_mut().filter(|entry| covers(&entry.op) && !entry.forsaken) {
            entry.durable_at.get_or_insert(at);
        }
    }
}
