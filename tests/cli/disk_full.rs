use std::path::Path;
use std::process::Command;

use super::vault::{Vault, objects};

/// A small file system of its own, unmounted on drop.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// Mounts it, or tells why that cannot be: it takes root and the right to mount.
    fn mount(folder: &'a Path) -> Result<Self, String> {
        std::fs::create_dir(folder).unwrap();
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=600k", "tmpfs"]).arg(folder)).map(|()| Self(folder))
    }

    fn make_room(&self) {
        run(Command::new("mount").args(["-o", "remount,size=64m"]).arg(self.0)).unwrap();
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

#[test]
fn a_full_disk_is_75_and_nothing_that_was_told_of_is_lost() {
    let vault = Vault::new();
    let folder = vault.path("disk");
    let disk = match SmallDisk::mount(&folder) {
        Ok(disk) => disk,
        Err(why) => return eprintln!("SKIPPED: no small disk can be mounted here: {why}"),
    };
    vault.reconfigure(
        "spool.path = \"spool.sqlite3\"",
        "spool.path = \"disk/spool.sqlite3\"\naudit.path = \"elsewhere.audit\"",
    );
    let name = "n".repeat(200);
    for n in 0..400 {
        vault.write(format!("many/{name}{n:04}"), n.to_string());
    }
    let full = vault.run(&["attest", "many", "--json"]);
    full.fails(75, &["Error: the disk is full.", "Nothing was lost. Make room on the disk and try again."]);
    let told = objects(&full.out);

    disk.make_room();
    let all = vault.json(&["attest", "many", "--json"]);
    assert_eq!(all.len(), 400);
    for (told, later) in told.iter().zip(&all) {
        assert_eq!(told.get_str("eventId"), later.get_str("eventId"));
        assert_eq!(later.get("known"), Some(&true.into()));
    }
    assert_eq!(vault.json(&["spool", "list", "--json", "--limit", "1000"]).len(), 400);
}
