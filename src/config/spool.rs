//! `[spool]`: where events wait, how many may, and how long content is kept once it is settled.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::Section;
use crate::spool::{Limits, Retention};

/// What a config file says of the spool.
#[derive(Debug, Default)]
pub(super) struct FileSpool {
    pub(super) path: Option<PathBuf>,
    pub(super) bounds: Bounds,
}

/// How much a spool takes, and how long it keeps what is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// What is refused at the door.
    pub limits: Limits,
    /// What is dropped behind it.
    pub retention: Retention,
}

/// SQLite counts in 64 bits with a sign.
const MOST: u64 = i64::MAX as u64;
/// A hundred years.
const MOST_DAYS: u64 = 36_500;

pub(super) fn read(mut section: Section<'_>, folder: &Path) -> FileSpool {
    let path = section.path("path", folder);
    let limits = Limits {
        bytes: section.number("max_bytes", 1..=MOST),
        events: section.number("max_events", 1..=MOST),
        reserve: section.number("reserve_bytes", 0..=MOST),
    };
    let usual = Retention::default();
    let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
    let retention = Retention {
        keep_for: section.number("keep_days", 0..=MOST_DAYS).map(days).or(usual.keep_for),
        keep_events: section.number("keep_events", 0..=MOST).or(usual.keep_events),
    };
    section.end();
    FileSpool { path, bounds: Bounds { limits, retention } }
}
