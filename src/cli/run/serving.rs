use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::BODY;
use super::health::Health;
use super::telling::{Telling, WAITING};
use super::witnessing::{Witnessing, callers};
use crate::cli::failure::Failure;
use crate::cli::stop::Stop;
use crate::cli::vault::Vault;
use crate::http::mutual::{self, Files, Listener};
use crate::http::{Patience, respond};
use crate::protocol::json::Object;
use crate::witness::{Api, Archive, Callers, Inside, Metrics, Peer, Presence};

/// What there is of the witness before it is open.
pub(super) struct Serving {
    pub(super) api: Arc<Api>,
    pub(super) callers: Arc<Callers>,
    pub(super) metrics: Metrics,
    pub(super) presence: watch::Sender<Presence>,
    found: mpsc::Sender<Object>,
    forks: mpsc::Receiver<Object>,
    listener: Option<Listener>,
}

/// What goes on for the witness while the service runs.
#[derive(Default)]
pub(super) struct Tasks {
    serving: Option<JoinHandle<()>>,
    telling: Option<JoinHandle<()>>,
    witnessing: Option<JoinHandle<()>>,
}

impl Serving {
    /// `None` where the service does not witness. `closed` becomes true when the service ends. Listens, so that an address that cannot be used stops the start.
    pub(super) async fn of(vault: &Vault, closed: watch::Receiver<bool>) -> Result<Option<Self>, Failure> {
        let settings = &vault.settings.witness;
        if !settings.is_served() {
            return Ok(None);
        }
        let listener = match &settings.listen {
            Some(listen) => {
                let (certificate, key) = (listen.certificate.clone(), listen.key.clone());
                let files = Files { certificate, key, client_ca: listen.client_ca.clone() };
                let listener = Listener::bind(listen.address, &files).await?;
                if let Ok(address) = listener.address() {
                    tracing::info!(url = format!("https://{address}/witness/v1"), "checkpoints are taken over mTLS");
                }
                Some(listener)
            }
            None => None,
        };
        let (callers, metrics) = (Arc::new(callers(vault)), Metrics::default());
        let presence = watch::Sender::new(Presence::Away);
        let (found, forks) = mpsc::channel(WAITING);
        // Where even that cannot be told now, it is a witness's own.
        let path = vault.witness_path().unwrap_or_else(|_| settings.path.clone());
        let inside = Inside { presence: presence.subscribe(), archive: Archive::at(path), closed };
        let api = Api::new(inside, callers.clone(), found.clone(), metrics.clone(), BODY);
        Ok(Some(Self { api: Arc::new(api), callers, metrics, presence, found, forks, listener }))
    }

    /// Opens the witness and serves it. `closed` becomes true when the service ends, and `answered` once everybody is
    /// answered.
    pub(super) fn start(
        self,
        vault: &Arc<Vault>,
        health: &Arc<Health>,
        stop: &Stop,
        closed: watch::Receiver<bool>,
        answered: watch::Receiver<bool>,
    ) -> Tasks {
        let Self { api, callers, metrics, presence, found, forks, listener } = self;
        let telling = Telling { vault: vault.clone(), presence: presence.subscribe(), metrics: metrics.clone(), forks };
        let (vault, health, stop) = (vault.clone(), health.clone(), stop.clone());
        let witnessing = Witnessing { vault, health, presence, metrics, forks: found, stop, answered };
        let knows = move |key| callers.knows_key(key);
        let handler = move |peer: mutual::Peer, request| {
            let api = api.clone();
            async move {
                match api.answer(Peer::Key(peer.key), request).await {
                    Ok(answer) => answer,
                    Err(_) => respond(hyper::StatusCode::NOT_FOUND, "text/plain", "see /witness/v1\n"),
                }
            }
        };
        let serving = listener.map(|listener| listener.serve(Patience::default(), knows, handler, closed));
        Tasks {
            serving: serving.map(tokio::spawn),
            telling: Some(tokio::spawn(telling.go_on())),
            witnessing: Some(tokio::spawn(witnessing.run())),
        }
    }
}

impl Tasks {
    /// Whether the service witnesses.
    pub(super) const fn are_there(&self) -> bool {
        self.witnessing.is_some()
    }

    /// Returns when everybody is answered who was let in over the network.
    pub(super) async fn answered(&mut self) {
        if let Some(serving) = self.serving.take() {
            // How a connection broke off is its client's affair.
            let _ = serving.await;
        }
    }

    /// Returns when what was decided is written down.
    pub(super) async fn closed(&mut self) {
        if let Some(witnessing) = self.witnessing.take() {
            // A panic there was reported by the panic hook already.
            let _ = witnessing.await;
        }
        if let Some(telling) = self.telling.take() {
            telling.abort();
        }
    }
}
