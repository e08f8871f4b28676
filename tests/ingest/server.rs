use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::{Response, StatusCode};
use local_vault::audit::{Audit, AuditConfig};
use local_vault::custody::{Purpose, PurposeKey, Signer, SignerConfig};
use local_vault::facts::{EventId, SystemClock};
use local_vault::http::socket::Listener;
use local_vault::http::{Body, Patience};
use local_vault::ingest::{Api, Attestor, Desk, Ingest, Producer, Rules};
use local_vault::protocol::PublicKey;
use local_vault::protocol::json::{self, Object};
use local_vault::protocol::source::SourceAttestation;
use local_vault::spool::{Event, Filter, Limits, Retention, Spool, SpoolControl, SpoolReader};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::client::Client;
use super::custody::{signing_key, spool_keys};

/// The numbers of the source's signing key and of the spool's keys.
const SIGNING: u8 = 3;
const ROOT: u8 = 4;

/// Only what is broken takes as long.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);
/// For tests of those who are waited for in vain.
pub(crate) const IMPATIENT: Duration = Duration::from_secs(1);

/// A server that listens on a socket in a folder of its own.
pub(crate) struct Server {
    folder: TempDir,
    runtime: Runtime,
    desk: watch::Sender<Option<Arc<Desk>>>,
    rules: watch::Sender<Arc<Rules>>,
    stop: watch::Sender<bool>,
    serving: Option<JoinHandle<()>>,
    refused: Arc<AtomicUsize>,
}

impl Server {
    /// For root and ourselves.
    pub(crate) fn start() -> Self {
        Self::with(Rules::of_owner(own_uid(), None), PATIENT)
    }

    /// With an allow-list.
    pub(crate) fn for_producers(producers: Vec<Producer>) -> Self {
        Self::with(Rules::new(producers, Some("audit".into())).unwrap(), PATIENT)
    }

    pub(crate) fn with(rules: Rules, patience: Duration) -> Self {
        Self::at(tempfile::tempdir().unwrap(), rules, patience)
    }

    /// The same service after it ended.
    pub(crate) fn restart(self) -> Self {
        assert!(self.serving.is_none(), "it still runs");
        let Self { folder, runtime, desk, .. } = self;
        desk.send_replace(None);
        drop(runtime);
        Self::at(folder, Rules::of_owner(own_uid(), None), PATIENT)
    }

    fn at(folder: TempDir, rules: Rules, patience: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        // Other users come to the socket, too.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let (desk, desk_seen) = watch::channel(None);
        let (rules, rules_seen) = watch::channel(Arc::new(rules));
        let (stop, stopped) = watch::channel(false);
        let api = Arc::new(Api::new(desk_seen, rules_seen.clone(), stopped.clone(), patience));
        let refused = Arc::new(AtomicUsize::new(0));
        let count = refused.clone();
        let handler = move |peer, request| {
            let (api, count) = (api.clone(), count.clone());
            async move {
                let answer = api.answer(peer, request).await.unwrap_or_else(|_| elsewhere());
                count.fetch_add(usize::from(answer.status() == StatusCode::SERVICE_UNAVAILABLE), Ordering::SeqCst);
                answer
            }
        };
        let serving = {
            let _inside = runtime.enter();
            let listener = Listener::bind(&socket(folder.path()), 0o666).unwrap();
            let patience = Patience { head: patience, answer: patience };
            let knows = move |uid| rules_seen.borrow().knows(uid);
            runtime.spawn(listener.serve(patience, knows, handler, stopped))
        };
        let server = Self { folder, runtime, desk, rules, stop, serving: Some(serving), refused };
        server.come_back();
        server
    }

    pub(crate) fn socket(&self) -> PathBuf {
        socket(self.folder.path())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A connection of this process.
    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.socket())
    }

    /// The keys go away, and the spool with them.
    pub(crate) fn go_away(&self) {
        self.desk.send_replace(None);
    }

    /// They come back.
    pub(crate) fn come_back(&self) {
        self.come_back_with(Limits::default());
    }

    /// They come back, and the spool has these limits.
    pub(crate) fn come_back_with(&self, limits: Limits) {
        let _inside = self.runtime.enter();
        let spool = Spool::open(&self.path("spool.sqlite3"), spool_keys(ROOT), Arc::new(SystemClock)).unwrap();
        spool.set_bounds(limits, Retention::default());
        let folder = self.path("audit");
        let config =
            AuditConfig { folder, longest_file: AuditConfig::LONGEST_FILE, record: None, clock: Arc::new(SystemClock) };
        let key = PurposeKey::bind(Purpose::Source, "source-1", signing_key(SIGNING)).unwrap();
        let attestor = Attestor {
            installation_id: "ins_1".into(),
            signer: Signer::spawn(key, SignerConfig::default()),
            clock: Arc::new(SystemClock),
        };
        let ingest = Ingest::new(Arc::new(spool), Arc::new(Audit::open(config).unwrap()));
        self.desk.send_replace(Some(Arc::new(Desk { ingest, attestor: Some(attestor) })));
    }

    /// The operator takes no events, or takes them again.
    pub(crate) fn set_maintenance(&self, reason: Option<&str>) {
        let control = SpoolControl::open(&self.path("spool.sqlite3"), Arc::new(SystemClock)).unwrap();
        self.runtime.block_on(control.set_maintenance(reason.map(str::to_owned))).unwrap();
    }

    /// A desk without a key for attestations.
    pub(crate) fn lose_the_source_key(&self) {
        let ingest = self.desk.borrow().as_ref().unwrap().ingest.clone();
        self.desk.send_replace(Some(Arc::new(Desk { ingest, attestor: None })));
    }

    /// How many requests were answered with 503.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    pub(crate) fn change_rules(&self, rules: Rules) {
        self.rules.send_replace(Arc::new(rules));
    }

    /// Asks it to end.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) {
        let serving = self.serving.take().unwrap();
        self.runtime.block_on(async { tokio::time::timeout(PATIENT, serving).await }).unwrap().unwrap();
    }

    /// Every event in the spool, in order.
    pub(crate) fn events(&self) -> Vec<Event> {
        let reader = SpoolReader::open(&self.path("spool.sqlite3")).unwrap();
        reader.list(&Filter { limit: usize::MAX, ..Filter::default() }).unwrap()
    }

    /// The payload of an event.
    pub(crate) fn payload(&self, id: EventId) -> Object {
        let spool = Spool::open(&self.path("spool.sqlite3"), spool_keys(ROOT), Arc::new(SystemClock)).unwrap();
        let payload = self.runtime.block_on(spool.payload(id)).unwrap().unwrap();
        json::parse(&payload).unwrap()
    }

    /// The attestation that travels as an event's payload, verified with the public key alone.
    pub(crate) fn attestation(&self, id: EventId) -> SourceAttestation {
        let key: PublicKey = signing_key(SIGNING).public_key().clone();
        SourceAttestation::verify(&self.payload(id), &key).unwrap()
    }

    /// What the audit log says was spooled: so many events an entry.
    pub(crate) fn audited(&self) -> Vec<i64> {
        let written = fs::read_dir(self.path("audit")).unwrap().map(|entry| entry.unwrap().path());
        let text: String = written
            .filter(|path| path.is_file())
            .map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned())
            .collect();
        let lines = text.lines().filter(|line| line.contains("\"BlobWritten\""));
        lines.map(|line| line.split("\"blobs\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap()).collect()
    }
}

/// Looks again and again, since the server tells nobody when it has got somewhere.
pub(crate) fn wait_until(mut look: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !look() {
        assert!(begun.elapsed() < PATIENT, "nothing happened for {PATIENT:?}");
    }
}

pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A producer of this list, with nothing that is optional.
pub(crate) fn producer(uid: u32, streams: &[&str], source_refs: &[&str]) -> Producer {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Producer {
        uid,
        streams: owned(streams),
        source_refs: owned(source_refs),
        events_per_second: None,
        may_claim: false,
        shared: false,
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("in.sock")
}

/// What somebody else's routes answer.
fn elsewhere() -> Response<Body> {
    let body = Full::new("elsewhere".into()).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = StatusCode::IM_A_TEAPOT;
    response
}
