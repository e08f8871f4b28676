//! A terminal, for commands that ask a person.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::vault::Done;

/// Runs a command at a terminal of its own, where this is typed. Gives how it ended, and what the terminal showed.
pub(crate) fn at_a_terminal(command: &mut Command, typed: &str) -> (Done, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut master = File::from(master);
    command.stdin(slave.try_clone().unwrap()).stderr(slave).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    // What is typed ahead is kept until it is read.
    master.write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    // Nobody else has it open any more: what was shown ends with an error.
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let mut shown = Vec::new();
    let _ = master.read_to_end(&mut shown);
    let shown = String::from_utf8(shown).unwrap();
    (Done::from(output), shown.strip_prefix(typed.replace('\n', "\r\n").as_str()).unwrap_or(&shown).to_owned())
}
