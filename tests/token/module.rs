//! The vendor's library, before anything of it runs.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};

use super::place::{Done, Place};

const OTHER: &str = "Install the module for this machine, or mend the path.";

/// A place whose module is another file of this content.
fn with_module(content: &[u8]) -> Place {
    let place = Place::new(&[]);
    place.write("other.so", content);
    fs::set_permissions(place.path("other.so"), Permissions::from_mode(0o755)).unwrap();
    place.reconfigure("module.so", "other.so");
    place
}

fn list(place: &Place) -> Done {
    place.run(&["custody", "list"])
}

fn chmod(place: &Place, name: &str, mode: u32) {
    fs::set_permissions(place.path(name), Permissions::from_mode(mode)).unwrap();
}

/// The head of a library for a machine (System V ABI, "ELF Header").
fn elf(machine: u8) -> Vec<u8> {
    let mut head = b"\x7fELF\x02\x01\x01".to_vec();
    head.resize(16, 0);
    head.extend([3, 0, machine, 0]);
    head.resize(64, 0);
    head
}

#[test]
fn a_module_that_is_not_there_is_named() {
    let place = Place::new(&[]);
    place.reconfigure("module.so", "gone.so");
    list(&place).fails(
        78,
        &format!(
            "cannot read the PKCS#11 module {}: No such file or directory (os error 2) (pkcs11: load)",
            place.shown("gone.so")
        ),
        "Install the vendor's package, or mend custody.pkcs11.module.",
    );
}

#[test]
fn a_module_for_another_machine_is_named_as_such() {
    let (other, name) = if cfg!(target_arch = "x86_64") { (183, "aarch64") } else { (62, "x86_64") };
    let place = with_module(&elf(other));
    let what = format!("{} is a library for {name}, and this is {}", place.shown("other.so"), std::env::consts::ARCH);
    list(&place).fails(78, &format!("{what} (pkcs11: load)"), OTHER);
}

#[test]
fn what_is_no_library_is_not_loaded() {
    let place = with_module(b"#!/bin/sh\nexit 0\n");
    list(&place).fails(78, &format!("{} is not a shared library (pkcs11: load)", place.shown("other.so")), OTHER);
    let place = Place::new(&[]);
    place.reconfigure("module.so", ".");
    let advice = "Name the module itself.";
    let folder = place.path("");
    let folder = folder.canonicalize().unwrap();
    list(&place).fails(78, &format!("{} is not a file (pkcs11: load)", folder.display()), advice);
}

#[test]
fn a_library_that_is_no_pkcs11_module_is_refused() {
    // A library of this machine that has nothing to do with tokens.
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps.lines().find_map(|line| line.split_whitespace().nth(5).filter(|path| path.contains("libc.so")));
    let place = with_module(&fs::read(libc.unwrap()).unwrap());
    let other = place.shown("other.so");
    list(&place).fails(
        78,
        &format!("cannot load the PKCS#11 module {other}: Missing PKCS#11 symbol: C_GetFunctionList (pkcs11: load)"),
        "Install what it needs, or mend custody.pkcs11.module.",
    );
}

#[test]
fn a_library_that_does_not_load_is_an_error_of_two_lines() {
    // Cut off behind its head, but for the name of the one function that a module has.
    let machine = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    let place = with_module(&[elf(machine).as_slice(), b"\0C_GetFunctionList\0"].concat());
    let done = list(&place);
    assert_eq!((done.code, done.err.lines().count()), (Some(78), 2), "{done:?}");
    assert!(done.err.starts_with(&format!("Error: cannot load the PKCS#11 module {}: ", place.shown("other.so"))));
    assert!(done.err.ends_with("\nInstall what it needs, or mend custody.pkcs11.module.\n"), "{done:?}");
}

#[test]
fn a_module_that_others_may_write_is_not_loaded() {
    for mode in [0o775, 0o757, 0o666] {
        let place = Place::new(&[]);
        chmod(&place, "module.so", mode);
        let module = place.shown("module.so");
        list(&place).fails(
            78,
            &format!("the PKCS#11 module {module} may be written by others (mode {mode:03o}) (pkcs11: load)"),
            &format!("Make sure that it is the vendor's, then run: chmod go-w {module}"),
        );
        chmod(&place, "module.so", 0o755);
        list(&place).ok();
    }
}

#[test]
fn a_module_that_belongs_to_another_user_is_not_loaded() {
    if !rustix::process::geteuid().is_root() {
        println!("not run: only root gives files away");
        return;
    }
    let place = Place::new(&[]);
    chown(place.path("module.so"), Some(65534), None).unwrap();
    let module = place.shown("module.so");
    list(&place).fails(
        78,
        &format!("the PKCS#11 module {module} belongs to uid 65534, not to root or uid 0 (pkcs11: load)"),
        &format!("Make sure that it is the vendor's, then run: chown root {module}"),
    );
}

#[test]
fn a_module_in_a_folder_of_another_user_is_not_loaded() {
    if !rustix::process::geteuid().is_root() {
        println!("not run: only root gives folders away");
        return;
    }
    let place = Place::new(&[]);
    fs::create_dir_all(place.path("theirs/lib")).unwrap();
    fs::rename(place.path("module.so"), place.path("theirs/lib/module.so")).unwrap();
    place.reconfigure("module.so", "theirs/lib/module.so");
    chown(place.path("theirs"), Some(65534), None).unwrap();
    let theirs = place.shown("theirs");
    list(&place).fails(
        78,
        &format!(
            "the folder {theirs}, where the PKCS#11 module lies, belongs to uid 65534, not to root or uid 0 (pkcs11: load)"
        ),
        "Install the module where root alone may write.",
    );
}

#[test]
fn a_module_in_a_folder_that_anybody_may_write_is_not_loaded() {
    let place = Place::new(&[]);
    fs::create_dir_all(place.path("loose/lib")).unwrap();
    fs::rename(place.path("module.so"), place.path("loose/lib/module.so")).unwrap();
    place.reconfigure("module.so", "loose/lib/module.so");
    chmod(&place, "loose", 0o777);
    let loose = place.shown("loose");
    list(&place).fails(
        78,
        &format!("anybody may write the folder {loose}, where the PKCS#11 module lies (pkcs11: load)"),
        &format!("Run: chmod o-w {loose}"),
    );
    // As in /tmp: nobody may touch what is another's.
    chmod(&place, "loose", 0o1777);
    list(&place).ok();
}

#[test]
fn a_link_to_the_module_is_followed_before_anything_is_checked() {
    let place = Place::new(&[]);
    fs::create_dir(place.path("loose")).unwrap();
    fs::rename(place.path("module.so"), place.path("loose/module.so")).unwrap();
    std::os::unix::fs::symlink("loose/module.so", place.path("module.so")).unwrap();
    list(&place).ok();
    chmod(&place, "loose", 0o777);
    assert_eq!(list(&place).code, Some(78));
}

#[test]
fn a_module_that_does_not_start_is_away() {
    let place = Place::new(&["source"]);
    let mut command = place.command(&["custody", "list"]);
    let done = Done::of(command.env("SOFTHSM2_CONF", place.path("no.conf")));
    done.fails(
        69,
        &format!("the PKCS#11 module {} does not start (C_Initialize: CKR_GENERAL_ERROR)", place.shown("module.so")),
        "Check its own configuration, and the vendor's log.",
    );
}
