use std::sync::Arc;

use super::Vault;
use crate::audit::{Audit, AuditConfig};
use crate::cli::failure::Failure;
use crate::custody::PurposeKey;
use crate::ingest::Ingest;
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

    /// Spools how far the log has come, and each head that is signed later, where the configuration names a stream.
    pub(super) async fn attest_heads(&self, spool: &Arc<Spool>) -> Result<(), Failure> {
        let Some(stream_id) = self.settings.audit.stream_id.clone() else { return Ok(()) };
        let (audit, ingest) = (self.audit()?, Ingest::new(spool.clone(), self.audit()?));
        let mut heads = audit.heads();
        if audit.sign_head().await.is_none() {
            let advice = "[audit] names a stream, and heads are signed with the record key. `custody report` shows it.";
            return Err(Failure::config("no head of the audit log could be signed", advice));
        }
        // The first is spooled before anything is sent.
        if let Some(head) = heads.recv().await {
            attest_head(&ingest, &stream_id, &head).await?;
        }
        tokio::spawn(async move {
            while let Some(head) = heads.recv().await {
                if let Err(failure) = attest_head(&ingest, &stream_id, &head).await {
                    tracing::error!(error = failure.message(), "a head of the audit log was not spooled");
                }
            }
        });
        Ok(())
    }
}

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
