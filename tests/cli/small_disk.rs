use std::path::Path;
use std::process::Command;

/// A small file system of its own, unmounted on drop.
pub(crate) struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// Mounts it. Where that cannot be, since it takes root and the right to mount, says so and gives none.
    pub(crate) fn mount(folder: &'a Path) -> Option<Self> {
        std::fs::create_dir(folder).unwrap();
        let mounted = run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=600k", "tmpfs"]).arg(folder));
        mounted.inspect_err(|why| eprintln!("SKIPPED: no small disk can be mounted here: {why}")).ok()?;
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
