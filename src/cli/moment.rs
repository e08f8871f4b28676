use crate::facts::Timestamp;

/// A point in time, as somebody gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// So many milliseconds ago.
    Ago(i64),
    /// Then.
    At(Timestamp),
}

/// In milliseconds.
const UNITS: [(char, i64); 5] = [('s', 1000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000), ('w', 604_800_000)];

impl Moment {
    /// Reads a time (RFC 3339), or how long ago: `90s`, `2h`, `7d`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(time) = Timestamp::parse(text) {
            return Ok(Self::At(time));
        }
        let ago = UNITS.iter().find_map(|(unit, millis)| {
            let digits = text.strip_suffix(*unit).filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()))?;
            digits.parse::<i64>().ok()?.checked_mul(*millis)
        });
        ago.map(Self::Ago).ok_or_else(|| {
            "expected a time such as 2026-01-31T12:00:00Z, or how long ago, such as 90s, 30m, 2h, 7d or 4w".to_owned()
        })
    }

    pub(super) const fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(millis) => now.plus_millis(-millis),
            Self::At(time) => time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_time_and_a_duration_is_counted_back() {
        let now = Timestamp::parse("2026-01-31T12:00:00Z").unwrap();
        for (text, time) in [
            ("2026-01-31T13:00:00+02:00", "2026-01-31T11:00:00.000Z"),
            ("90s", "2026-01-31T11:58:30.000Z"),
            ("30m", "2026-01-31T11:30:00.000Z"),
            ("2h", "2026-01-31T10:00:00.000Z"),
            ("7d", "2026-01-24T12:00:00.000Z"),
            ("1w", "2026-01-24T12:00:00.000Z"),
            ("0s", "2026-01-31T12:00:00.000Z"),
        ] {
            assert_eq!(Moment::parse(text).unwrap().at(now).to_string(), time, "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", "2", "h", "-2h", "+2h", "2 h", "2y", "1.5h", "2026-01-31", "99999999999999w", "²h"] {
            assert!(Moment::parse(text).is_err(), "{text}");
        }
    }
}
