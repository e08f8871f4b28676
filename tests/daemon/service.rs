use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use local_vault::protocol::json::{Object, Value};
use rustix::process::{Pid, Signal, kill_process};

use super::client::{Answer, Client};
use super::support::wait_until;
use super::vault::Vault;

/// A `run` that ends with the test.
pub(crate) struct Service {
    child: Child,
    socket: PathBuf,
    said: Arc<Mutex<String>>,
    listening: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts one with this vault's config file, and waits until it answers.
    pub(crate) fn of(vault: &Vault) -> Self {
        Self::start(&mut vault.command(&["run"]), &vault.path("spool.sqlite3.sock"))
    }

    /// The same with more in its environment.
    pub(crate) fn start(command: &mut Command, socket: &Path) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (said, err) = (Arc::new(Mutex::new(String::new())), child.stderr.take().unwrap());
        let heard = said.clone();
        let listening = thread::spawn(move || {
            for line in BufReader::new(err).lines() {
                heard.lock().unwrap().push_str(&(line.unwrap() + "\n"));
            }
        });
        let mut service = Self { child, socket: socket.to_owned(), said, listening: Some(listening) };
        wait_until(|| {
            assert_eq!(service.child.try_wait().unwrap(), None, "{}", service.said());
            std::os::unix::net::UnixStream::connect(socket).ok()
        });
        service
    }

    /// A connection to it.
    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.socket)
    }

    /// Submits a payload over a connection of its own.
    pub(crate) fn submit(&self, source_ref: &str) -> Answer {
        self.client().payload("s", source_ref, "{}")
    }

    pub(crate) fn status(&self) -> Object {
        self.client().get("/v1/status").object()
    }

    /// Its status, once this is so.
    #[track_caller]
    pub(crate) fn until(&self, is: impl Fn(&Object) -> bool) -> Object {
        wait_until(|| Some(self.status()).filter(&is))
    }

    /// Its status, once it is in this state.
    #[track_caller]
    pub(crate) fn until_state(&self, state: &str) -> Object {
        self.until(|status| status.get_str("state") == Some(state))
    }

    /// Waits until so many events are in a state.
    #[track_caller]
    pub(crate) fn until_events(&self, state: &str, count: i64) -> Object {
        self.until(|status| events(status, state) == Some(count))
    }

    /// What it wrote on standard error so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn until_said(&self, what: &str) {
        wait_until(|| self.said().contains(what).then_some(()));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it has ended. Gives how, and all that it wrote on standard error.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let status = wait_until(|| self.child.try_wait().unwrap());
        self.listening.take().unwrap().join().unwrap();
        (status, self.said())
    }

    /// Asks it to end, which it must do well. Gives all that it wrote on standard error.
    #[track_caller]
    pub(crate) fn end(self) -> String {
        self.signal(Signal::TERM);
        let (status, said) = self.wait();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }

    /// Ends it as a loss of power does.
    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
        assert_eq!(self.wait().0.signal(), Some(9));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many events a status has in a state.
pub(crate) fn events(status: &Object, state: &str) -> Option<i64> {
    let totals = status.get_object("spool")?.get_object("states")?.get_object(state)?;
    totals.get("events").and_then(Value::as_i64)
}

/// What `status` says of the service itself.
pub(crate) fn service<'a>(status: &'a Object, name: &str) -> &'a Value {
    status.get_object("service").unwrap().get(name).unwrap()
}
