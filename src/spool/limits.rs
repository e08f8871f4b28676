//! How much a spool takes. What is over a limit is refused at the door; nothing that was taken is ever dropped for it.

use std::path::Path;

use rusqlite::Connection;

use super::destination;
use super::open::Inner;
use super::{SpoolError, State};
use crate::facts::folder_of;
use crate::store::StoreError;

/// The most that a spool takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of its file that are in use, history included; `None`: the disk is the limit.
    pub bytes: Option<u64>,
    /// Events that are not settled; `None`: any number.
    pub events: Option<u64>,
    /// Bytes of the file system that stay free; `None`: 256 MiB, or a twentieth of a small one.
    pub reserve: Option<u64>,
}

/// How much of each there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of the file that are in use.
    pub bytes: u64,
    /// Events that are not settled.
    pub events: u64,
    /// Bytes of the file system that are free to us.
    pub free: u64,
    /// Bytes of the file system.
    pub disk: u64,
}

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::bytes`]
    Bytes,
    /// [`Limits::events`]
    Events,
    /// [`Limits::reserve`]
    Reserve,
}

impl Limit {
    /// What is used up, in words.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Bytes => "the spool's file has reached its limit",
            Self::Events => "as many events wait as may",
            Self::Reserve => "the disk's reserve is reached",
        }
    }
}

const LARGEST_RESERVE: u64 = 256 * 1024 * 1024;

impl Limits {
    /// What stays free of a file system of `disk` bytes.
    pub fn reserve(&self, disk: u64) -> u64 {
        self.reserve.unwrap_or_else(|| LARGEST_RESERVE.min(disk / 20))
    }

    /// The limit that is reached, where one is.
    pub fn reached(&self, usage: &Usage) -> Option<Limit> {
        let at = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used >= limit);
        if at(usage.events, self.events) {
            Some(Limit::Events)
        } else if at(usage.bytes, self.bytes) {
            Some(Limit::Bytes)
        } else if usage.free < self.reserve(usage.disk) {
            Some(Limit::Reserve)
        } else {
            None
        }
    }

    /// How much of the limit that is nearest is used, from 0 to 1. Of the disk that is what lies in the reserve's way:
    /// 1 where only the reserve is free, 0 from ten times the reserve on.
    pub fn fullness(&self, usage: &Usage) -> f64 {
        let of = |used: u64, limit: Option<u64>| limit.map_or(0.0, |limit| used as f64 / limit.max(1) as f64);
        let reserve = self.reserve(usage.disk).max(1) as f64;
        let disk = 1.0 - (usage.free as f64 - reserve) / (9.0 * reserve);
        of(usage.events, self.events).max(of(usage.bytes, self.bytes)).max(disk).clamp(0.0, 1.0)
    }
}

impl Usage {
    /// Reads what counters, the file and the file system say.
    pub(super) fn read(db: &Connection, path: &Path) -> Result<Self, SpoolError> {
        let (free, disk) = room_on_disk(path)?;
        Ok(Self { bytes: bytes_in_use(db)?, events: unsettled(db)?, free, disk })
    }

    /// The same, without what nothing limits: it is read for each event.
    fn of_limits(db: &Connection, path: &Path, limits: &Limits) -> Result<Self, SpoolError> {
        let (free, disk) = room_on_disk(path)?;
        let events = if limits.events.is_some() { unsettled(db)? } else { 0 };
        let bytes = if limits.bytes.is_some() { bytes_in_use(db)? } else { 0 };
        Ok(Self { bytes, events, free, disk })
    }
}

/// Bytes that are free to us on the file system, and all there are.
fn room_on_disk(path: &Path) -> Result<(u64, u64), SpoolError> {
    let disk = rustix::fs::statvfs(folder_of(path))
        .map_err(|e| StoreError::Io(format!("{}: {e}", folder_of(path).display())))?;
    Ok((disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize)))
}

fn unsettled(db: &Connection) -> Result<u64, SpoolError> {
    let sql = "SELECT sum(events) FROM totals WHERE state IN (?1, ?2)";
    let states = [State::Queued as i64, State::Relaying as i64];
    Ok(db.prepare_cached(sql)?.query_row(states, |row| row.get(0))?)
}

/// What lies in the file, without the pages that are free in it.
fn bytes_in_use(db: &Connection) -> Result<u64, SpoolError> {
    let pragma = |name: &str| -> Result<u64, SpoolError> {
        Ok(db.prepare_cached(&format!("PRAGMA {name}"))?.query_row([], |row| row.get(0))?)
    };
    Ok((pragma("page_count")?.saturating_sub(pragma("freelist_count")?)).saturating_mul(pragma("page_size")?))
}

/// Whether new events are taken, asked once for a group of them.
pub(super) struct Door {
    closed: Option<SpoolError>,
    room: u64,
}

impl Door {
    pub(super) fn open(db: &Connection, inner: &Inner) -> Result<Self, SpoolError> {
        if let Some(reason) = destination::maintenance(db)? {
            return Ok(Self { closed: Some(SpoolError::Maintenance { reason }), room: 0 });
        }
        let limits = inner.limits();
        let usage = Usage::of_limits(db, &inner.path, &limits)?;
        let closed = limits.reached(&usage).map(|limit| SpoolError::Full { limit });
        let room = limits.events.map_or(u64::MAX, |limit| limit.saturating_sub(usage.events));
        Ok(Self { closed, room })
    }

    /// Lets one event in.
    pub(super) fn pass(&mut self) -> Result<(), SpoolError> {
        if let Some(refused) = &self.closed {
            return Err(refused.clone());
        }
        self.room = self.room.checked_sub(1).ok_or(SpoolError::Full { limit: Limit::Events })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn usage() -> Usage {
        Usage { bytes: 10 * MIB, events: 100, free: 100_000 * MIB, disk: 200_000 * MIB }
    }

    #[test]
    fn each_limit_is_reached_at_its_number_and_not_before() {
        let limits = Limits { bytes: Some(10 * MIB + 1), events: Some(101), reserve: Some(100_000 * MIB) };
        assert_eq!(limits.reached(&usage()), None);
        let reached = |usage| limits.reached(&usage);
        assert_eq!(reached(Usage { events: 101, ..usage() }), Some(Limit::Events));
        assert_eq!(reached(Usage { bytes: 10 * MIB + 1, ..usage() }), Some(Limit::Bytes));
        assert_eq!(reached(Usage { free: 100_000 * MIB - 1, ..usage() }), Some(Limit::Reserve));
    }

    #[test]
    fn the_reserve_is_256_mib_and_less_of_a_small_disk() {
        let limits = Limits::default();
        assert_eq!(limits.reserve(200_000 * MIB), 256 * MIB);
        assert_eq!(limits.reserve(20 * MIB), MIB);
        assert_eq!(limits.reached(&Usage { free: 255 * MIB, ..usage() }), Some(Limit::Reserve));
    }

    #[test]
    fn fullness_is_that_of_the_nearest_limit() {
        let limits = Limits { bytes: Some(20 * MIB), events: Some(125), reserve: None };
        assert_eq!(limits.fullness(&usage()), 0.8);
        assert_eq!(limits.fullness(&Usage { free: 0, ..usage() }), 1.0);
        assert_eq!(Limits::default().fullness(&usage()), 0.0);
    }
}
