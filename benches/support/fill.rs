//! A spool with events in it, made by the library.

use std::path::Path;
use std::sync::Arc;

use local_vault::audit::{Audit, AuditConfig};
use local_vault::custody::file::{KeySource, RootKey};
use local_vault::custody::{Purpose, PurposeKey, WrappingKey as _};
use local_vault::facts::{SecretBytes, SystemClock, random_id};
use local_vault::ingest::Ingest;
use local_vault::spool::{Spool, SpoolKeys};

use crate::receiver::ROOT;

pub(crate) fn keys() -> SpoolKeys {
    let root = KeySource::Setting { name: "ROOT", value: SecretBytes::new(ROOT.into()) };
    let root = Arc::new(RootKey::load(&root).unwrap());
    let record = PurposeKey::bind(Purpose::Record, root.key_id(), Arc::new(root.record_key())).unwrap();
    SpoolKeys { wrapping: root, record }
}

/// Without the audit log.
pub(crate) fn open(path: &Path) -> Spool {
    Spool::open(path, keys(), Arc::new(SystemClock)).unwrap()
}

/// The way in, with the audit log beside the spool.
pub(crate) fn ingest(path: &Path) -> Ingest {
    let (folder, longest_file, record) = (path.with_extension("audit"), AuditConfig::LONGEST_FILE, keys().record);
    let audit = AuditConfig { folder, longest_file, record: Some(record), clock: Arc::new(SystemClock) };
    Ingest::new(Arc::new(open(path)), Arc::new(Audit::open(audit).unwrap()))
}

/// Enqueues through ingest, 64 at once.
pub(crate) fn fill(path: &Path, events: usize, streams: usize, payload: &[u8]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ingest = ingest(path);
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..events {
            if tasks.len() == 64 {
                tasks.join_next().await.unwrap().unwrap();
            }
            let (ingest, payload) = (ingest.clone(), payload.to_vec());
            tasks.spawn(async move {
                let source_ref = format!("{}-{n}", random_id("r"));
                ingest.payload(&format!("stream-{}", n % streams), &source_ref, &payload, true).await.unwrap();
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
}
