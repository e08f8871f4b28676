use std::sync::Arc;

use super::args::Command;
use super::attestation::AttestationCommand;
use super::audit::AuditCommand;
use super::custody::CustodyCommand;
#[cfg(feature = "tpm")]
use super::custody::{PolicyCommand, TpmCommand};
use super::failure::Failure;
use super::receipt::ReceiptCommand;
use super::relay::RelayCommand;
use super::spool::SpoolCommand;
use super::vault::Vault;
use crate::audit::{Audit, Event};

/// How a command stands in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recording {
    /// It does nothing before it is recorded (I9).
    Required(&'static str),
    /// It looks at a device and changes nothing. It is recorded where that is possible: whoever looks for what is wrong
    /// must be able to, also when the log is what is wrong.
    Wished(&'static str),
}

impl Command {
    /// How it is recorded; `None` for what only looks at files.
    pub(super) const fn recording(&self) -> Option<Recording> {
        use Recording::Required;
        Some(match self {
            Self::Attest(_) => Required("attest"),
            Self::Attestation(AttestationCommand::Register { .. }) => Required("attestation register"),
            Self::Attestation(AttestationCommand::SelfTest { .. }) => Required("attestation self-test"),
            Self::Audit(AuditCommand::Prune { .. }) => Required("audit prune"),
            Self::Custody(command) => return command.recording(),
            Self::DrainLoop(_) => Required("drain-loop"),
            Self::DrainOnce(_) => Required("drain-once"),
            Self::EnqueueJson(_) => Required("enqueue-json"),
            Self::Relay(RelayCommand::Drain { .. }) => Required("relay drain"),
            Self::Relay(RelayCommand::Pause) => Required("relay pause"),
            Self::Relay(RelayCommand::Resume { .. }) => Required("relay resume"),
            Self::Relay(RelayCommand::Test { .. }) => Required("relay test"),
            Self::Spool(SpoolCommand::Import { .. }) => Required("spool import"),
            Self::Receipt(ReceiptCommand::Show(args)) if args.payload => Required("receipt show --payload"),
            Self::Spool(SpoolCommand::Rotate) => Required("spool rotate"),
            Self::Spool(SpoolCommand::Show { payload: true, .. }) => Required("spool show --payload"),
            Self::WitnessCheckpoint(_) => Required("witness-checkpoint"),
            // No arm for all the rest: whoever adds a command decides what it is.
            Self::Attestation(AttestationCommand::Show { .. })
            | Self::Completions(_)
            | Self::Config(_)
            // `audit recover` writes into the log that it begins.
            | Self::Audit(
                AuditCommand::Export(_)
                | AuditCommand::Follow(_)
                | AuditCommand::Head { .. }
                | AuditCommand::Recover { .. }
                | AuditCommand::Show(_)
                | AuditCommand::Verify(_),
            )
            | Self::GenerateEncryptionKey
            | Self::GenerateSigningKey(_)
            | Self::Metrics(_)
            | Self::Receipt(ReceiptCommand::Show(_))
            | Self::Relay(RelayCommand::Status { .. })
            | Self::Spool(SpoolCommand::List(_) | SpoolCommand::Show { .. } | SpoolCommand::Stats { .. })
            | Self::Verify(_)
            | Self::WitnessCounts => return None,
        })
    }
}

impl CustodyCommand {
    const fn recording(&self) -> Option<Recording> {
        #[cfg(any(feature = "pkcs11", feature = "tpm"))]
        use Recording::Required;
        use Recording::Wished;
        Some(match self {
            #[cfg(any(feature = "pkcs11", feature = "tpm"))]
            Self::Generate(_) => Required("custody generate"),
            #[cfg(feature = "pkcs11")]
            Self::List { .. } => Wished("custody list"),
            #[cfg(feature = "tpm")]
            Self::Policy(PolicyCommand::Apply { .. }) => Required("custody policy apply"),
            // With the operator's key, and perhaps on a machine of theirs.
            #[cfg(feature = "tpm")]
            Self::Policy(PolicyCommand::Sign(_)) => Wished("custody policy sign"),
            Self::Report { .. } => Wished("custody report"),
            #[cfg(feature = "tpm")]
            Self::Reseal(_) => Required("custody reseal"),
            #[cfg(feature = "pkcs11")]
            Self::RetryPin => Required("custody retry-pin"),
            Self::Selftest(_) => Wished("custody selftest"),
            #[cfg(feature = "pkcs11")]
            Self::Show { .. } => Wished("custody show"),
            #[cfg(feature = "tpm")]
            Self::Tpm(TpmCommand::Evict(_)) => Required("custody tpm evict"),
            #[cfg(feature = "tpm")]
            Self::Tpm(TpmCommand::Provision(_)) => Required("custody tpm provision"),
            #[cfg(feature = "tpm")]
            Self::Tpm(TpmCommand::Recover { .. }) => Required("custody tpm recover"),
            #[cfg(feature = "tpm")]
            Self::Tpm(TpmCommand::Status { .. }) => Wished("custody tpm status"),
        })
    }
}

/// A command that stands in the audit log.
pub(super) struct Recorded {
    audit: Arc<Audit>,
    name: &'static str,
}

impl Recorded {
    /// Writes down that a command begins. `None` where that was only wished for, and is not possible.
    pub(super) async fn begin(vault: &Vault, recording: Recording) -> Result<Option<Self>, Failure> {
        let begun = Self::try_begin(vault, recording).await;
        match (begun, recording) {
            (Ok(begun), _) => Ok(begun),
            (Err(failure), Recording::Required(_)) => Err(failure),
            (Err(failure), Recording::Wished(_)) => {
                tracing::warn!(error = failure.message(), "this look is not in the audit log");
                Ok(None)
            }
        }
    }

    async fn try_begin(vault: &Vault, recording: Recording) -> Result<Option<Self>, Failure> {
        // Signing a head takes a PIN: what only looks does not spend a try of it, and what allows one leaves it to
        // whoever comes next.
        let (name, signs) = match recording {
            Recording::Required(name) => (name, name != "custody retry-pin"),
            Recording::Wished(name) => (name, false),
        };
        // A first look makes no log: whoever gave it may not be whom the service runs as.
        if matches!(recording, Recording::Wished(_)) && !vault.settings.audit.folder.exists() {
            return Ok(None);
        }
        let audit = if signs { vault.audit()? } else { vault.unsigned_audit()? };
        let uid = rustix::process::getuid().as_raw();
        audit.record(vec![Event::command_begun(name, uid, login_uid())]).await?;
        Ok(Some(Self { audit, name }))
    }

    /// Writes down how it ended, and signs how far the log has come.
    pub(super) fn end(self, done: &Result<u8, Failure>) {
        let (code, cause) = match done {
            Ok(code) => (*code, None),
            Err(failure) => (failure.code(), failure.custody()),
        };
        // What was refused while keys were loaded, nobody has told of yet.
        if let Some(refused) = cause.filter(|cause| cause.is_a_refused_secret() && !self.audit.has_told_of_a_refusal())
        {
            self.audit.note(Event::key_failed(self.name, None, refused));
        }
        self.audit.note(Event::command_ended(self.name, code, cause));
        // A device that has just said no is not asked once more for the log.
        if cause.is_some() { self.audit.close_unsigned() } else { self.audit.close() }
    }
}

/// Who logged in, whoever they became since (`sudo`). The kernel has no number for a service.
fn login_uid() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/self/loginuid").ok()?;
    text.trim().parse().ok().filter(|uid| *uid != u32::MAX)
}
