use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::Response;
use local_vault::audit::{Audit, AuditConfig};
use local_vault::custody::file::{FileKey, RootKey};
use local_vault::custody::{Purpose, PurposeKey, RecordedWrappingKey, Signer, SignerConfig};
use local_vault::facts::SystemClock;
use local_vault::http::Patience;
use local_vault::http::socket::{Listener, MODE};
use local_vault::ingest::{Api, Attestor, Desk, Ingest, Rules};
use local_vault::spool::{Spool, SpoolKeys};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// The service as the shell builds it: two workers, a spool, an audit log that records each signature first.
pub(crate) struct Server {
    socket: PathBuf,
    _runtime: Runtime,
    _desk: watch::Sender<Option<Arc<Desk>>>,
    _rules: watch::Sender<Arc<Rules>>,
    _stop: watch::Sender<bool>,
}

impl Server {
    pub(crate) fn start(folder: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let _inside = runtime.enter();
        let socket = folder.join("in.sock");
        let config = AuditConfig {
            folder: folder.join("audit"),
            longest_file: AuditConfig::LONGEST_FILE,
            record: None,
            clock: Arc::new(SystemClock),
        };
        let audit = Arc::new(Audit::open(config).unwrap());
        let root = RootKey::new(&mut [1; 32]);
        let record = PurposeKey::bind(Purpose::Record, "record", Arc::new(root.record_key())).unwrap();
        let wrapping = Arc::new(RecordedWrappingKey::new(Arc::new(root), audit.clone()));
        let keys = SpoolKeys { wrapping, record: record.recorded(audit.clone()) };
        let spool = Spool::open(&folder.join("spool.sqlite3"), keys, Arc::new(SystemClock)).unwrap();
        let key = PurposeKey::bind(Purpose::Source, "source", Arc::new(FileKey::from_seed([2; 32]))).unwrap();
        let attestor = Attestor {
            installation_id: "ins_1".into(),
            signer: Signer::spawn(key.recorded(audit.clone()), SignerConfig::default()),
            clock: Arc::new(SystemClock),
        };
        let ingest = Ingest::new(Arc::new(spool), audit);
        let (desk, desk_seen) = watch::channel(Some(Arc::new(Desk { ingest, attestor: Some(attestor) })));
        let own_uid = rustix::process::geteuid().as_raw();
        let (rules, rules_seen) = watch::channel(Arc::new(Rules::of_owner(own_uid, None)));
        let (stop, stopped) = watch::channel(false);
        let api = Arc::new(Api::new(desk_seen, rules_seen.clone(), stopped.clone(), Duration::from_secs(30)));
        let handler = move |peer, request| {
            let api = api.clone();
            async move {
                let nothing = || Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
                api.answer(peer, request).await.unwrap_or_else(|_| nothing())
            }
        };
        let listener = Listener::bind(&socket, MODE).unwrap();
        let knows = move |uid| rules_seen.borrow().knows(uid);
        runtime.spawn(listener.serve(Patience::default(), knows, handler, stopped));
        Self { socket, _runtime: runtime, _desk: desk, _rules: rules, _stop: stop }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}
