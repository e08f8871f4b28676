//! A machine whose keys are in a TPM alone: its relay key is released to memory, which no level is for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use local_vault::protocol::PublicKey;
use local_vault::protocol::attestation::{Assurance, AttestationError, Holder, SignedRecord};
use local_vault::protocol::json;
use local_vault::protocol::tpm::{TpmError, TpmKind};
use tempfile::TempDir;

use super::place::{Done, INSTALLATION};
use super::sandbox::Sandbox;
use super::softhsm::write_secret;
use super::swtpm::Swtpm;

/// A vault with a provisioned TPM, and keys in it as `custody generate` makes them.
struct Sealed {
    tpm: Swtpm,
    folder: TempDir,
}

impl Sealed {
    fn new(tpm: Swtpm) -> Self {
        Self::with(tpm, "")
    }

    /// With these lines in `[custody.tpm]`.
    fn with(tpm: Swtpm, more: &str) -> Self {
        let sealed = Self { tpm, folder: tempfile::tempdir().unwrap() };
        let head = format!("installation.id = \"{INSTALLATION}\"\nspool.path = \"spool.sqlite3\"\n");
        let custody = format!("[custody]\nbackend = \"tpm\"\n\n[custody.tpm]\ntcti = \"{}\"\n", sealed.tpm.tcti());
        fs::write(sealed.config(), head + &custody + more).unwrap();
        write_secret(&sealed.folder.path().join("tpm.pin"), "2468\n");
        for words in [
            "custody tpm provision --policy-key policy.pem --recovery-key recovery.key",
            "custody generate relay",
            "custody generate source",
            "custody generate record",
        ] {
            let printed = sealed.run(words).ok();
            fs::write(sealed.config(), fs::read_to_string(sealed.config()).unwrap() + &printed).unwrap();
        }
        sealed
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("local-vault.toml")
    }

    /// Puts this in front of `[custody]`.
    fn configure(&self, what: &str) {
        let config = fs::read_to_string(self.config()).unwrap();
        fs::write(self.config(), config.replacen("[custody]\n", &format!("{what}\n\n[custody]\n"), 1)).unwrap();
    }

    fn run(&self, words: &str) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-vault"));
        command.env_clear().current_dir(self.folder.path()).env("HOME", self.folder.path()).stdin(Stdio::null());
        command.env("TSS2_LOG", "all+NONE").args(["--config", "local-vault.toml"]).args(words.split(' '));
        Done::of(&mut command)
    }

    /// What the config file says of a key.
    fn public_key(&self, purpose: &str) -> PublicKey {
        let config = fs::read_to_string(self.config()).unwrap();
        let (_, section) = config.split_once(&format!("[custody.keys.{purpose}]\n")).unwrap();
        let line = section.lines().find_map(|line| line.strip_prefix("public_key = ")).unwrap();
        PublicKey::from_hex(line.trim_matches('"')).unwrap()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("attestation.json")
    }

    fn stored(&self) -> SignedRecord {
        read(&self.file())
    }
}

fn read(path: &Path) -> SignedRecord {
    SignedRecord::from_object(&json::parse(&fs::read(path).unwrap()).unwrap()).unwrap()
}

/// Verifies a file as somebody else does, with words more on the command line.
fn verify(file: &Path, key: &PublicKey, more: &[String]) -> Done {
    let mut command = Command::new(env!("CARGO_BIN_EXE_local-vault"));
    command.env_clear().env("HOME", file.parent().unwrap()).stdin(Stdio::null());
    command.args(["verify", "--public-key", &key.to_hex(), "--attestation"]).arg(file).args(more);
    Done::of(&mut command)
}

#[test]
fn a_sealed_key_has_a_record_of_our_own_which_certifies_the_resident_keys() {
    let sealed = Sealed::new(Swtpm::with_ek_certificate());
    let said = sealed.run("attestation self-test").ok();
    assert!(said.starts_with("level        L0 (tpm2-sealed-key-custody)\n"), "{said}");
    assert!(said.ends_with("verified; nothing was written, nothing was sent\n"), "{said}");
    assert!(!sealed.file().exists());
    let remedy = "local-vault attestation self-test --write";
    sealed.run("attestation show").fails(78, "there is no record at attestation.json", &format!("Make one: {remedy}"));

    sealed.run("attestation self-test --write").ok();
    let (key, signed) = (sealed.public_key("relay"), sealed.stored());
    let verified = signed.verify(&key).unwrap();
    assert_eq!((verified.assurance, verified.quoted.is_some()), (Assurance::L0, true));
    let Holder::SealingTpm(identity, _) = &signed.record.holder else { panic!("{signed:?}") };
    assert_eq!((identity.manufacturer.as_str(), identity.kind), ("IBM", TpmKind::Vtpm));
    assert_eq!(identity.pcr_selection.to_string(), "sha256:7,11,14");
    let config = fs::read_to_string(sealed.config()).unwrap();
    assert!(config.contains(&format!("policy_key = \"{}\"", identity.policy_key.to_hex())), "{config}");
    assert!(signed.evidence.ek_certificate.is_some());
    let certified: Vec<_> =
        signed.evidence.certified_keys.iter().map(|key| (key.purpose.as_str(), &key.public_key)).collect();
    let (source, record) = (sealed.public_key("source"), sealed.public_key("record"));
    assert_eq!(certified, [("source", &source), ("record", &record)]);

    let shown = sealed.run("attestation show").ok();
    for line in [
        "sealed by    a TPM (vtpm), which releases the key to memory while it signs\n".to_owned(),
        format!("certified    source {}\n", source.to_hex()),
        format!("certified    record {}\n", record.to_hex()),
        "verifies with the relay key\n".to_owned(),
    ] {
        assert!(shown.contains(&line), "{line}: {shown}");
    }
}

#[test]
fn keys_with_a_pin_are_certified_too_and_a_wrong_one_is_refused_once() {
    let sealed = Sealed::with(Swtpm::new(), "pin_file = \"tpm.pin\"\n");
    let before = sealed.tpm.tool("tpm2_getcap", &["properties-variable"]);
    sealed.run("attestation self-test --write").ok();
    assert_eq!(sealed.stored().evidence.certified_keys.len(), 2);
    write_secret(&sealed.folder.path().join("tpm.pin"), "1357\n");
    let done = sealed.run("attestation self-test");
    assert!(done.code == Some(77) && done.err.contains("the TPM refused the PIN"), "{done:?}");
    let counter = |said: &str| said.lines().find(|line| line.contains("LOCKOUT_COUNTER")).unwrap().to_owned();
    let after = sealed.tpm.tool("tpm2_getcap", &["properties-variable"]);
    assert_eq!(counter(&before), counter(&after), "our keys lock nothing");
}

#[test]
fn its_record_is_verified_anywhere_with_golden_values() {
    let sealed = Sealed::new(Swtpm::new());
    sealed.run("attestation self-test --write").ok();
    let key = sealed.public_key("relay");
    let golden = |wrong: Option<u32>| -> Vec<String> {
        let value = |pcr| if wrong == Some(pcr) { "00".repeat(32) } else { sealed.tpm.pcr(pcr) };
        // The PCRs are all zeroes in a swtpm that nobody measured into.
        [0, 1, 2, 3, 7].into_iter().flat_map(|pcr| ["--pcr".to_owned(), format!("{pcr}={}", value(pcr))]).collect()
    };
    let said = verify(&sealed.file(), &key, &golden(None)).ok();
    assert!(said.contains("golden       the PCRs had the values given\n"), "{said}");
    assert!(said.contains(&format!("certified    source {}\n", sealed.public_key("source").to_hex())), "{said}");
    let json = verify(&sealed.file(), &key, &["--json".to_owned()]).ok();
    let json = json::parse(json.as_bytes()).unwrap();
    assert_eq!((json.get_str("assurance"), json.get_str("kind")), (Some("L0"), Some("tpm2-sealed-key-custody")));
    let certified = json.get("certifiedKeys").unwrap().as_array().unwrap();
    assert_eq!(certified[1].as_object().unwrap().get_str("purpose"), Some("record"));

    sealed.tpm.extend(7, "other firmware");
    let wrong = verify(&sealed.file(), &key, &golden(None));
    assert!(wrong.code == Some(65) && wrong.err.contains("the PCRs did not have the values given"), "{wrong:?}");

    // What is exchanged in it is seen.
    let text = fs::read_to_string(sealed.file()).unwrap();
    fs::write(sealed.folder.path().join("other.json"), text.replace("\"vtpm\"", "\"laptop\"")).unwrap();
    let other = verify(&sealed.folder.path().join("other.json"), &key, &[]);
    assert!(other.code == Some(65) && other.err.contains("`record.sealed.kind`"), "{other:?}");
    let mut signed = sealed.stored();
    signed.evidence.certified_keys[0].public_key = sealed.public_key("record");
    let error = TpmError::KeyName;
    assert_eq!(signed.verify(&key), Err(AttestationError::Certified { purpose: "source".into(), error }));
    let mut signed = sealed.stored();
    let Holder::SealingTpm(identity, _) = &mut signed.record.holder else { panic!("{signed:?}") };
    identity.kind = TpmKind::Discrete;
    assert!(matches!(signed.verify(&key), Err(AttestationError::Signature(_))));
}

#[test]
fn it_is_registered_nowhere_and_stands_for_no_level() {
    let sealed = Sealed::new(Swtpm::new());
    let sandbox = Sandbox::trusting(INSTALLATION, &sealed.public_key("relay").to_hex());
    sealed.configure(&format!("[relay]\nendpoint = \"{}\"\nca_file = {:?}", sandbox.url(), sandbox.ca_file()));
    sealed.run("attestation register").fails(
        78,
        "the platform knows no record of a key that a TPM seals",
        "Make and write one: local-vault attestation self-test --write. `verify --attestation` verifies it anywhere.",
    );
    assert!(sandbox.record().is_empty() && !sealed.file().exists());
    sealed.configure("[attestation]\nminimum = \"L1\"");
    for words in ["attestation self-test", "relay drain"] {
        let done = sealed.run(words);
        assert_eq!(done.code, Some(78), "{done:?}");
        assert!(done.err.contains("L1 is asked for and cannot be shown: the relay key is not in a token"), "{done:?}");
    }
}

#[test]
fn it_quotes_as_configured_and_never_through_another_tpm() {
    let sealed = Sealed::new(Swtpm::new());
    sealed.configure("[attestation.quote]\npcrs = \"sha256:7,11\"\nak_algorithm = \"ecc\"\nak_handle = \"0x81010007\"");
    sealed.run("attestation self-test --write").ok();
    let quote = sealed.stored().record.holder.quote().unwrap().clone();
    assert_eq!((quote.pcr_selection.to_string().as_str(), quote.scheme.name()), ("sha256:7,11", "ecdsa-sha256"));
    assert_eq!(
        sealed.run("custody tpm evict --attestation-key --yes").ok(),
        "the attestation key at 0x81010007 is destroyed\n"
    );
    let config = fs::read_to_string(sealed.config()).unwrap();
    fs::write(
        sealed.config(),
        config.replacen("[attestation.quote]\n", "[attestation.quote]\ntcti = \"device:/dev/tpm0\"\n", 1),
    )
    .unwrap();
    let done = sealed.run("attestation self-test");
    assert_eq!(done.code, Some(78), "{done:?}");
    assert!(done.err.contains("attestation.quote.tcti is not custody.tpm.tcti"), "{done:?}");
}
