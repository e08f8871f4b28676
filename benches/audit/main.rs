//! The figures that the audit log must reach, printed as ratios and rates of one run. Nothing here is asserted: the
//! machines are noisy, and `ci/bench` is read by people.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod append;
mod verify;

use std::path::Path;
use std::sync::Arc;

use local_vault::audit::{Audit, AuditConfig, Event};
use local_vault::custody::file::FileKey;
use local_vault::custody::{KeyUse, Purpose, PurposeKey};
use local_vault::facts::{Digest, SystemClock};
use local_vault::protocol::Domain;

fn main() {
    // `cargo test --benches` runs this too; it is for `cargo bench` alone.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    append::run();
    verify::run();
}

/// A log in a folder, whose heads are signed by a key in a file.
fn open(folder: &Path) -> Audit {
    let key = Arc::new(FileKey::from_seed([7; 32]));
    let record = Some(PurposeKey::bind(Purpose::Record, "rec_bench", key).unwrap());
    let (folder, clock) = (folder.to_owned(), Arc::new(SystemClock));
    Audit::open(AuditConfig { folder, longest_file: AuditConfig::LONGEST_FILE, record, clock }).unwrap()
}

/// What a relay asks for before it signs an envelope.
fn key_used(request: &str) -> Event {
    let (purpose, domain, kid) = (Purpose::Relay, Domain::Relay, "kid_bench");
    let hash = Digest::of(request.as_bytes());
    Event::key_used(&KeyUse::Sign { purpose, domain, kid, hash, request: Some(request) })
}

/// The id of a send, as the relay names it.
fn request(n: usize) -> String {
    format!("lv_{n:032x}.1")
}
