use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error;
use crate::custody::{CustodyError, ErrorKind};
use crate::facts::Digest;

/// A vendor's module as it lies on the disk, checked before it is loaded into this process.
#[derive(Debug)]
pub(super) struct ModuleFile {
    /// Without links.
    pub(super) path: PathBuf,
    pub(super) digest: Digest,
}

/// Larger than any vendor's.
const LARGEST: u64 = 256 << 20;

impl ModuleFile {
    /// Checks that nobody but root and this user can have written the file, or put another one in its place, and that
    /// it is a library for this machine.
    pub(super) fn check(path: &Path) -> Result<Self, CustodyError> {
        let unreadable = |e: io::Error| {
            let kind = if e.kind() == io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Misconfigured };
            let message = format!("cannot read the PKCS#11 module {}: {e}", path.display());
            error(kind, "load", message, "Install the vendor's package, or mend custody.pkcs11.module.")
        };
        let path = fs::canonicalize(path).map_err(unreadable)?;
        let shown = path.display();
        let mut file = File::open(&path).map_err(unreadable)?;
        let meta = file.metadata().map_err(unreadable)?;
        let refuse = |what: String, advice: String| error(ErrorKind::Misconfigured, "load", what, advice);
        if meta.len() > LARGEST {
            return Err(refuse(format!("{shown} is larger than any module"), "Name the module itself.".into()));
        }
        if !meta.is_file() {
            return Err(refuse(format!("{shown} is not a file"), "Name the module itself.".into()));
        }
        if meta.mode() & 0o022 != 0 {
            let what =
                format!("the PKCS#11 module {shown} may be written by others (mode {:03o})", meta.mode() & 0o777);
            return Err(refuse(what, format!("Make sure that it is the vendor's, then run: chmod go-w {shown}")));
        }
        let me = rustix::process::geteuid().as_raw();
        if meta.uid() != 0 && meta.uid() != me {
            let what = format!("the PKCS#11 module {shown} belongs to uid {}, not to root or uid {me}", meta.uid());
            return Err(refuse(what, format!("Make sure that it is the vendor's, then run: chown root {shown}")));
        }
        check_folders(&path, me)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(unreadable)?;
        check_machine(&bytes).map_err(|what| {
            refuse(format!("{shown} {what}"), "Install the module for this machine, or mend the path.".into())
        })?;
        let digest = Digest::of(&bytes);
        Ok(Self { path, digest })
    }
}

/// Whoever may write a folder above the module may exchange it, its owner first. Sticky folders keep others' hands off.
fn check_folders(path: &Path, me: u32) -> Result<(), CustodyError> {
    const STICKY: u32 = 0o1000;
    for folder in path.ancestors().skip(1) {
        // One that cannot be looked at is not on the way to a file that was opened.
        let Ok(meta) = fs::metadata(folder) else { continue };
        if meta.uid() != 0 && meta.uid() != me {
            let whose = format!("belongs to uid {}, not to root or uid {me}", meta.uid());
            let what = format!("the folder {}, where the PKCS#11 module lies, {whose}", folder.display());
            let advice = "Install the module where root alone may write.";
            return Err(error(ErrorKind::Misconfigured, "load", what, advice));
        }
        if meta.mode() & 0o002 != 0 && meta.mode() & STICKY == 0 {
            let what = format!("anybody may write the folder {}, where the PKCS#11 module lies", folder.display());
            let advice = format!("Run: chmod o-w {}", folder.display());
            return Err(error(ErrorKind::Misconfigured, "load", what, advice));
        }
    }
    Ok(())
}

/// Reads the head of an ELF file (System V ABI, "ELF Header"): the machine it is for.
fn check_machine(bytes: &[u8]) -> Result<(), String> {
    let Some((head, _)) = bytes.split_first_chunk::<20>().filter(|(head, _)| head.starts_with(b"\x7fELF")) else {
        return Err("is not a shared library".into());
    };
    let machine = if head[5] == 1 { [head[18], head[19]] } else { [head[19], head[18]] };
    let (class, machine) = (head[4], u16::from_le_bytes(machine));
    let ours = OURS;
    if (class, machine) == ours {
        return if is_whole(bytes) { Ok(()) } else { Err("is cut off".into()) };
    }
    Err(format!("is a library for {}, and this is {}", name(class, machine), name(ours.0, ours.1)))
}

/// Whether the file has every byte that its program headers ask for: mapping one that was cut off ends the process.
/// Looks at 64-bit files alone (System V ABI, "Program Header"), in this machine's order of bytes.
fn is_whole(bytes: &[u8]) -> bool {
    let number = |at: usize, length: usize| -> Option<u64> {
        let mut padded = [0; 8];
        let field = bytes.get(at..at.checked_add(length)?)?;
        if cfg!(target_endian = "little") {
            padded[..length].copy_from_slice(field);
            Some(u64::from_le_bytes(padded))
        } else {
            padded[8 - length..].copy_from_slice(field);
            Some(u64::from_be_bytes(padded))
        }
    };
    let holds = || -> Option<bool> {
        let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count).try_fold(true, |whole, n| {
            let header = usize::try_from(table.checked_add(n * size)?).ok()?;
            let end = number(header.checked_add(8)?, 8)?.checked_add(number(header.checked_add(32)?, 8)?)?;
            Some(whole && end <= bytes.len() as u64)
        })
    };
    OURS.0 != 2 || holds().unwrap_or(false)
}

/// EI_CLASS and e_machine of this program.
const OURS: (u8, u16) = match (cfg!(target_pointer_width = "64"), cfg!(target_arch = "x86_64")) {
    (true, true) => (2, 62),
    (true, false) if cfg!(target_arch = "aarch64") => (2, 183),
    (true, _) if cfg!(target_arch = "riscv64") => (2, 243),
    (true, _) if cfg!(target_arch = "s390x") => (2, 22),
    (true, _) if cfg!(target_arch = "powerpc64") => (2, 21),
    (false, _) if cfg!(target_arch = "arm") => (1, 40),
    (false, _) if cfg!(target_arch = "x86") => (1, 3),
    _ => panic!("a machine whose ELF number is not known here"),
};

fn name(class: u8, machine: u16) -> String {
    match (class, machine) {
        (1, 3) => "x86".into(),
        (1, 40) => "arm".into(),
        (2, 21) => "powerpc64".into(),
        (2, 22) => "s390x".into(),
        (2, 62) => "x86_64".into(),
        (2, 183) => "aarch64".into(),
        (2, 243) => "riscv64".into(),
        (class, machine) => format!("another machine (ELF {machine}, {} bit)", if class == 1 { 32 } else { 64 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(class: u8, machine: u16) -> Vec<u8> {
        let mut head = b"\x7fELF".to_vec();
        head.extend([class, 1]);
        head.resize(18, 0);
        head.extend(machine.to_le_bytes());
        head.resize(64, 0);
        head
    }

    #[test]
    fn a_library_for_another_machine_is_named_as_such() {
        assert_eq!(check_machine(&head(OURS.0, OURS.1)), Ok(()));
        let other = if OURS == (2, 183) { (2, 62) } else { (2, 183) };
        let said = check_machine(&head(other.0, other.1)).unwrap_err();
        assert!(said.starts_with(&format!("is a library for {}", name(other.0, other.1))), "{said}");
        assert_eq!(check_machine(b"#!/bin/sh\n"), Err("is not a shared library".into()));
    }

    #[test]
    fn a_library_that_was_cut_off_is_named_as_such() {
        let whole = fs::read("/proc/self/exe").unwrap();
        assert_eq!(check_machine(&whole), Ok(()));
        assert_eq!(check_machine(&whole[..4096]), Err("is cut off".into()));
        assert_eq!(check_machine(&whole[..40]), Err("is cut off".into()));
    }
}
