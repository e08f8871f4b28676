use std::io;

use super::output::printable;
use crate::audit::AuditError;
use crate::config::ConfigError;
use crate::custody::{CustodyError, ErrorKind, SignError};
use crate::epochs::EpochError;
use crate::http::mutual::MutualError;
use crate::http::socket::SocketError;
use crate::ingest::IngestError;
use crate::protocol::witness::Refusal;
use crate::relay::{ClientError, EndpointError};
use crate::spool::import::ImportError;
use crate::spool::{Limit, SpoolError};
use crate::store::StoreError;
use crate::witness::{self, WitnessError};

/// sysexits.h: the command line is wrong.
pub(super) const USAGE: u8 = 64;
const DATA: u8 = 65;
pub(super) const UNAVAILABLE: u8 = 69;
const SOFTWARE: u8 = 70;
const IO: u8 = 74;
pub(super) const TEMPORARY: u8 = 75;
pub(super) const REFUSED: u8 = 77;
const CONFIG: u8 = 78;

/// How a command fails: two lines for the person at the terminal, and a code for the machine. The only place where
/// errors become codes.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    message: String,
    details: Vec<String>,
    advice: String,
    broken_pipe: bool,
    custody: Option<Box<CustodyError>>,
}

impl Failure {
    fn new(code: u8, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
            advice: advice.into(),
            broken_pipe: false,
            custody: None,
        }
    }

    /// Something that a person gave is wrong.
    pub(super) fn usage(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(USAGE, message, advice)
    }

    /// Data does not verify, or is refused.
    pub(super) fn data(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(DATA, message, advice)
    }

    /// The receiver or a device is away.
    pub(super) fn unavailable(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(UNAVAILABLE, message, advice)
    }

    /// Somebody who may say no has said it.
    pub(super) fn refused(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(REFUSED, message, advice)
    }

    /// Not now: the same command again may do it.
    pub(super) fn temporary(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(TEMPORARY, message, advice)
    }

    /// The configuration is wrong or lacks something.
    pub(super) fn config(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(CONFIG, message, advice)
    }

    /// Several things are wrong with the configuration.
    pub(super) fn configs(failures: Vec<Self>) -> Self {
        // What is away is no fault of the configuration.
        let code = if failures.iter().all(Self::is_away) { UNAVAILABLE } else { CONFIG };
        Self { code, ..Self::several("the configuration is refused", failures) }
    }

    /// Several things are wrong, each told of once, with the code of the first.
    pub(super) fn several(what: &str, mut failures: Vec<Self>) -> Self {
        failures.dedup_by(|a, b| a.message == b.message);
        let code = failures.first().map_or(CONFIG, |failure| failure.code);
        let details = failures.into_iter().map(|failure| format!("{}. {}", failure.message, failure.advice)).collect();
        Self { details, ..Self::new(code, what, "Mend each line.") }
    }

    /// Whether something does not verify.
    pub(super) const fn is_about_data(&self) -> bool {
        self.code == DATA
    }

    /// Whether the device is away, so that it may be better later.
    pub(super) const fn is_away(&self) -> bool {
        self.code == UNAVAILABLE
    }

    /// Whether it may be better in a moment: something is busy, or full.
    pub(super) const fn is_temporary(&self) -> bool {
        self.code == TEMPORARY
    }

    /// A file cannot be read or written.
    pub(super) fn io(what: &str, error: &io::Error) -> Self {
        let advice = "Check the path, its permissions and the space on the disk.";
        let broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self { broken_pipe, ..Self::new(IO, format!("{what}: {error}"), advice) }
    }

    /// A defect of ours.
    pub(super) fn software(message: impl Into<String>) -> Self {
        Self::new(SOFTWARE, message, "This is a defect in local-vault; please report it.")
    }

    /// Names what it is about.
    pub(super) fn about(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// The same with more advice.
    pub(super) fn then(self, advice: &str) -> Self {
        Self { advice: format!("{} {advice}", self.advice), ..self }
    }

    /// The same with other advice.
    pub(super) fn advising(self, advice: impl Into<String>) -> Self {
        Self { advice: advice.into(), ..self }
    }

    /// The code as the published package has it: 1 for everything.
    pub(super) fn into_published(self) -> Self {
        Self { code: 1, ..self }
    }

    pub(super) const fn code(&self) -> u8 {
        self.code
    }

    pub(super) const fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }

    /// What a key or a device said, where that was why.
    pub(super) fn custody(&self) -> Option<&CustodyError> {
        self.custody.as_deref()
    }

    /// What happened, without a full stop.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// What happened and what to do, and between them each thing that is wrong where there are several.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let end = if self.details.is_empty() { '.' } else { ':' };
        let details = self.details.iter().map(|detail| format!("  {}", printable(detail)));
        let first = format!("Error: {}{end}", printable(&self.message));
        std::iter::once(first).chain(details).chain([printable(&self.advice)])
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let advice = "Mend each line; `local-vault config example` shows every key.";
        Self { details: error.0, ..Self::config("the configuration is refused", advice) }
    }
}

impl From<CustodyError> for Failure {
    fn from(error: CustodyError) -> Self {
        let code = match error.kind {
            ErrorKind::Away => UNAVAILABLE,
            ErrorKind::Broken => DATA,
            ErrorKind::Disk => IO,
            ErrorKind::DiskFull => TEMPORARY,
            ErrorKind::Misconfigured | ErrorKind::NotFound | ErrorKind::Unsupported => CONFIG,
            ErrorKind::Refused => REFUSED,
        };
        let failure = Self::new(code, error.to_string(), error.advice.as_str());
        Self { custody: Some(Box::new(error)), ..failure }
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        let message = error.to_string();
        match error {
            AuditError::Busy(_) => Self::new(TEMPORARY, message, "Nothing was done. Try again."),
            AuditError::Closed => Self::software(message),
            AuditError::Damaged { .. } => Self::data(
                message,
                "Nothing was done. `local-vault audit verify` names what is wrong; once you know why, \
                 `local-vault audit recover --reason TEXT` keeps it aside and begins a new log.",
            ),
            AuditError::Full(_) => {
                Self::new(TEMPORARY, message, "Nothing was done, and nothing is lost. Make room and try again.")
            }
            AuditError::Io { .. } => {
                Self::new(IO, message, "Nothing was done. Check the disk, and whose the folder is; then try again.")
            }
        }
    }
}

impl From<SignError> for Failure {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Custody(e) | SignError::Unrecorded(e) => e.into(),
            e @ (SignError::Busy | SignError::Deadline) => {
                Self::unavailable(e.to_string(), "Nothing was sent. Try again.")
            }
            e @ SignError::Gone => Self::software(e.to_string()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Busy(_) => Self::new(TEMPORARY, message, "Try again, or stop the other local-vault."),
            StoreError::Damaged(_) => {
                Self::data(message, "Nothing was changed. Keep the file, and restore the disk before going on.")
            }
            StoreError::Foreign { .. } => Self::config(message, "Name another file. This one was not touched."),
            StoreError::Full => Self::new(TEMPORARY, message, "Nothing was lost. Make room on the disk and try again."),
            StoreError::Io(_) | StoreError::Stopped => {
                let advice = "Check the path and the disk. What was being written may or may not be there; the same \
                              command again finds out.";
                Self::new(IO, message, advice)
            }
            StoreError::Missing(_) => Self::config(message, "Name the right file with --spool-db or --witness-db."),
            StoreError::Newer(_) => Self::config(message, "Install that version again. Nothing was changed."),
            StoreError::Sql(_) => Self::software(message),
        }
    }
}

impl From<EpochError> for Failure {
    fn from(error: EpochError) -> Self {
        let message = error.to_string();
        match error {
            EpochError::Custody(e) => e.into(),
            EpochError::OtherKey { .. } => {
                Self::config(message, "Configure the encryption key that this spool was made with.")
            }
            EpochError::Store(e) => e.into(),
            EpochError::Missing { .. } | EpochError::Untrusted { .. } => {
                Self::data(message, "The spool was changed by somebody else. Nothing of it is used; keep the file.")
            }
        }
    }
}

impl From<SpoolError> for Failure {
    fn from(error: SpoolError) -> Self {
        let message = error.to_string();
        match error {
            SpoolError::Conflict { .. } => Self::data(message, "Nothing was overwritten. Use another source_ref."),
            SpoolError::Epoch(e) => e.into(),
            SpoolError::Full { limit } => Self::temporary(message, room(limit)),
            SpoolError::Maintenance { .. } => {
                Self::temporary(message, "Nothing was spooled. `local-vault maintenance off` opens the door again.")
            }
            SpoolError::NotDead { .. } => {
                Self::data(message, "`local-vault spool dead-letters` lists what can be sent again.")
            }
            SpoolError::Purged { .. } => {
                Self::data(message, "What was signed and answered about it stays: `local-vault receipt show`.")
            }
            SpoolError::OtherInstallation { .. } => {
                let advice = "Name the spool of this installation, or run: \
                              local-vault relay resume --installation-id NEW (after a re-enrolment)";
                Self::config(message, advice)
            }
            SpoolError::OtherUse { .. } => Self::config(message, "Name the file that was meant."),
            SpoolError::RefReuse { .. } => {
                Self::data(message, "The receiver knows one event per source_ref. Use another one.")
            }
            SpoolError::Store(e) => e.into(),
            SpoolError::Tampered { .. } => {
                Self::data(message, "The record was changed since it was spooled; nothing of it is used.")
            }
        }
    }
}

/// How room is made.
const fn room(limit: Limit) -> &'static str {
    match limit {
        Limit::Bytes => {
            "Nothing was lost. Relay what waits, purge what is settled (`local-vault spool purge`), or raise \
             spool.max_bytes."
        }
        Limit::Events => "Nothing was lost. Relay what waits, or raise spool.max_events.",
        Limit::Reserve => {
            "Nothing was lost. Make room on the disk, purge what is settled (`local-vault spool purge`), or lower \
             spool.reserve_bytes."
        }
    }
}

impl From<IngestError> for Failure {
    fn from(error: IngestError) -> Self {
        let message = error.to_string();
        match error {
            IngestError::Id { .. } => Self::usage(message, "Ids have 1 to 1,024 bytes."),
            IngestError::Payload(_) => {
                Self::data(message, "The payload is one strict JSON object. Nothing was spooled.")
            }
            IngestError::Sign(e) => e.into(),
            IngestError::Spool(e) => e.into(),
            IngestError::TooLong => Self::data(message, "Spool its hash, or split it. Nothing was spooled."),
        }
    }
}

impl From<MutualError> for Failure {
    fn from(error: MutualError) -> Self {
        let message = error.to_string();
        match error {
            MutualError::File { .. } => Self::config(message, "Mend [witness.listen] in the config file, or the file."),
            MutualError::Listen { .. } => {
                Self::unavailable(message, "Name another address in [witness.listen], or end what listens there.")
            }
        }
    }
}

impl From<SocketError> for Failure {
    fn from(error: SocketError) -> Self {
        let message = error.to_string();
        match error {
            SocketError::Busy(_) => Self::new(TEMPORARY, message, "Stop the other process, or name another socket."),
            SocketError::Io { .. } => Self::new(IO, message, "Check ingest.socket, and whose its folder is."),
            SocketError::NotASocket(_) => Self::config(message, "Name another path as ingest.socket."),
            SocketError::TooLong(_) => Self::config(message, "Name a shorter path as ingest.socket."),
            SocketError::Unsafe { .. } => {
                Self::config(message, "Name a path as ingest.socket where root and the service alone may write.")
            }
        }
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        let message = error.to_string();
        match error {
            ImportError::Form { .. } | ImportError::NotPublished(_) => {
                Self::config(message, "Name another file. This one was not touched.")
            }
            ImportError::Row { .. } => Self::data(message, "Nothing was imported, and the file was not touched."),
            ImportError::Spool(e) => e.into(),
        }
    }
}

impl From<witness::ImportError> for Failure {
    fn from(error: witness::ImportError) -> Self {
        let message = error.to_string();
        match error {
            witness::ImportError::Form { .. } | witness::ImportError::NotPublished(_) => {
                Self::config(message, "Name another file. This one was not touched.")
            }
            witness::ImportError::Row { .. } => {
                Self::data(message, "Nothing was imported, and the file was not touched.")
            }
            witness::ImportError::Store(e) => e.into(),
            witness::ImportError::Witness(e) => e.into(),
        }
    }
}

impl From<WitnessError> for Failure {
    fn from(error: WitnessError) -> Self {
        let message = error.to_string();
        match error {
            WitnessError::Change(_) => Self::data(message, "Nothing was changed."),
            WitnessError::Custody(e) => e.into(),
            WitnessError::Damaged(_) => Self::data(message, "Nothing was signed. Keep the file."),
            WitnessError::Incident(_) | WitnessError::Stopped(_) => {
                Self::refused(message, "Nothing was signed. docs/witness.md says what to do about it.")
            }
            WitnessError::NoRandomness => Self::unavailable(message, "Start again once the system is up."),
            WitnessError::NoWrappingKey => {
                Self::config(message, "Configure the key that it was made with; nothing was signed.")
            }
            WitnessError::OtherKey(_) => Self::config(message, "Configure that key, and submit the checkpoint again."),
            WitnessError::Raced => Self::temporary(message, "Nothing was signed. Try again."),
            WitnessError::Refused(refusal) => refused_checkpoint(refusal, message),
            WitnessError::Sign(e) => e.into(),
            WitnessError::Store(e) => e.into(),
            WitnessError::Submission(_) => Self::data(message, "Nothing was changed."),
            WitnessError::Unauthenticated => Self::config(
                message,
                "Nothing was signed. Take the key out of the configuration, or move the file away: docs/witness.md.",
            ),
        }
    }
}

fn refused_checkpoint(refusal: Refusal, message: String) -> Failure {
    let nothing = "Nothing was changed, and nothing was signed.";
    match refusal {
        Refusal::BelowFloor => Failure::data(message, nothing),
        Refusal::ClockBehind => Failure::temporary(message, "Nothing was signed. Set the clock."),
        Refusal::Jump => Failure::data(
            message,
            format!("{nothing} Where it is right, `local-vault witness stream reoriginate` begins the stream anew."),
        ),
        Refusal::NotSigned | Refusal::NotTheSubmitter => Failure::refused(message, nothing),
        Refusal::UnknownStream => {
            Failure::refused(message, format!("{nothing} `local-vault witness stream add` lets it in."))
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::config(error.to_string(), "Check relay.ca_file and relay.proxy.")
    }
}

impl From<EndpointError> for Failure {
    fn from(error: EndpointError) -> Self {
        Self::config(error.to_string(), "Mend relay.endpoint, ATTESTO_LOCAL_VAULT_RELAY_URL or --endpoint-url.")
    }
}
