//! What every custody backend keeps to. A new backend adds a row to [`BACKENDS`] and inherits every case.
//!
//! `LOCAL_VAULT_TEST_PKCS11_{MODULE,TOKEN_LABEL,PIN}` adds a token of any module, of which nothing else is assumed.
#![allow(clippy::print_stderr, clippy::unwrap_used)]

#[path = "custody_contract/cases.rs"]
mod cases;
#[path = "custody_contract/file.rs"]
mod file;
#[cfg(feature = "pkcs11")]
#[path = "custody_contract/pkcs11.rs"]
mod pkcs11;
#[path = "custody_contract/purpose.rs"]
mod purpose;
#[path = "custody_contract/released.rs"]
mod released;
#[path = "custody_contract/signer.rs"]
mod signer;
#[cfg(feature = "tpm")]
#[path = "custody_contract/tpm.rs"]
mod tpm;

use local_vault::custody::conformance::{KeyKind, Subject};
use local_vault::custody::{ErrorKind, Residence, SharedSigningKey};
use local_vault::protocol::json::Object;
use local_vault::protocol::{Algorithm, Domain, Preimage};

/// One backend.
struct Backend {
    name: &'static str,
    /// What makes its keys; none where the environment names no such token.
    subject: fn() -> Option<Box<dyn Subject>>,
    /// Keys that it must have. Where it lacks others, that is said and no failure.
    must: &'static [KeyKind],
}

const ED25519: KeyKind = KeyKind::Signing(Algorithm::Ed25519);
const ES256: KeyKind = KeyKind::Signing(Algorithm::Es256);
const RELEASED: KeyKind = KeyKind::Wrapping(Residence::Released);
const RESIDENT: KeyKind = KeyKind::Wrapping(Residence::Resident);

const BACKENDS: &[Backend] = &[
    Backend { name: "file", subject: file::subject, must: &[ED25519, ES256, RELEASED] },
    #[cfg(feature = "pkcs11")]
    Backend { name: "softhsm", subject: pkcs11::softhsm, must: &[ED25519, ES256, RELEASED, RESIDENT] },
    #[cfg(feature = "pkcs11")]
    Backend { name: "named", subject: pkcs11::named, must: &[] },
    #[cfg(feature = "tpm")]
    Backend { name: "swtpm", subject: tpm::swtpm, must: &[ED25519, ES256, RELEASED] },
];

/// Keys of one backend; those of a token are destroyed with this.
struct Keys {
    name: &'static str,
    subject: Box<dyn Subject>,
    must: &'static [KeyKind],
}

impl Keys {
    /// Another signing key at each call; none where the backend has none such and need not.
    fn signing(&self, algorithm: Algorithm) -> Option<SharedSigningKey> {
        match self.subject.signing(algorithm) {
            Err(e) if e.kind == ErrorKind::Unsupported && !self.must.contains(&KeyKind::Signing(algorithm)) => {
                eprintln!("{}: {e}", self.name);
                None
            }
            made => Some(made.unwrap()),
        }
    }

    fn ed25519(&self) -> Option<SharedSigningKey> {
        self.signing(Algorithm::Ed25519)
    }
}

/// Every backend that there is here.
fn backends() -> impl Iterator<Item = Keys> {
    BACKENDS.iter().filter_map(|b| Some(Keys { name: b.name, subject: (b.subject)()?, must: b.must }))
}

/// Every domain there is.
const DOMAINS: [Domain; 6] =
    [Domain::Relay, Domain::Witness, Domain::Fork, Domain::Source, Domain::Epoch, Domain::SelfTest];

fn preimage(domain: Domain, text: &str) -> Preimage {
    Preimage::new(domain, &Object::new().with("text", text))
}
