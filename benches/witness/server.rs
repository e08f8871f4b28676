use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use local_vault::facts::SystemClock;
use local_vault::http::socket::{Listener, MODE};
use local_vault::http::{JSON, Patience, respond};
use local_vault::witness::{
    Api, Archive, Callers, Closing, Counter, Desk, Inside, Metrics, Peer, Policy, Presence, Submitter,
};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::place::{Place, RULES};

/// The service as the shell builds it: two workers, the API over the local socket.
pub(crate) struct Server {
    socket: PathBuf,
    runtime: Runtime,
    desk: Desk,
    closing: Closing,
    _presence: watch::Sender<Presence>,
    _stop: watch::Sender<bool>,
}

impl Server {
    pub(crate) fn start(place: &Place, name: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let inside = runtime.enter();
        let metrics = Metrics::default();
        let (desk, closing) = Desk::measured(place.open(name), metrics.clone()).unwrap();
        let policy = Policy { rules: RULES, peers: Vec::new(), quorum: 1 };
        let counter = Counter::open(desk.clone(), crate::place::WITNESS, policy, Arc::new(SystemClock)).unwrap();
        let presence = watch::Sender::new(Presence::There(counter));
        let (found, _) = mpsc::channel(16);
        let (stop, stopped) = watch::channel(false);
        let uid = rustix::process::geteuid().as_raw();
        let submitter = Submitter {
            name: "bench".into(),
            tenants: BTreeSet::from(["ten_bench".into()]),
            uid: Some(uid),
            key: None,
            per_second: None,
        };
        let callers = Arc::new(Callers::new(vec![submitter], uid));
        let archive = Archive::at(desk.path().to_owned());
        let behind = Inside { presence: presence.subscribe(), archive, closed: stopped.clone() };
        let api = Arc::new(Api::new(behind, callers, found, metrics, Duration::from_secs(30)));
        let handler = move |peer: local_vault::http::socket::Peer, request| {
            let api = api.clone();
            async move {
                let elsewhere = |_| respond(hyper::StatusCode::NOT_FOUND, JSON, "{}");
                api.answer(Peer::Uid(peer.uid), request).await.unwrap_or_else(elsewhere)
            }
        };
        let socket = place.path(&format!("{name}.sock"));
        let listener = Listener::bind(&socket, MODE).unwrap();
        runtime.spawn(listener.serve(Patience::default(), |_| true, handler, stopped));
        drop(inside);
        Self { socket, runtime, desk, closing, _presence: presence, _stop: stop }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn end(self) {
        self.runtime.block_on(self.closing.close(self.desk));
    }
}
