//! A disk that is soon full. Each test crate uses a part of this.

#![allow(dead_code)]

use std::path::Path;
use std::process::Command;

/// A file system of a given size, gone when dropped.
pub(crate) struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// None where the tests were told that they may not mount. Anything else that prevents it is a failure.
    pub(crate) fn mount(at: &'a Path, size: &str) -> Option<Self> {
        if std::env::var_os("LOCAL_VAULT_TEST_NO_ROOT").is_some() {
            return None;
        }
        let mounted = run("mount", &["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"], at);
        assert!(mounted, "this test mounts a small disk and needs root; set LOCAL_VAULT_TEST_NO_ROOT=1 to go without");
        Some(Self(at))
    }

    pub(crate) fn grow(&self, size: &str) {
        assert!(run("mount", &["-o", &format!("remount,size={size}")], self.0));
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        run("umount", &["--lazy"], self.0);
    }
}

fn run(program: &str, arguments: &[&str], at: &Path) -> bool {
    Command::new(program).args(arguments).arg(at).status().is_ok_and(|status| status.success())
}
