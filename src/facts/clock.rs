use std::fmt;
use std::time::SystemTime;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// A point in time in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// Displayed as signed objects carry it: `YYYY-MM-DDTHH:MM:SS.mmmZ`. Anything finer was truncated, never rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The last millisecond of the year 9999, beyond which the wire form has no room.
const LAST: i64 = 253_402_300_799_999;

impl Timestamp {
    /// `millis` since 1970, held within the years 1970 to 9999.
    pub const fn from_millis(millis: i64) -> Self {
        Self(if millis < 0 {
            0
        } else if millis > LAST {
            LAST
        } else {
            millis
        })
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This time and `millis` more, at most the end of the year 9999.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// Reads an RFC 3339 time with any offset and any number of fractional digits; what is finer than a
    /// millisecond is cut off.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        let millis = i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).map_err(|_| TimestampError)?;
        if (0..=LAST).contains(&millis) { Ok(Self(millis)) } else { Err(TimestampError) }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every value between 1970 and 9999 has a date.
        let time = OffsetDateTime::from_unix_timestamp(self.0.div_euclid(1000)).map_err(|_| fmt::Error)?;
        let time = time.to_offset(UtcOffset::UTC);
        let (year, month, day) = time.to_calendar_date();
        let (hour, minute, second) = time.to_hms();
        let (month, millis) = (u8::from(month), self.0.rem_euclid(1000));
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// Not an RFC 3339 time between 1970 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a time such as 2026-01-31T12:00:00.000Z")]
pub struct TimestampError;

/// Where time comes from, so that retries and leases can be tested without waiting.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_cut_off_and_never_rounded() {
        let time = Timestamp::parse("2060-10-10T10:29:05.764999+00:00").unwrap();
        assert_eq!(time.to_string(), "2060-10-10T10:29:05.764Z");
    }

    #[test]
    fn an_offset_is_turned_into_utc() {
        let time = Timestamp::parse("2026-01-01T01:30:00+01:30").unwrap();
        assert_eq!(time.to_string(), "2026-01-01T00:00:00.000Z");
    }

    #[test]
    fn the_last_millisecond_has_a_wire_form() {
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }
}
