use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use local_vault::protocol::json;
use rustix::process::{Pid, Signal, kill_process};

use super::super::vault::Vault;
use super::flip;

/// An `audit follow` that goes on until the test ends.
struct Follow {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Follow {
    /// Starts it with the last entry, and waits for that.
    fn start(vault: &Vault) -> Self {
        let mut command = vault.command(&["audit", "follow", "--format", "jsonl", "--last", "1"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut follow = Self { child, lines };
        follow.next();
        follow
    }

    /// The next line's kind.
    fn next(&mut self) -> String {
        let line = self.lines.next().expect("it goes on").unwrap();
        let entry = json::parse(line.as_bytes()).unwrap();
        entry.get_object("entry").unwrap().get_str("kind").unwrap().to_owned()
    }

    fn until(&mut self, kind: &str) -> Vec<String> {
        let mut kinds = vec![self.next()];
        while kinds.last().unwrap() != kind {
            kinds.push(self.next());
        }
        kinds
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn entries_are_shown_as_they_come_until_it_is_told_to_end() {
    for signal in [Signal::TERM, Signal::INT] {
        let vault = Vault::with_an_event();
        let mut follow = Follow::start(&vault);
        vault.ok(&["spool", "rotate"]);
        assert_eq!(follow.until("CommandEnded")[0], "CommandBegun");
        kill_process(Pid::from_child(&follow.child), signal).unwrap();
        assert_eq!(follow.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_log_that_takes_the_place_of_another_is_followed_from_its_beginning() {
    let vault = Vault::with_an_event();
    let mut follow = Follow::start(&vault);
    flip(&vault, 2);
    vault.ok(&["audit", "recover", "--reason", "a test changed it"]);
    assert_eq!(follow.until("CommandEnded")[..2], ["LogBegun", "CommandBegun"]);
}
