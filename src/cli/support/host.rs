use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::cli::vault::Vault;
use crate::facts::{Clock as _, SystemClock, folder_of, with_suffix};
use crate::ingest::hash_file;

/// What runs: versions, and every library of this process with its SHA-256.
pub(super) fn versions() -> String {
    let kernel = rustix::system::uname();
    let mut told = format!(
        "local-vault {}\nsqlite {}\nkernel {} {}\n",
        env!("CARGO_PKG_VERSION"),
        rusqlite::version(),
        kernel.release().to_string_lossy(),
        kernel.machine().to_string_lossy(),
    );
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown");
    line(&mut told, format_args!("system {}", name.trim_matches('"')));
    let executable = std::env::current_exe().ok();
    executable.into_iter().chain(libraries()).for_each(|path| file(&mut told, &path));
    told
}

/// Clock, disks and files.
pub(super) fn facts(vault: &Vault) -> String {
    let settings = &vault.settings;
    let mut told = format!("now {}\n", SystemClock.now());
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    line(&mut told, format_args!("up {} s", uptime.split_whitespace().next().unwrap_or("unknown")));
    // What systemd-timesyncd leaves once the clock was set by somebody who knows.
    let synchronised = Path::new("/run/systemd/timesync/synchronized").exists();
    line(&mut told, format_args!("clock set by systemd-timesyncd: {}", if synchronised { "yes" } else { "not known" }));
    let spool = vault.spool_path().unwrap_or_else(|_| settings.spool.clone());
    let folders: BTreeSet<&Path> = [folder_of(&spool), settings.audit.folder.as_path()].into_iter().collect();
    folders.into_iter().for_each(|folder| disk(&mut told, folder));
    let beside = ["", "-wal", "-shm"].map(|suffix| with_suffix(&spool, suffix));
    let module = module(vault);
    let named =
        [settings.config_file.clone(), Some(settings.ingest.socket.clone()), Some(settings.witness.path.clone())];
    beside.into_iter().chain(named.into_iter().flatten()).for_each(|path| stat(&mut told, &path));
    module.into_iter().for_each(|path| file(&mut told, &path));
    told
}

/// The vendor's library, which this process has not loaded.
fn module(vault: &Vault) -> Option<PathBuf> {
    #[cfg(feature = "pkcs11")]
    return vault.settings.custody.token.as_ref().map(|token| token.module.clone());
    #[cfg(not(feature = "pkcs11"))]
    {
        let _ = vault;
        None
    }
}

/// Shared libraries that are loaded (proc_pid_maps(5)).
fn libraries() -> BTreeSet<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    paths.filter(|path| path.contains(".so")).map(PathBuf::from).collect()
}

fn file(told: &mut String, path: &Path) {
    match hash_file(path) {
        Ok(hash) => line(told, format_args!("{hash} {}", path.display())),
        Err(e) => line(told, format_args!("not read: {e}: {}", path.display())),
    }
}

fn stat(told: &mut String, path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(meta) => line(
            told,
            format_args!(
                "{:o} uid {} gid {} {} bytes {}",
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.len(),
                path.display()
            ),
        ),
        Err(e) => line(told, format_args!("not there: {e}: {}", path.display())),
    }
}

fn disk(told: &mut String, folder: &Path) {
    match rustix::fs::statvfs(folder) {
        Ok(disk) => {
            let (free, all) =
                (disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize));
            line(
                told,
                format_args!("disk of {}: {free} of {all} bytes free, {} files free", folder.display(), disk.f_favail),
            );
        }
        Err(e) => line(told, format_args!("disk of {}: {e}", folder.display())),
    }
}

fn line(told: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(told, "{text}");
}
