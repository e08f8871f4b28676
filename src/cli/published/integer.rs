use crate::protocol::json::MAX_INTEGER_DIGITS;

/// Reads an integer as the published package does, with Python's `int`: white space around it, a sign, single
/// underscores between digits. Beyond what 128 bits hold it is the largest or the smallest of them.
pub(super) fn integer(text: &str) -> Result<i128, String> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let grouped = digits.split('_').all(|group| !group.is_empty() && group.bytes().all(|c| c.is_ascii_digit()));
    if !grouped || digits.replace('_', "").len() > MAX_INTEGER_DIGITS {
        return Err("not a whole number".into());
    }
    let largest = if text.starts_with('-') { i128::MIN } else { i128::MAX };
    Ok(text.replace('_', "").parse().unwrap_or(largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_python_reads_them() {
        for (text, number) in [("5", 5), (" +5\n", 5), ("-0", 0), ("007", 7), ("1_000", 1000), ("-1_0", -10)] {
            assert_eq!(integer(text), Ok(number), "{text:?}");
        }
        for text in ["", "-", "+-5", "--5", "1__0", "_1", "1_", "1.0", "1e3", "0x1", "1 0", &"1".repeat(4301)] {
            assert!(integer(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_too_large_stays_large() {
        assert_eq!(integer(&"9".repeat(4300)), Ok(i128::MAX));
        assert_eq!(integer(&format!("-{}", "9".repeat(40))), Ok(i128::MIN));
    }
}
