//! Keys in a swtpm of the test process: signing keys sealed, record keys resident, and wrapping secrets.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use local_vault::custody::file::FileKey;
use local_vault::custody::tpm::{
    Parent, PolicyKey, RecoveryKey, ReleasedKey, ResidentKey, Tcti, Tpm, TpmConfig, TpmWrappingKey, USUAL_PCRS,
};
use local_vault::custody::{CustodyError, PinSource, SharedSigningKey, SigningKey as _, WrappingKey};
use local_vault::facts::Digest;
use local_vault::protocol::json::Object;
use local_vault::protocol::{Algorithm, PublicKey};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as HPKE;
use rustls::crypto::hpke::{Hpke as _, HpkePublicKey};

use super::device::{Device, Named, OwnDevice, Words, known_or, text};
use super::swtpm::Swtpm;
use super::tpm_proxy::Proxy;

/// The TPM of this process, or that of the one that shares it.
pub(super) struct TpmDevice {
    /// Where [`Self::tpm`] keeps its folder, and what else there is.
    folder: PathBuf,
    /// None where another process has it. The library's connections are inherited by whatever this process starts
    /// meanwhile, and swtpm serves no other until all who have one have closed it: the proxy is not held up.
    swtpm: Option<(Swtpm, Proxy)>,
    tpm: Arc<Tpm>,
    signing: Mutex<HashMap<String, SharedSigningKey>>,
    wrapping: Mutex<HashMap<String, Arc<TpmWrappingKey>>>,
}

/// A TPM for one test alone, provisioned and without keys.
pub(crate) struct FreshTpm {
    pub(crate) tpm: Arc<Tpm>,
    _swtpm: (Swtpm, Proxy),
}

impl FreshTpm {
    pub(crate) fn new() -> Self {
        let swtpm = Swtpm::new();
        let proxy = Proxy::new(&swtpm);
        provision(swtpm.folder(), &proxy.tcti());
        Self { tpm: Tpm::new(config(swtpm.folder(), &proxy.tcti())), _swtpm: (swtpm, proxy) }
    }
}

/// The folder of another process's TPM, and the way to it.
const FOLDER: &str = "LOCAL_VAULT_TEST_TPM_FOLDER";
const TCTI: &str = "LOCAL_VAULT_TEST_TPM_TCTI";

const PIN: &str = "5178-tpm-pin";

impl TpmDevice {
    pub(super) fn new() -> Self {
        let shared = env::var_os(FOLDER).map(PathBuf::from);
        let (folder, tcti, swtpm) = match shared {
            Some(folder) => (folder, env::var(TCTI).unwrap(), None),
            None => {
                let swtpm = Swtpm::new();
                let proxy = Proxy::new(&swtpm);
                provision(swtpm.folder(), &proxy.tcti());
                (swtpm.folder().to_owned(), proxy.tcti(), Some((swtpm, proxy)))
            }
        };
        let tpm = Tpm::new(config(&folder, &tcti));
        Self { folder, swtpm, tpm, signing: Mutex::default(), wrapping: Mutex::default() }
    }

    fn tcti(&self) -> String {
        self.tpm.config().tcti.to_string()
    }

    fn sealed_key(&self, label: &str, seed: [u8; 32]) -> Named<SharedSigningKey> {
        let public = FileKey::from_seed(seed).public_key().clone();
        let key = known_or(&self.signing, label, || {
            if !has(&self.folder, &format!("{label}.sealed.json")) {
                self.import(label, seed, &public)?;
            }
            Ok(Arc::new(ReleasedKey::new(self.tpm.clone(), label, public)))
        });
        Named { key, words: words_of(label) }
    }

    /// Seals a seed that is known elsewhere, as one that another board had and that is recovered.
    fn import(&self, label: &str, seed: [u8; 32], public: &PublicKey) -> Result<(), CustodyError> {
        let path = self.folder.join(format!("{label}.recovery.key"));
        let to = HpkePublicKey(RecoveryKey::create(&path)?.to_vec());
        let (encapsulated, sealed) = HPKE.seal(b"local-vault.recovery.v1", &public.to_bytes(), &seed, &to).unwrap();
        let covered = Object::new()
            .with("version", 1u32)
            .with("public_key", public.to_hex())
            .with("encapsulated", STANDARD.encode(encapsulated.0))
            .with("sealed", STANDARD.encode(sealed));
        fs::write(blobs(&self.folder).join(format!("{label}.recovery.json")), covered.to_canonical()).unwrap();
        self.tpm.recover(RecoveryKey::load(&path)?, vec![label.to_owned()]).map(drop)
    }
}

impl Device for TpmDevice {
    fn name(&self) -> &'static str {
        "tpm"
    }

    fn signing_key(&self, number: u8) -> Named<SharedSigningKey> {
        self.sealed_key(&format!("signing-{number}"), [number; 32])
    }

    fn record_key(&self, number: u8) -> Named<SharedSigningKey> {
        let label = format!("record-{number}");
        // Of a resident key nobody knows the public half who has not made it.
        let public = self.folder.join(format!("{label}.public"));
        let key = known_or(&self.signing, &label, || {
            if let Ok(known) = fs::read_to_string(&public) {
                let known = PublicKey::from_hex(&known).unwrap();
                return Ok(Arc::new(ResidentKey::new(self.tpm.clone(), &label, known)));
            }
            let made = self.tpm.generate(&label, Algorithm::Es256)?;
            fs::write(&public, made.public_key().to_hex()).unwrap();
            Ok(made)
        });
        Named { key, words: words_of(&label) }
    }

    fn wrapping_key(&self, number: u8) -> Named<Arc<dyn WrappingKey>> {
        let label = format!("wrapping-{number}");
        // What it is known by, for the process that has not made it.
        let id = self.folder.join(format!("{label}.id"));
        let key = known_or(&self.wrapping, &label, || {
            if let Ok(known) = fs::read_to_string(&id) {
                return TpmWrappingKey::open(self.tpm.clone(), &label, &known).map(Arc::new);
            }
            let made = self.tpm.generate_wrapping(&label)?;
            fs::write(&id, made.key_id()).unwrap();
            Ok(Arc::new(made))
        });
        let mut words = words_of(&label);
        words.push(("key_id", key.key_id().to_owned()));
        Named { key, words }
    }

    fn imported_key(&self, seed: [u8; 32]) -> Named<SharedSigningKey> {
        self.sealed_key("imported", seed)
    }

    fn secrets(&self, number: u8) -> Vec<(&'static str, Vec<u8>)> {
        vec![("the PIN", PIN.into()), ("the signing key", vec![number; 32])]
    }

    fn share_with(&self, process: &mut Command) {
        process.env(FOLDER, &self.folder).env(TCTI, self.tcti());
    }

    fn own(&self) -> Box<dyn OwnDevice> {
        // Nobody makes a key meanwhile.
        let (_signing, _wrapping) = (self.signing.lock().unwrap(), self.wrapping.lock().unwrap());
        let (swtpm, _) = self.swtpm.as_ref().expect("commands are started by whoever has the TPM");
        Box::new(OwnTpm { folder: self.folder.clone(), swtpm: swtpm.copy() })
    }
}

/// A TPM with the same keys. What lies in the folder is only read.
struct OwnTpm {
    folder: PathBuf,
    swtpm: Swtpm,
}

impl OwnDevice for OwnTpm {
    fn words(&self) -> Words {
        let [parent_name, policy_key] = pinned(&self.folder);
        vec![
            ("tcti", self.swtpm.tcti()),
            ("folder", text(&blobs(&self.folder))),
            ("parent_name", parent_name),
            ("policy_key", policy_key),
            ("pin_file", text(&self.folder.join("pin"))),
        ]
    }

    fn swtpm(&self) -> Option<&Swtpm> {
        Some(&self.swtpm)
    }
}

fn words_of(label: &str) -> Words {
    vec![("label", label.to_owned())]
}

/// Where the TPM's files lie.
fn blobs(folder: &Path) -> PathBuf {
    folder.join("tpm")
}

fn has(folder: &Path, blob: &str) -> bool {
    blobs(folder).join(blob).exists()
}

/// As `custody tpm provision` does. What it pins is written down.
fn provision(folder: &Path, tcti: &str) {
    write_secret(&folder.join("pin"), PIN);
    let key = PolicyKey::create(&folder.join("policy.pem")).unwrap();
    let policy_key = key.public_key().to_hex();
    let parent_name = Tpm::new(unpinned(folder, tcti, Some(key.public_key().clone()))).provision(key).unwrap();
    fs::write(folder.join("pinned"), format!("{parent_name}\n{policy_key}")).unwrap();
}

/// The parent's Name and the policy key.
fn pinned(folder: &Path) -> [String; 2] {
    let text = fs::read_to_string(folder.join("pinned")).unwrap();
    let (parent_name, policy_key) = text.split_once('\n').unwrap();
    [parent_name.to_owned(), policy_key.to_owned()]
}

fn config(folder: &Path, tcti: &str) -> TpmConfig {
    let [parent_name, policy_key] = pinned(folder);
    let config = unpinned(folder, tcti, Some(PublicKey::from_hex(&policy_key).unwrap()));
    TpmConfig { parent_name: Some(parent_name), ..config }
}

fn unpinned(folder: &Path, tcti: &str, policy_key: Option<PublicKey>) -> TpmConfig {
    TpmConfig {
        tcti: Tcti::parse(tcti).unwrap(),
        folder: blobs(folder),
        parent: Parent::Template,
        parent_name: None,
        policy_key,
        recovery_key: None,
        pcrs: USUAL_PCRS.parse().unwrap(),
        application_pcr: None,
        security_digest: Digest::of(b""),
        pin: Some(PinSource::File(folder.join("pin"))),
        owner_auth_file: None,
        event_log: None,
    }
}

/// Writes a file that only its owner reads.
fn write_secret(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
