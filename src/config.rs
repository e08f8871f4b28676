//! Settings: the config file, the environment and flags, checked as a whole before anything is opened (I8).
//!
//! Where there is a config file, it has the last word on whom to trust and which keys to use: a variable or flag
//! that contradicts it is an error and never an override. Without one, the published package's variables are enough.

mod attestation;
mod audit;
mod backend;
mod file;
mod ingest;
mod leaves;
mod log;
mod metrics;
#[cfg(any(feature = "pkcs11", feature = "tpm"))]
mod pin;
mod published;
mod reader;
mod run;
mod security;
mod settings;
mod sources;
mod spool;
#[cfg(feature = "pkcs11")]
mod token;
#[cfg(feature = "tpm")]
mod tpm;
mod witness;

pub use attestation::{AkAlgorithm, AttestationSettings, QuoteSettings};
pub use audit::AuditSettings;
pub use file::EXAMPLE;
pub use ingest::IngestSettings;
pub use leaves::{changed, leaves};
pub use log::{LogFormat, LogLevel, LogSettings};
pub use metrics::MetricsSettings;
pub use run::RunSettings;
pub use settings::{ConfigError, CustodySettings, Environment, Flags, KeyPlace, KeySetting, RelaySettings, Settings};
pub use spool::Bounds;
#[cfg(feature = "pkcs11")]
pub use token::{TokenSettings, Wrapping};
#[cfg(feature = "tpm")]
pub use tpm::TpmSettings;
pub use witness::{AnchorSetting, FEED, ListenSettings, OPERATOR, PeerSettings, Submitter, WitnessSettings};
