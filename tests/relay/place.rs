use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use local_vault::audit::{Audit, AuditConfig};
use local_vault::custody::{Purpose, PurposeKey, Signer, SignerConfig};
use local_vault::facts::{Clock, Timestamp};
use local_vault::ingest::Ingest;
use local_vault::protocol::PublicKey;
use local_vault::protocol::bundle::{Bundle, TrustedKeys, Verified};
use local_vault::protocol::json;
use local_vault::relay::{Client, ClientConfig, Drain, DrainConfig, Endpoint, Outbox, Outcome, Step, Trust};
use local_vault::spool::{Destination, Event, Filter, Gate, Spool, SpoolError, SpoolReader, State};
use tempfile::TempDir;

use super::custody;
use super::support::Sandbox;

pub(crate) const INSTALLATION: &str = "ins_1";
/// The numbers of the relay's signing key, and of the spool's keys.
pub(crate) const SIGNING: u8 = 7;
pub(crate) const ROOT: u8 = 9;

/// Only a receiver that is broken takes as long.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);

/// A clock that stands until it is moved.
#[derive(Debug)]
pub(crate) struct ManualClock(AtomicI64);

impl ManualClock {
    pub(crate) fn set(&self, time: Timestamp) {
        self.0.store(time.as_millis(), Ordering::SeqCst);
    }

    pub(crate) fn advance(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A spool in a folder of its own, with a clock that the test moves.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) clock: Arc<ManualClock>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let start = Timestamp::parse("2026-03-01T00:00:00Z").unwrap();
        let clock = Arc::new(ManualClock(AtomicI64::new(start.as_millis())));
        Self { folder: tempfile::tempdir().unwrap(), clock }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("spool.sqlite3")
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn spool(&self) -> Arc<Spool> {
        Arc::new(Spool::open(&self.path(), custody::spool_keys(ROOT), self.clock.clone()).unwrap())
    }

    fn audit(&self) -> Arc<Audit> {
        let (folder, longest_file) = (self.folder.path().join("audit"), AuditConfig::LONGEST_FILE);
        let config = AuditConfig { folder, longest_file, record: None, clock: self.clock.clone() };
        Arc::new(Audit::open(config).unwrap())
    }

    /// Spools `count` events in each of these streams, one after the other.
    pub(crate) async fn fill(&self, streams: &[&str], count: usize) {
        let ingest = Ingest::new(self.spool(), self.audit());
        for n in 0..count {
            for stream in streams {
                let (source_ref, payload) = (format!("{stream}/{n}"), format!(r#"{{"stream":"{stream}","n":{n}}}"#));
                ingest.payload(stream, &source_ref, payload.as_bytes(), false).await.unwrap();
            }
        }
    }

    pub(crate) async fn try_drain(&self, client: Client, installation: &str) -> Result<Drain, SpoolError> {
        self.start(client, installation, false, self.clock.clone()).await
    }

    pub(crate) async fn drain(&self, client: Client) -> Drain {
        self.try_drain(client, INSTALLATION).await.unwrap()
    }

    /// A relay that counts as the published package does.
    pub(crate) async fn published_drain(&self, client: Client) -> Drain {
        self.start(client, INSTALLATION, true, self.clock.clone()).await.unwrap()
    }

    /// A relay whose sends have this clock; the spool's is the place's own.
    pub(crate) async fn drain_with_clock(&self, client: Client, clock: Arc<dyn Clock>) -> Drain {
        self.start(client, INSTALLATION, false, clock).await.unwrap()
    }

    async fn start(
        &self,
        client: Client,
        installation: &str,
        count: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Drain, SpoolError> {
        let key = PurposeKey::bind(Purpose::Relay, "k1", custody::signing_key(SIGNING)).unwrap();
        let signer = Signer::spawn(key, SignerConfig::default());
        let (installation_id, audit) = (installation.into(), self.audit());
        let config = DrainConfig { installation_id, parallel: 8, count_every_failure: count, audit };
        Drain::start(&self.path(), self.spool(), signer, client, clock, config).await
    }

    pub(crate) fn outbox_path(&self) -> PathBuf {
        self.folder.path().join("witness.sqlite3.outbox")
    }

    pub(crate) fn outbox_spool(&self) -> Arc<Spool> {
        Arc::new(Spool::open(&self.outbox_path(), custody::spool_keys(ROOT), self.clock.clone()).unwrap())
    }

    /// A witness's outbox beside the spool.
    pub(crate) async fn outbox(&self) -> Outbox {
        Outbox::new(&self.outbox_path(), self.outbox_spool()).await.unwrap()
    }

    /// The relay of that outbox.
    pub(crate) async fn outbox_drain(&self, client: Client) -> Drain {
        self.try_outbox_drain(client).await.unwrap()
    }

    pub(crate) async fn try_outbox_drain(&self, client: Client) -> Result<Drain, SpoolError> {
        let (installation_id, audit) = (INSTALLATION.into(), self.audit());
        let config = DrainConfig { installation_id, parallel: 8, count_every_failure: false, audit };
        self.outbox().await.drain(client, self.clock.clone(), config).await
    }

    pub(crate) fn outbox_reader(&self) -> SpoolReader {
        SpoolReader::open(&self.outbox_path()).unwrap()
    }

    pub(crate) fn reader(&self) -> SpoolReader {
        SpoolReader::open(&self.path()).unwrap()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.reader().list(&Filter { limit: usize::MAX, ..Filter::default() }).unwrap()
    }

    pub(crate) fn destination(&self) -> Destination {
        self.reader().destination().unwrap()
    }

    /// How many events are in a state.
    pub(crate) fn count(&self, state: State) -> u64 {
        self.reader().totals().unwrap().iter().find(|totals| totals.state == state).unwrap().events
    }

    /// Verifies the kept receipt of an event with its public key alone.
    pub(crate) async fn verify(&self, event: &Event) -> Verified {
        let answer = self.reader().answer(event).unwrap().unwrap();
        let payload = self.spool().payload(event.event_id).await.unwrap().unwrap();
        let sent = answer.sent.unwrap();
        let bundle = Bundle {
            envelope: event.envelope(&sent.installation_id, sent.attempt, sent.signed_at),
            signature: sent.signature,
            public_key: sent.public_key,
            status: answer.status,
            answer: answer.body,
            received_at: answer.received_at,
            payload: Some(json::parse(&payload).unwrap()),
        };
        bundle.verify(&TrustedKeys { relay: vec![public_key()], ..TrustedKeys::default() }).unwrap()
    }

    /// Every event is receipted, was never judged against, and its receipt verifies.
    pub(crate) async fn assert_all_delivered(&self, count: usize) {
        let events = self.events();
        assert_eq!(events.len(), count);
        for event in &events {
            assert_eq!((event.state, event.failures), (State::Receipted, 0), "{event:?}");
            self.verify(event).await;
        }
    }
}

pub(crate) fn public_key() -> PublicKey {
    custody::signing_key(SIGNING).public_key().clone()
}

/// A sandbox that trusts the installation.
pub(crate) fn sandbox(arguments: &[&str]) -> Sandbox {
    let trust = format!("{INSTALLATION}={}", public_key().to_hex());
    Sandbox::start(&[&["--trust", trust.as_str()], arguments].concat())
}

pub(crate) fn client_of(sandbox: &Sandbox) -> Client {
    client(sandbox.url(), sandbox.ready().get_str("ca_file").map(PathBuf::from), PATIENT)
}

pub(crate) fn client(url: &str, ca_file: Option<PathBuf>, timeout: Duration) -> Client {
    let endpoint = Endpoint::parse(url, None).unwrap();
    let trust = Trust { ca_file, spki_pins: Vec::new() };
    Client::new(&ClientConfig { endpoint, trust, proxy: None, timeout }).unwrap()
}

/// Goes on until nothing may be sent. Gives what was settled, and what holds the relay back.
pub(crate) async fn run(drain: &mut Drain) -> (Vec<Outcome>, Gate) {
    let mut outcomes = Vec::new();
    loop {
        match drain.next(usize::MAX).await.unwrap() {
            Step::Settled(outcome) => outcomes.push(outcome),
            Step::Idle { gate, .. } => return (outcomes, gate),
        }
    }
}

/// The time of the next probe.
pub(crate) fn probe_at(gate: Gate) -> Timestamp {
    if let Gate::Parked { until } = gate { until } else { panic!("not parked: {gate:?}") }
}
