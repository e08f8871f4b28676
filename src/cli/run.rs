//! The service: takes events in over a local socket, relays them, and tells how it is. It stays up while a device or the
//! receiver is away, and goes on by itself.

mod health;
mod look;
mod notify;
mod relaying;
mod reload;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinError;
use tokio::time::{sleep, timeout};

use super::failure::Failure;
use super::metrics::Exporter;
use super::stop::Stop;
use super::vault::Vault;
use crate::config::Flags;
use crate::ingest::Api;
use crate::ingest::socket::{Listener, Patience};
use health::Health;
use look::Look;
use notify::Pulse;
use relaying::{Relaying, answering};
use reload::Reload;
use routes::Routes;

/// How long a producer is waited for: for a body, and for the next line of a batch.
const BODY: Duration = Duration::from_secs(30);

pub(super) async fn run(vault: Vault, flags: &Flags) -> Result<u8, Failure> {
    let stop = Stop::listen()?;
    let reload = Reload::listen(&vault, flags)?;
    vault.log.change_on_signal()?;
    // Before anything else: who comes second changes nothing.
    let ingest = &vault.settings.ingest;
    let listener = Listener::bind(&ingest.socket, ingest.mode)?;
    tracing::info!("the service begins");
    let exporter = Arc::new(Exporter::start(&vault).await?);
    let health = Arc::new(Health::new(&vault, exporter.clone())?);
    let (vault, wake) = (Arc::new(vault), Arc::new(Notify::new()));
    let look = Arc::new(Look::new(vault.clone(), health.clone()));
    let (opened, spool) = watch::channel(None);
    let (desk, at_the_desk) = watch::channel(None);
    let desk = Arc::new(desk);

    let (closing, closed) = watch::channel(false);
    let api = Api::new(at_the_desk, reload.rules(), BODY);
    let routes = Routes { api, look: look.clone(), vault: vault.clone(), wake: wake.clone() };
    let routes = Arc::new(routes);
    let handler = move |peer, request| {
        let routes = routes.clone();
        async move { routes.answer(peer, request).await }
    };
    let mut serving = tokio::spawn(listener.serve(Patience::default(), reload.rules(), handler, closed));
    let (ping, pings) = mpsc::channel(1);
    let relaying = Relaying {
        vault: vault.clone(),
        health: health.clone(),
        spool: opened,
        desk: desk.clone(),
        bounds: reload.bounds(),
        parallel: reload.parallel(),
        wake,
        stop: stop.clone(),
    };
    let mut relaying = tokio::spawn(answering(pings, relaying.run()));
    let pulse = tokio::spawn(Pulse { look, spool, relay: ping, known: health.known() }.go_on());
    let drain = vault.settings.run.drain;
    let reloading = tokio::spawn(reload.go_on(vault, health));

    let ended = tokio::select! {
        ended = &mut relaying => Some(joined(ended)),
        () = stop.asked() => None,
    };
    tracing::info!("the service ends");
    notify::stopping();
    reloading.abort();
    let _ = closing.send(true);
    let answered = async {
        // A batch may go on for ever: from half the time on nothing is taken any more, and it ends at a line.
        if timeout(drain / 2, &mut serving).await.is_err() {
            desk.send_replace(None);
            // How a connection broke off is its client's affair.
            let _ = serving.await;
        }
    };
    let ending = async {
        answered.await;
        match ended {
            Some(ended) => ended,
            None => joined(relaying.await),
        }
    };
    let done = tokio::select! {
        done = ending => done,
        () = sleep(drain) => { left_over("run.drain_seconds are over"); Ok(()) }
        () = stop.asked_again() => { left_over("a second signal came"); Ok(()) }
    };
    pulse.abort();
    // Whoever was left over may hold it.
    if let Some(exporter) = Arc::into_inner(exporter) {
        exporter.end().await;
    }
    done.map(|()| 0)
}

fn joined(ended: Result<Result<(), Failure>, JoinError>) -> Result<(), Failure> {
    ended.unwrap_or_else(|_| Err(Failure::software("the relay broke off")))
}

fn left_over(why: &str) {
    tracing::warn!(why, "ended before everything was settled; the next start takes it back");
}
