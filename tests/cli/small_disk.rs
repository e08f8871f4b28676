use std::path::Path;
use std::process::Command;

/// A small file system of its own, unmounted on drop.
pub(crate) struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// None where the tests were told that they may not mount. Anything else that prevents it is a failure.
    pub(crate) fn mount(folder: &'a Path) -> Option<Self> {
        if std::env::var_os("LOCAL_VAULT_TEST_NO_ROOT").is_some() {
            return None;
        }
        std::fs::create_dir(folder).unwrap();
        let mounted = run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=600k", "tmpfs"]).arg(folder));
        let why = "this test mounts a small disk and needs root; set LOCAL_VAULT_TEST_NO_ROOT=1 to go without";
        mounted.unwrap_or_else(|e| panic!("{why}: {e}"));
        Some(Self(folder))
    }

    pub(crate) fn make_room(&self) {
        self.remount("size=64m");
    }

    pub(crate) fn make_read_only(&self) {
        self.remount("ro");
    }

    fn remount(&self, how: &str) {
        run(Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.0)).unwrap();
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily, since nothing is left to be written.
        let _ = run(Command::new("umount").arg("-l").arg(self.0));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| e.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
