//! What the PCRs do not cover: whether this program and its configuration are themselves verified on this host.

use std::fs;
use std::path::Path;

/// What of the host vouches for the files that run on it, with what was found.
pub(super) fn checks() -> [(&'static str, Result<(), String>); 3] {
    let root = root_device();
    [
        ("the root file system is verified (dm-verity)", verity(&root)),
        ("the root file system is encrypted (LUKS)", luks(&root)),
        ("the kernel measures what runs (IMA)", ima()),
    ]
}

/// The device-mapper identities of the root file system's device and of what is under it.
fn root_device() -> Vec<String> {
    let Ok(device) = rustix::fs::stat("/").map(|stat| (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev)))
    else {
        return Vec::new();
    };
    let mut found = Vec::new();
    collect(Path::new(&format!("/sys/dev/block/{}:{}", device.0, device.1)), &mut found, 0);
    found
}

/// A file system may lie on verity, which lies on LUKS, which lies on a volume.
fn collect(device: &Path, found: &mut Vec<String>, depth: u32) {
    const DEEPEST: u32 = 8;
    found.extend(fs::read_to_string(device.join("dm/uuid")));
    let below = fs::read_dir(device.join("slaves")).into_iter().flatten().flatten();
    if depth < DEEPEST {
        below.for_each(|slave| collect(&slave.path(), found, depth + 1));
    }
}

fn verity(root: &[String]) -> Result<(), String> {
    has(root, "CRYPT-VERITY-", "it is not; who can write to it can exchange local-vault and its configuration")
}

fn luks(root: &[String]) -> Result<(), String> {
    has(root, "CRYPT-LUKS", "it is not; who holds the disk can write to it")
}

fn has(root: &[String], prefix: &str, otherwise: &str) -> Result<(), String> {
    if root.iter().any(|uuid| uuid.starts_with(prefix)) { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// The boot aggregate alone is one measurement.
fn ima() -> Result<(), String> {
    let path = "/sys/kernel/security/ima/runtime_measurements_count";
    let count = fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    match count {
        Some(count) if count > 1 => Ok(()),
        Some(_) => Err("it has no policy, so that PCR 10 tells nothing of this program".to_owned()),
        None => Err("it is not there, so that no PCR tells of this program".to_owned()),
    }
}
