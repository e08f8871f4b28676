use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use local_vault::audit::{Audit, AuditConfig};
use local_vault::custody::file::{FileKey, RootKey};
use local_vault::custody::{Purpose, PurposeKey, SharedSigningKey, Signer, SignerConfig};
use local_vault::facts::SystemClock;
use local_vault::protocol::json::Object;
use local_vault::protocol::witness::{Rules, Submission, document_preimage};
use local_vault::witness::{GuardedClock, Setup, Witness};
use tempfile::TempDir;

/// A witness as the shell builds it: a sealed state, and an audit log that records each signature first.
pub(crate) struct Place {
    key: SharedSigningKey,
    threads: usize,
    folder: TempDir,
}

impl Place {
    pub(crate) fn software() -> Self {
        Self::of_key(Arc::new(FileKey::from_seed([3; 32])), 1)
    }

    pub(crate) fn of_key(key: SharedSigningKey, threads: usize) -> Self {
        Self { key, threads, folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bind(&self) -> PurposeKey {
        PurposeKey::bind(Purpose::Witness, "witness-1", self.key.clone()).unwrap()
    }

    fn config(&self) -> SignerConfig {
        SignerConfig { threads: self.threads, deadline: Duration::from_secs(60), ..SignerConfig::default() }
    }

    /// Signatures a second of a signer alone, without a record of them.
    pub(crate) async fn bare_signatures(&self) -> f64 {
        const EACH: usize = 200;
        let signer = Signer::spawn(self.bind(), self.config());
        let begun = Instant::now();
        let callers = (0..32).map(|caller: u32| {
            let signer = signer.clone();
            tokio::spawn(async move {
                for n in 0..EACH {
                    let document = Object::new().with("kind", "bench").with("caller", caller).with("n", n as u64);
                    signer.sign(document_preimage(&document), "bench").await.unwrap();
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
        (32 * EACH) as f64 / begun.elapsed().as_secs_f64()
    }

    pub(crate) fn open(&self, name: &str) -> Witness {
        Witness::open(&self.path(name), self.setup(name)).unwrap()
    }

    fn setup(&self, name: &str) -> Setup {
        let config = AuditConfig {
            folder: self.path(&format!("{name}.audit")),
            longest_file: AuditConfig::LONGEST_FILE,
            record: None,
            clock: Arc::new(SystemClock),
        };
        let audit = Arc::new(Audit::open(config).unwrap());
        Setup {
            signers: vec![Signer::spawn(self.bind().recorded(audit), self.config())],
            wrapping: Some(Arc::new(RootKey::new(&mut [1; 32]))),
            anchor: None,
            anchor_interval: Duration::ZERO,
            rules: RULES,
            times: Arc::new(GuardedClock(Arc::new(SystemClock))),
            adopts_keys: false,
            allowed: None,
        }
    }
}

pub(crate) const RULES: Rules = Rules { first_use: true, longest_jump: Some(1_000_000), evidence_each_time: false };
pub(crate) const WITNESS: &str = "ins_0123456789abcdef0123456789abcdef";

/// Checkpoint `n` of a stream.
pub(crate) fn checkpoint(prefix: &str, stream: usize, n: i64) -> Submission {
    let hash = |n: i64| format!("{:064x}", n + 1_000_000 * stream as i64);
    Submission {
        witness_id: WITNESS.into(),
        tenant_id: "ten_bench".into(),
        stream_id: format!("str_{prefix}_{stream}"),
        checkpoint_id: format!("chk_{prefix}_{stream}_{n}"),
        checkpoint_seq_no: n,
        checkpoint_hash: hash(n),
        previous_checkpoint_hash: (n > 1).then(|| hash(n - 1)),
    }
}
