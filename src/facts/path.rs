use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A path with more behind its name: `spool.sqlite3` and `-wal` give `spool.sqlite3-wal`.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The folder that a path lies in: `.` where it is a name alone.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_stands_behind_the_name_and_takes_nothing_away() {
        assert_eq!(with_suffix(Path::new("a/spool.sqlite3"), "-wal"), Path::new("a/spool.sqlite3-wal"));
    }

    #[test]
    fn a_name_alone_lies_in_the_folder_of_now() {
        assert_eq!(folder_of(Path::new("a/b")), Path::new("a"));
        for path in ["b", "", "/"] {
            assert_eq!(folder_of(Path::new(path)), Path::new("."), "{path}");
        }
    }
}
