use std::fs::File;
use std::io::{self, Read, Write};

use rustix::fs::{Mode, OFlags};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// Asks a person at the terminal for a line that is not shown. Blocks until it is typed.
///
/// Echo goes before the question comes, and what was typed until then is thrown away: whoever answers at once, as a
/// program does, would else be shown. (The crate for this asks first.)
pub(super) fn ask(question: &str, longest: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let terminal = File::from(rustix::fs::open("/dev/tty", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?);
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    silent.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON);
    tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
    let _restore = Restore { terminal: &terminal, before: &before };
    (&terminal).write_all(question.as_bytes())?;
    // Room for everything, so that no half-read copy stays behind when the vector grows.
    let mut line = Zeroizing::new(Vec::with_capacity(longest));
    let mut byte = Zeroizing::new([0; 1]);
    while line.len() < longest && (&terminal).read(&mut *byte)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    Ok(line)
}

/// Gives the terminal back as it was.
struct Restore<'a> {
    terminal: &'a File,
    before: &'a Termios,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Now, self.before);
    }
}
