//! A sandbox receiver in a process of its own, which ends with the test. Each test crate uses a part of this.

#![allow(dead_code, clippy::unwrap_used)]

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use local_vault::protocol::json::{self, Object, Value};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Only a sandbox that is broken takes as long.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Sandbox {
    child: Child,
    folder: TempDir,
    ready: Object,
}

impl Sandbox {
    /// Starts `serve` with these arguments, beside a ready file and a record of its own.
    pub(crate) fn start<S: AsRef<str>>(arguments: &[S]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-vault-sandbox"));
        command.arg("serve").arg("--ready-file").arg(folder.path().join("ready.json"));
        command.arg("--record").arg(folder.path().join("record.jsonl"));
        command.args(arguments.iter().map(AsRef::as_ref)).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let ready = wait_until(|| {
            if let Some(status) = child.try_wait().unwrap() {
                let mut said = String::new();
                child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("the sandbox ended with {status}: {said}");
            }
            fs::read(folder.path().join("ready.json")).ok()
        });
        Self { child, folder, ready: json::parse(&ready).unwrap() }
    }

    /// Starts with one trusted installation.
    pub(crate) fn trusting(installation_id: &str, public_key_hex: &str) -> Self {
        Self::start(&["--trust", &format!("{installation_id}={public_key_hex}")])
    }

    /// What the ready file says.
    pub(crate) const fn ready(&self) -> &Object {
        &self.ready
    }

    /// The events endpoint of the first trusted installation.
    pub(crate) fn url(&self) -> &str {
        self.ready.get_str("url").unwrap()
    }

    /// Scheme, host and port, with `path` behind it.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.ready.get_str("base_url").unwrap())
    }

    /// The certificate to trust.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.ready.get_str("ca_file").unwrap().into()
    }

    /// A client with a pool of its own, which trusts the sandbox and follows no redirect.
    pub(crate) fn client(&self) -> reqwest::Client {
        let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let builder = match self.ready.get_str("ca_file") {
            Some(path) => {
                let ca = reqwest::Certificate::from_pem(&fs::read(path).unwrap()).unwrap();
                builder.tls_certs_only([ca])
            }
            None => builder,
        };
        builder.build().unwrap()
    }

    /// Answers the next events so, `None` for until told otherwise.
    pub(crate) async fn behave(&self, mode: &str, times: Option<u32>) {
        self.behave_on("events", mode, times).await;
    }

    /// The same on another path: `checkpoints` or `feed`.
    pub(crate) async fn behave_on(&self, path: &str, mode: &str, times: Option<u32>) {
        let order = Object::new().with("mode", mode).with("times", times).with("on", path);
        self.order("/sandbox/behave", &order).await;
    }

    /// Puts these behind what is in the feed.
    pub(crate) async fn feed(&self, submissions: Vec<Value>) {
        self.order("/sandbox/feed", &Object::new().with("submissions", submissions)).await;
    }

    async fn order(&self, path: &str, order: &Object) {
        let response = self.client().post(self.at(path)).body(order.to_canonical()).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }

    /// What has happened since the start.
    pub(crate) async fn stats(&self) -> Object {
        let response = self.client().get(self.at("/sandbox/stats")).send().await.unwrap();
        json::parse(&response.bytes().await.unwrap()).unwrap()
    }

    /// One of the counts of the statistics.
    pub(crate) async fn count(&self, name: &str) -> i64 {
        self.stats().await.get(name).and_then(Value::as_i64).unwrap()
    }

    /// Every byte of every request, a line of JSON each.
    pub(crate) fn record(&self) -> Vec<u8> {
        fs::read(self.record_file()).unwrap()
    }

    pub(crate) fn record_file(&self) -> PathBuf {
        self.folder.path().join("record.jsonl")
    }

    /// The requests to the events endpoints, in the order in which they were answered.
    pub(crate) fn recorded_events(&self) -> Vec<Object> {
        let record = self.record();
        let lines = record.split_inclusive(|&c| c == b'\n').filter(|line| line.ends_with(b"\n"));
        let requests = lines.map(|line| json::parse(line).unwrap());
        requests.filter(|request| request.get_str("path").unwrap().ends_with("/events")).collect()
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        wait_until(|| self.child.try_wait().unwrap())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again, since a process tells nobody when it has got somewhere.
pub(crate) fn wait_until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "nothing happened for {DEADLINE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}
