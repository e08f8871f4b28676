//! The service: takes events in over a local socket, relays them, witnesses, and tells how it is. It stays up while a
//! device or the receiver is away, and goes on by itself. The relay and the witness each go on without the other.

mod following;
mod health;
mod hook;
mod look;
mod notify;
mod relaying;
mod reload;
mod routes;
mod serving;
mod telling;
mod witnessing;

use std::sync::{Arc, mpsc as threads};
use std::thread;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinError;
use tokio::time::{sleep, timeout};

use super::failure::Failure;
use super::hardening;
use super::metrics::Exporter;
use super::output::Output;
use super::recorded::Recorded;
use super::stop::Stop;
use super::vault::Vault;
use crate::config::{Flags, Settings};
use crate::http::Patience;
use crate::http::socket::Listener;
use crate::ingest::Api;
use health::Health;
use look::Look;
use notify::Pulse;
use relaying::{Relaying, answering};
use reload::Reload;
use routes::Routes;
use serving::{Serving, Tasks};

/// How long a producer is waited for: for a body, and for the next line of a batch.
const BODY: Duration = Duration::from_secs(30);

/// How long the audit log is waited for where something else hangs: its last head has ten seconds.
const LAST_ENTRIES: Duration = Duration::from_secs(12);

/// Takes how it was `recorded` where it ends the process itself.
pub(super) async fn run(vault: Vault, flags: &Flags, recorded: &mut Option<Recorded>) -> Result<u8, Failure> {
    let stop = Stop::listen()?;
    let reload = Reload::listen(&vault, flags)?;
    vault.log.change_on_signal()?;
    // Before anything else: who comes second changes nothing.
    let ingest = &vault.settings.ingest;
    let listener = Listener::bind(&ingest.socket, ingest.mode)?;
    tracing::info!("the service begins");
    let exporter = Arc::new(Exporter::start(&vault).await?);
    let (closing, closed) = watch::channel(false);
    let mut witness = Serving::of(&vault, closed.clone()).await?;
    let relays = witness.is_none() || relays_beside(&vault.settings);
    let presence = witness.as_ref().map(|witness| witness.presence.subscribe());
    let health = Arc::new(Health::new(&vault, exporter.clone(), presence, relays)?);
    let (vault, wake) = (Arc::new(vault), Arc::new(Notify::new()));
    let look = Arc::new(Look::new(vault.clone(), health.clone()));
    let (opened, spool) = watch::channel(None);
    let (desk, at_the_desk) = watch::channel(None);
    let desk = Arc::new(desk);

    let api = relays.then(|| Api::new(at_the_desk, reload.rules(), closed.clone(), BODY));
    let asked = witness.as_ref().map(|witness| witness.api.clone());
    let routes = Routes { api, witness: asked, look: look.clone(), vault: vault.clone(), wake: wake.clone() };
    let routes = Arc::new(routes);
    let handler = move |peer, request| {
        let routes = routes.clone();
        async move { routes.answer(peer, request).await }
    };
    let (rules, callers) = (reload.rules(), witness.as_ref().map(|witness| witness.callers.clone()));
    let knows = move |uid| rules.borrow().knows(uid) || callers.as_ref().is_some_and(|callers| callers.knows(uid));
    let mut serving = tokio::spawn(listener.serve(Patience::default(), knows, handler, closed.clone()));
    let (answered, all_answered) = watch::channel(false);
    let mut witnessing = match witness.take() {
        Some(witness) => {
            exporter.watch_witness(&witness.metrics)?;
            witness.start(&vault, &health, &stop, closed.clone(), all_answered)
        }
        None => Tasks::default(),
    };
    let (ping, pings) = mpsc::channel(1);
    let relaying = Relaying {
        vault: vault.clone(),
        health: health.clone(),
        spool: opened,
        desk: desk.clone(),
        bounds: reload.bounds(),
        parallel: reload.parallel(),
        wake,
        is_beside: witnessing.are_there(),
        stop: stop.clone(),
    };
    let idle = stop.clone();
    let work = async move {
        if relays {
            return relaying.run().await;
        }
        idle.asked().await;
        Ok(())
    };
    let mut relaying = tokio::spawn(answering(pings, work));
    let pulse = tokio::spawn(Pulse { look, spool, relay: ping, known: health.known(), ends: closed.clone() }.go_on());
    let drain = vault.settings.run.drain;
    let reloading = tokio::spawn(reload.go_on(vault, health));

    let mut ended = tokio::select! {
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
        witnessing.answered().await;
        answered.send_replace(true);
        witnessing.closed().await;
    };
    let settled = async {
        if ended.is_none() {
            ended = Some(joined(relaying.await));
        }
    };
    let left_over = tokio::select! {
        ((), ()) = async { tokio::join!(answered, settled) } => None,
        () = sleep(drain) => Some("run.drain_seconds are over"),
        () = stop.asked_again() => Some("a second signal came"),
    };
    // What ended it is told whatever held its end up.
    let done = ended.unwrap_or(Ok(())).map(|()| 0);
    if let Some(why) = left_over {
        tracing::warn!(why, "ended before everything was settled; the next start takes it back");
        leave(recorded.take(), done);
    }
    pulse.abort();
    // A task that has just been ended may hold it yet.
    if let Some(exporter) = Arc::into_inner(exporter) {
        exporter.end().await;
    }
    done
}

/// A host that only witnesses has no receiver of events, or no key for them where it posts what it signs.
const fn relays_beside(settings: &Settings) -> bool {
    settings.relay.endpoint.is_some() && (settings.witness.feed.is_none() || settings.custody.relay.is_some())
}

fn joined(ended: Result<Result<(), Failure>, JoinError>) -> Result<(), Failure> {
    ended.unwrap_or_else(|_| Err(Failure::software("the relay broke off")))
}

/// Ends the process with everything that hangs in it. Whoever takes the spool apart waits for its disk, and a disk that
/// does not answer keeps them for ever.
fn leave(recorded: Option<Recorded>, done: Result<u8, Failure>) -> ! {
    let code = super::code(&done, Output::new());
    let (closed, closing) = threads::channel();
    let close = move || {
        if let Some(recorded) = recorded {
            recorded.end(&done);
        }
        // Whoever waited may have given up.
        let _ = closed.send(());
    };
    if thread::Builder::new().name("leave".into()).spawn(close).is_ok() {
        // Where it takes longer, the next start finds a log without an end, as after a kill.
        let _ = closing.recv_timeout(LAST_ENTRIES);
    }
    hardening::end(code)
}
