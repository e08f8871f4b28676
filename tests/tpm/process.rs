use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use local_vault::protocol::json::{self, Object};
use rustix::process::{Pid, Signal, kill_process};

use super::tpm_proxy::Proxy;

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::from(command.output().unwrap())
    }

    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// It ended with this code, and with these two lines alone on standard error.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, what: &str, advice: &str) {
        let expected = format!("Error: {what}.\n{advice}\n");
        assert_eq!((self.code, self.err.as_str()), (Some(code), expected.as_str()), "{self:?}");
    }

    /// It ended with this code, and said this.
    #[track_caller]
    pub(crate) fn says(&self, code: i32, what: &str) {
        assert!(self.code == Some(code) && self.err.contains(what), "{code}: {what}: {self:?}");
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Runs a command that is killed when the TPM has done so many commands for it. Whether it lived as long.
pub(crate) fn killed_after(commands: usize, proxy: &Proxy, command: &mut Command) -> bool {
    let (say, said) = mpsc::channel();
    proxy.after(commands, move || {
        let pid: Pid = said.recv().unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    });
    let mut child = command.spawn().unwrap();
    say.send(Pid::from_child(&child)).unwrap();
    let status = child.wait().unwrap();
    let happened = proxy.has_happened();
    assert!(happened || status.success(), "{status}");
    happened
}

/// Only a command that is broken says nothing for so long.
const DEADLINE: Duration = Duration::from_secs(60);

/// A `drain-loop` that goes on until the test ends.
pub(crate) struct Loop {
    child: Child,
    lines: Receiver<String>,
    said: Option<JoinHandle<String>>,
}

impl Loop {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || BufReader::new(out).lines().try_for_each(|line| sender.send(line.unwrap())));
        let said = thread::spawn(move || {
            let mut said = String::new();
            err.read_to_string(&mut said).unwrap();
            said
        });
        Self { child, lines, said: Some(said) }
    }

    /// The next line of which this is true.
    pub(crate) fn until(&self, is: impl Fn(&Object) -> bool) -> Object {
        loop {
            let line = self.lines.recv_timeout(DEADLINE).expect("a line of the loop");
            let line = json::parse(line.as_bytes()).unwrap();
            if is(&line) {
                return line;
            }
        }
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(format!("/proc/{}/{name}", self.child.id())).unwrap()
    }

    /// Asks it to end, which it must do well. Gives what it wrote on standard error.
    pub(crate) fn end(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        let said = self.said.take().unwrap().join().unwrap();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
