use std::sync::Arc;
use std::time::Duration;

use super::Vault;
use crate::audit::{Audit, AuditConfig};
use crate::cli::failure::Failure;
use crate::config::KeyPlace;
use crate::custody::PurposeKey;
use crate::ingest::Ingest;
use crate::protocol::PublicKey;
use crate::protocol::audit::SignedHead;
use crate::spool::Spool;

impl Vault {
    /// The audit log of this process. Heads are signed with the record key; where there is none, or it does not load,
    /// they are owed.
    pub(in crate::cli) fn audit(&self) -> Result<Arc<Audit>, Failure> {
        if let Some(audit) = self.audit.get() {
            return Ok(audit.clone());
        }
        let record = self.record_key();
        let record = record.inspect_err(|e| tracing::debug!(why = e.message(), "no key to sign the audit log with"));
        self.open_audit(record.ok())
    }

    /// The same without signing: for commands that must not ask a device for anything by themselves.
    pub(in crate::cli) fn unsigned_audit(&self) -> Result<Arc<Audit>, Failure> {
        self.open_audit(None)
    }

    fn open_audit(&self, record: Option<PurposeKey>) -> Result<Arc<Audit>, Failure> {
        let folder = self.settings.audit.folder.clone();
        self.make_folder(&folder)?;
        let clock = self.clock.clone();
        let config = AuditConfig { folder, longest_file: AuditConfig::LONGEST_FILE, record, clock };
        let audit = Arc::new(Audit::open(config)?);
        Ok(self.audit.get_or_init(|| audit).clone())
    }

    /// The public half of the key that signs heads, where no device need be asked for it.
    ///
    /// One that is configured and does not load is a failure: to believe any key in its place is for whoever has none.
    pub(in crate::cli) fn record_public_key(&self) -> Result<Option<PublicKey>, Failure> {
        Ok(match self.settings.custody.record.as_ref().map(|setting| &setting.place) {
            #[cfg(feature = "pkcs11")]
            Some(KeyPlace::Token { public_key, .. }) => public_key.clone(),
            #[cfg(feature = "tpm")]
            Some(KeyPlace::Tpm { public_key, .. }) => Some(public_key.clone()),
            None if self.settings.custody.encryption_key.is_none() => None,
            Some(KeyPlace::File { .. }) | None => Some(self.record_key()?.public_key().clone()),
        })
    }

    /// Refuses to put anything else into the stream of the log's heads: what is acknowledged there is believed to be one.
    pub(in crate::cli) fn check_stream(&self, stream_id: &str) -> Result<(), Failure> {
        if self.settings.audit.stream_id.as_deref() != Some(stream_id) {
            return Ok(());
        }
        let advice = "[audit] names it for the heads of the audit log, and nothing else goes there. Name another one.";
        Err(Failure::usage(format!("the stream {stream_id} is that of the audit log"), advice))
    }

    /// Spools how far the log has come, and so again every ten minutes, where the configuration names a stream.
    pub(super) async fn attest_heads(&self, spool: &Arc<Spool>) -> Result<(), Failure> {
        let Some(stream_id) = self.settings.audit.stream_id.clone() else { return Ok(()) };
        let (audit, ingest) = (self.audit()?, Ingest::new(spool.clone(), self.audit()?));
        let mut heads = audit.heads();
        match (audit.sign_head().await, audit.has_signer()) {
            // The first is spooled before anything is sent.
            (Some(_), _) => {
                if let Some(head) = heads.recv().await {
                    attest_head(&ingest, &stream_id, &head).await?;
                }
            }
            // A device that is away or hangs owes it.
            (None, true) => {}
            (None, false) => {
                let advice =
                    "[audit] names a stream, and heads are signed with the record key. `custody report` shows it.";
                return Err(Failure::config("no head of the audit log could be signed", advice));
            }
        }
        tokio::spawn(async move {
            loop {
                // Sending a head is written down too, and so leads to the next one: seldom, or a quiet relay would send
                // one a minute for ever.
                tokio::time::sleep(ATTEST_AFTER).await;
                let Some(mut head) = heads.recv().await else { return };
                while let Ok(newer) = heads.try_recv() {
                    head = newer;
                }
                if let Err(failure) = attest_head(&ingest, &stream_id, &head).await {
                    tracing::error!(error = failure.message(), "a head of the audit log was not spooled");
                }
            }
        });
        Ok(())
    }
}

/// Between two heads that are spooled.
const ATTEST_AFTER: Duration = Duration::from_secs(600);

/// Spools a head as it is: it is signed. Its reference names it, so that what was acknowledged can be compared without
/// any key.
async fn attest_head(ingest: &Ingest, stream_id: &str, head: &SignedHead) -> Result<(), Failure> {
    let payload = head.to_object().with("event_type", "local_vault.audit.head");
    let source_ref = head_ref(head);
    ingest.payload(stream_id, &source_ref, &payload.to_canonical(), false).await?;
    Ok(())
}

/// `audit:LOG:SEQ:HASH`.
fn head_ref(SignedHead { head, .. }: &SignedHead) -> String {
    format!("audit:{}:{}:{}", head.log_id, head.seq, head.hash)
}
