use std::sync::Arc;

use super::args::Command;
use super::attestation::AttestationCommand;
use super::audit::AuditCommand;
use super::custody::CustodyCommand;
#[cfg(feature = "tpm")]
use super::custody::{PolicyCommand, TpmCommand};
use super::failure::Failure;
use super::maintenance::MaintenanceCommand;
use super::receipt::ReceiptCommand;
use super::relay::RelayCommand;
use super::spool::SpoolCommand;
use super::vault::Vault;
use super::witness::{StreamCommand, WitnessCommand};
use crate::audit::{Audit, Event};

/// How a command stands in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recording {
    name: &'static str,
    /// Whether it does nothing before it is recorded (I9). What looks at a device and changes nothing is recorded where
    /// that is possible: whoever looks for what is wrong must be able to, also when the log is what is wrong.
    is_required: bool,
    /// Whether a head is signed over it. That may take a PIN: what only looks does not spend a try of it.
    signs: bool,
}

impl Recording {
    /// It does nothing before it is recorded, and a head is signed over it.
    pub(super) const fn required(name: &'static str) -> Self {
        Self { name, is_required: true, signs: true }
    }

    /// It does nothing before it is recorded, and needs no key: it must be possible while a device is away. The next
    /// head covers it.
    const fn unsigned(name: &'static str) -> Self {
        Self { signs: false, ..Self::required(name) }
    }

    /// It only looks at a device.
    const fn wished(name: &'static str) -> Self {
        Self { name, is_required: false, signs: false }
    }
}

impl Command {
    /// How it is recorded; `None` for what only looks at files.
    pub(super) const fn recording(&self) -> Option<Recording> {
        Some(match self {
            Self::Attest(_) => Recording::required("attest"),
            Self::Attestation(AttestationCommand::Register { .. }) => Recording::required("attestation register"),
            Self::Attestation(AttestationCommand::SelfTest { .. }) => Recording::required("attestation self-test"),
            Self::Audit(AuditCommand::Prune { .. }) => Recording::required("audit prune"),
            Self::Custody(command) => return command.recording(),
            Self::DrainLoop(_) => Recording::required("drain-loop"),
            Self::DrainOnce(_) => Recording::required("drain-once"),
            Self::Enqueue(_) => Recording::required("enqueue"),
            Self::EnqueueJson(_) => Recording::required("enqueue-json"),
            Self::Maintenance(MaintenanceCommand::On { .. }) => Recording::required("maintenance on"),
            Self::Maintenance(MaintenanceCommand::Off) => Recording::required("maintenance off"),
            Self::Relay(RelayCommand::Drain { .. }) => Recording::required("relay drain"),
            Self::Relay(RelayCommand::Pause) => Recording::unsigned("relay pause"),
            Self::Relay(RelayCommand::Resume { .. }) => Recording::unsigned("relay resume"),
            Self::Relay(RelayCommand::Revoke { .. }) => Recording::unsigned("relay revoke"),
            Self::Relay(RelayCommand::Test { .. }) => Recording::required("relay test"),
            Self::Run => Recording::required("run"),
            Self::Spool(SpoolCommand::Import { .. }) => Recording::required("spool import"),
            Self::Receipt(ReceiptCommand::Show(args)) if args.payload => Recording::required("receipt show --payload"),
            Self::Spool(SpoolCommand::Export(args)) if args.payload => Recording::required("spool export --payload"),
            Self::Spool(SpoolCommand::Purge(_)) => Recording::unsigned("spool purge"),
            Self::Spool(SpoolCommand::Release { .. }) => Recording::unsigned("spool release"),
            Self::Spool(SpoolCommand::Retry(_)) => Recording::unsigned("spool retry"),
            Self::Spool(SpoolCommand::Rotate) => Recording::required("spool rotate"),
            Self::Spool(SpoolCommand::Show { payload: true, .. }) => Recording::required("spool show --payload"),
            Self::Spool(SpoolCommand::Verify(_)) => Recording::required("spool verify"),
            Self::SupportBundle(args) if args.with_device => Recording::wished("support-bundle --with-device"),
            Self::Witness(WitnessCommand::Checkpoint(_)) => Recording::required("witness checkpoint"),
            Self::Witness(WitnessCommand::Follow { .. }) => Recording::required("witness follow"),
            Self::Witness(WitnessCommand::Rotate { .. }) => Recording::required("witness rotate"),
            Self::Witness(WitnessCommand::Status { .. }) => Recording::wished("witness status"),
            Self::Witness(WitnessCommand::Stream(StreamCommand::Add(_))) => Recording::required("witness stream add"),
            Self::Witness(WitnessCommand::Stream(StreamCommand::Reoriginate(_))) => {
                Recording::required("witness stream reoriginate")
            }
            Self::Witness(WitnessCommand::Verify { .. }) => Recording::required("witness verify"),
            Self::Witness(WitnessCommand::Reconcile(args)) if args.accepts() => {
                Recording::required("witness reconcile --accept")
            }
            Self::Witness(WitnessCommand::Reconcile(_)) => Recording::wished("witness reconcile"),
            Self::WitnessCheckpoint(_) => Recording::required("witness-checkpoint"),
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
            | Self::Quorum(_)
            | Self::Receipt(ReceiptCommand::Show(_))
            | Self::Relay(RelayCommand::Status { .. })
            | Self::Spool(
                SpoolCommand::DeadLetters(_)
                | SpoolCommand::Export(_)
                | SpoolCommand::List(_)
                | SpoolCommand::Show { .. }
                | SpoolCommand::Stats { .. },
            )
            | Self::Status(_)
            | Self::SupportBundle(_)
            | Self::Verify(_)
            | Self::Witness(
                WitnessCommand::Counts { .. }
                | WitnessCommand::Export(_)
                | WitnessCommand::Forks(_)
                | WitnessCommand::Show(_)
                | WitnessCommand::Stream(StreamCommand::List { .. }),
            )
            | Self::WitnessCounts => return None,
        })
    }
}

impl CustodyCommand {
    const fn recording(&self) -> Option<Recording> {
        Some(match self {
            #[cfg(any(feature = "pkcs11", feature = "tpm"))]
            Self::Generate(_) => Recording::required("custody generate"),
            #[cfg(feature = "pkcs11")]
            Self::List { .. } => Recording::wished("custody list"),
            #[cfg(feature = "tpm")]
            Self::Policy(PolicyCommand::Apply { .. }) => Recording::required("custody policy apply"),
            // With the operator's key, and perhaps on a machine of theirs.
            #[cfg(feature = "tpm")]
            Self::Policy(PolicyCommand::Sign(_)) => Recording::wished("custody policy sign"),
            Self::Report { .. } => Recording::wished("custody report"),
            #[cfg(feature = "tpm")]
            Self::Reseal(_) => Recording::required("custody reseal"),
            #[cfg(feature = "pkcs11")]
            Self::RetryPin => {
                // The try that it allows is for whoever comes next.
                Recording::unsigned("custody retry-pin")
            }
            Self::Selftest(_) => Recording::wished("custody selftest"),
            #[cfg(feature = "pkcs11")]
            Self::Show { .. } => Recording::wished("custody show"),
            #[cfg(feature = "tpm")]
            Self::Tpm(TpmCommand::Evict(_)) => Recording::required("custody tpm evict"),
            #[cfg(feature = "tpm")]
            Self::Tpm(TpmCommand::Provision(_)) => Recording::required("custody tpm provision"),
            #[cfg(feature = "tpm")]
            Self::Tpm(TpmCommand::Recover { .. }) => Recording::required("custody tpm recover"),
            #[cfg(feature = "tpm")]
            Self::Tpm(TpmCommand::Status { .. }) => Recording::wished("custody tpm status"),
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
        match Self::try_begin(vault, recording).await {
            Err(failure) if !recording.is_required => {
                tracing::warn!(error = failure.message(), "this look is not in the audit log");
                Ok(None)
            }
            begun => begun,
        }
    }

    async fn try_begin(vault: &Vault, recording: Recording) -> Result<Option<Self>, Failure> {
        let Recording { name, is_required, signs } = recording;
        // A first look makes no log: whoever gave it may not be whom the service runs as.
        if !is_required && !vault.settings.audit.folder.exists() {
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
