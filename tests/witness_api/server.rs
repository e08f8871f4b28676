use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use local_vault::custody::Signer;
use local_vault::facts::SystemClock;
use local_vault::http::socket::Listener;
use local_vault::http::{Body, JSON, Patience, mutual, respond};
use local_vault::protocol::json::Object;
use local_vault::protocol::witness::Submission;
use local_vault::witness::{
    Api, Archive, Callers, Closing, Counter, Desk, Inside, Metrics, Peer, Policy, Presence, Setup, Submitter, Witness,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::client::{Answer, Client};
use super::custody::signing_key;
use super::mutual::Authority;
use super::witness::{AS_PUBLISHED, setup, signer};

/// Only what is broken takes as long.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);

/// A witness that is asked over a socket and over mTLS.
pub(crate) struct Server {
    folder: TempDir,
    runtime: Runtime,
    pub(crate) presence: watch::Sender<Presence>,
    pub(crate) signer: Signer,
    closing: Option<Closing>,
    pub(crate) forks: mpsc::Receiver<Object>,
    stop: watch::Sender<bool>,
    serving: Vec<JoinHandle<()>>,
    pub(crate) authority: Authority,
    pub(crate) port: u16,
}

impl Server {
    /// For root and ourselves, who are the operator; first use is accepted.
    pub(crate) fn start() -> Self {
        Self::with(Vec::new(), PATIENT, "ins_1", setup(signer("witness-1", signing_key(3))))
    }

    /// The same with a list.
    pub(crate) fn for_submitters(submitters: Vec<Submitter>) -> Self {
        Self::with(submitters, PATIENT, "ins_1", setup(signer("witness-1", signing_key(3))))
    }

    /// The same, and an authority that issued certificates already.
    pub(crate) fn of_authority(submitters: Vec<Submitter>, authority: Authority) -> Self {
        Self::of(submitters, PATIENT, "ins_1", setup(signer("witness-1", signing_key(3))), authority)
    }

    pub(crate) fn with(submitters: Vec<Submitter>, patience: Duration, witness_id: &str, setup: Setup) -> Self {
        Self::of(submitters, patience, witness_id, setup, Authority::new())
    }

    pub(crate) fn of(
        submitters: Vec<Submitter>,
        patience: Duration,
        witness_id: &str,
        setup: Setup,
        authority: Authority,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let signer = setup.signers[0].clone();
        let rules = setup.rules;
        let inside = runtime.enter();
        let witness = Witness::open(&folder.path().join("witness.sqlite3"), setup).unwrap();
        let metrics = Metrics::default();
        let (desk, closing) = Desk::measured(witness, metrics.clone()).unwrap();
        let policy = Policy { rules, peers: Vec::new(), quorum: 1 };
        let counter = Counter::open(desk, witness_id, policy, Arc::new(SystemClock)).unwrap();
        let presence = watch::Sender::new(Presence::There(counter));
        let (found, forks) = mpsc::channel(16);
        let (stop, stopped) = watch::channel(false);
        let callers = Arc::new(Callers::new(submitters, own_uid()));
        let archive = Archive::at(folder.path().join("witness.sqlite3"));
        let behind = Inside { presence: presence.subscribe(), archive, closed: stopped.clone() };
        let api = Arc::new(Api::new(behind, callers.clone(), found, metrics, patience));

        let waits = Patience { head: patience, answer: patience };
        let local = api.clone();
        let answer = move |peer: local_vault::http::socket::Peer, request| {
            let api = local.clone();
            async move { api.answer(Peer::Uid(peer.uid), request).await.unwrap_or_else(|_| elsewhere()) }
        };
        let listener = Listener::bind(&folder.path().join("s.sock"), 0o600).unwrap();
        let knows = callers.clone();
        let mut serving =
            vec![runtime.spawn(listener.serve(waits, move |uid| knows.knows(uid), answer, stopped.clone()))];

        let files = authority.write_server_files(folder.path());
        let listener = runtime.block_on(mutual::Listener::bind("127.0.0.1:0".parse().unwrap(), &files)).unwrap();
        let port = listener.address().unwrap().port();
        let answer = move |peer: mutual::Peer, request| {
            let api = api.clone();
            async move { api.answer(Peer::Key(peer.key), request).await.unwrap_or_else(|_| elsewhere()) }
        };
        serving.push(runtime.spawn(listener.serve(waits, move |key| callers.knows_key(key), answer, stopped)));
        drop(inside);
        let closing = Some(closing);
        Self { folder, runtime, presence, signer, closing, forks, stop, serving, authority, port }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("witness.sqlite3")
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.folder.path().join("s.sock"))
    }

    pub(crate) fn post(&self, path: &str, body: &Object) -> Answer {
        self.client().post(path, JSON, &body.to_canonical())
    }

    pub(crate) fn submit(&self, submission: &Submission) -> Answer {
        self.post("/witness/v1/checkpoints", &submission.to_object())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.client().get(path)
    }

    /// Ends as the service does: whoever was let in is answered, and then the desk is closed.
    pub(crate) fn end(&mut self) {
        self.stop.send_replace(true);
        for serving in self.serving.drain(..) {
            self.runtime.block_on(serving).unwrap();
        }
        let Presence::There(counter) = self.presence.send_replace(Presence::Ending) else { return };
        if let Some(closing) = self.closing.take() {
            self.runtime.block_on(closing.close(counter.desk.clone()));
        }
    }
}

/// Somebody over the local socket who is this process's user, by name and tenants.
pub(crate) fn local(name: &str, tenants: &[&str]) -> Submitter {
    Submitter { uid: Some(own_uid()), ..listed(name, tenants) }
}

pub(crate) fn listed(name: &str, tenants: &[&str]) -> Submitter {
    let tenants: BTreeSet<String> = tenants.iter().map(|tenant| (*tenant).to_owned()).collect();
    Submitter { name: name.into(), tenants, uid: None, key: None, per_second: None }
}

/// The setup that refuses a stream that nobody added.
pub(crate) fn strict() -> Setup {
    let rules =
        local_vault::protocol::witness::Rules { first_use: false, longest_jump: Some(10), evidence_each_time: false };
    assert_ne!(rules, AS_PUBLISHED);
    Setup { rules, ..setup(signer("witness-1", signing_key(3))) }
}

/// The code of a refusal.
pub(crate) fn code(answer: &Answer) -> String {
    let object = answer.object();
    let error = object.get_object("error").unwrap_or_else(|| panic!("{}: {object:?}", answer.status));
    error.get_str("code").unwrap().to_owned()
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn elsewhere() -> hyper::Response<Body> {
    respond(hyper::StatusCode::IM_A_TEAPOT, "text/plain", "elsewhere")
}
