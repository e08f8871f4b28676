//! The commands over a SoftHSM token, a swtpm beside it, and the sandbox.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use local_vault::protocol::PublicKey;
use local_vault::protocol::attestation::{Assurance, SignedRecord};
use local_vault::protocol::json::{self, Value};

use super::place::{Done, INSTALLATION, LABEL, Loop, Place};
use super::sandbox::Sandbox;
use super::swtpm::Swtpm;

/// The usual selection, and the PCRs in it.
const SELECTION: &str = "sha256:0,1,2,3,7";
const PCRS: [u32; 5] = [0, 1, 2, 3, 7];

/// A vault with keys in a token, a TPM that quotes, and a receiver.
struct Quoting {
    place: Place,
    tpm: Swtpm,
    sandbox: Sandbox,
}

impl Quoting {
    /// With these lines in `[attestation.quote]`.
    fn new(more: &str) -> Self {
        Self::with(Swtpm::new(), more)
    }

    fn with(tpm: Swtpm, more: &str) -> Self {
        let (place, sandbox) = Place::with_sandbox("wrapping");
        let quote = format!("[attestation.quote]\ntcti = \"{}\"\n{more}\n\n[custody]\n", tpm.tcti());
        place.reconfigure("[custody]\n", &quote);
        Self { place, tpm, sandbox }
    }

    /// Registers a record, and gives what was kept.
    #[track_caller]
    fn register(&self) -> SignedRecord {
        let said = self.place.ok(&["attestation", "register"]);
        assert!(said.starts_with("registered L2 record "), "{said}");
        stored(&self.place.path("attestation.json"))
    }

    /// Verifies the kept record as somebody else does, with the values of the TPM's PCRs changed so.
    fn verify(&self, change: impl Fn(u32, String) -> String) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-vault"));
        command.env_clear().current_dir(self.tpm.folder()).env("HOME", self.tpm.folder());
        let key = self.place.public_key("relay");
        command.args(["verify", "--public-key", &key, "--attestation"]).arg(self.place.path("attestation.json"));
        for pcr in PCRS {
            command.args(["--pcr", &format!("{pcr}={}", change(pcr, self.tpm.pcr(pcr)))]);
        }
        Done::of(&mut command)
    }

    /// How many records the receiver has.
    fn registered(&self) -> usize {
        let record = String::from_utf8(self.sandbox.record()).unwrap();
        record.lines().filter(|line| line.contains("/attestations\"")).count()
    }
}

fn stored(path: &PathBuf) -> SignedRecord {
    SignedRecord::from_object(&json::parse(&fs::read(path).unwrap()).unwrap()).unwrap()
}

/// What `tpm2_checkquote` says of a quote that was published.
fn check_quote(tpm: &Swtpm, signed: &SignedRecord) {
    let quote = signed.record.holder.quote().unwrap();
    for (name, content) in
        [("ak.pub", &quote.ak_public), ("quote.msg", &quote.message), ("quote.sig", &quote.signature)]
    {
        fs::write(tpm.folder().join(name), content).unwrap();
    }
    let digest = signed.record.measurement.digest().to_string();
    tpm.tool("tpm2_pcrread", &[SELECTION, "-o", "quote.pcrs"]);
    let pem = tpm.tool("tpm2_print", &["-t", "TPM2B_PUBLIC", "-f", "pem", "ak.pub"]);
    fs::write(tpm.folder().join("ak.pem"), pem).unwrap();
    let files = ["-u", "ak.pem", "-m", "quote.msg", "-s", "quote.sig", "-f", "quote.pcrs", "-l", SELECTION];
    tpm.tool("tpm2_checkquote", &[files.as_slice(), &["-g", "sha256", "-q", &digest]].concat());
}

#[test]
fn a_quote_is_taken_registered_and_verified_by_everybody() {
    for algorithm in ["rsa", "ecc"] {
        let quoting = Quoting::new(&format!("ak_algorithm = \"{algorithm}\""));
        quoting.tpm.extend(7, "firmware");
        let report = quoting.place.ok(&["attestation", "self-test", "--json"]);
        let report = json::parse(report.as_bytes()).unwrap();
        assert_eq!((report.get_str("assurance"), report.get_str("provider")), (Some("L2"), Some("pkcs11+tpm2")));
        assert_eq!(quoting.registered(), 0);

        let signed = quoting.register();
        assert_eq!(quoting.registered(), 1);
        let key = PublicKey::from_hex(&quoting.place.public_key("relay")).unwrap();
        assert_eq!(signed.verify(&key).unwrap().assurance, Assurance::L2);
        check_quote(&quoting.tpm, &signed);
        let scheme = signed.record.holder.quote().unwrap().scheme.name();
        assert_eq!(scheme, if algorithm == "rsa" { "rsassa-sha256" } else { "ecdsa-sha256" });
        assert!(signed.evidence.is_empty(), "this TPM has no certificate, and holds no keys");

        let shown = quoting.place.ok(&["attestation", "show"]);
        assert!(shown.starts_with("level        L2 (tpm2-quote)\n"), "{shown}");
        let said = quoting.verify(|_, value| value).ok();
        assert!(said.contains("golden       the PCRs had the values given\n"), "{said}");
        let wrong = quoting.verify(|pcr, value| if pcr == 7 { "00".repeat(32) } else { value });
        assert_eq!(wrong.code, Some(65), "{wrong:?}");
        assert!(wrong.err.contains("the PCRs did not have the values given"), "{wrong:?}");
        quoting.tpm.extend(7, "other firmware");
        assert_eq!(quoting.verify(|_, value| value).code, Some(65), "the machine is another one now");
        judge(&quoting.place);
    }
}

#[test]
fn the_attestation_key_persists_over_processes_and_restarts_until_it_is_evicted() {
    let quoting = Quoting::new("");
    let name = |signed: SignedRecord| signed.record.holder.quote().unwrap().ak_name.clone();
    let first = name(quoting.register());
    assert_eq!(quoting.tpm.tool("tpm2_getcap", &["handles-persistent"]).trim(), "- 0x81010002");
    assert_eq!(name(quoting.register()), first);
    quoting.tpm.stop();
    quoting.tpm.start();
    assert_eq!(name(quoting.register()), first);

    let evict = |more: &[&str]| quoting.place.run(&[&["custody", "tpm", "evict", "--attestation-key"], more].concat());
    evict(&[]).fails(
        64,
        "the attestation key at 0x81010002 would be destroyed",
        "There is no way back. Say --yes where it is meant.",
    );
    assert_eq!(name(quoting.register()), first);
    assert_eq!(evict(&["--yes"]).ok(), "the attestation key at 0x81010002 is destroyed\n");
    assert_eq!(quoting.tpm.tool("tpm2_getcap", &["handles-persistent"]).trim(), "");
    evict(&["--yes"]).fails(
        78,
        "there is no such thing: the attestation key at 0x81010002",
        "Run: local-vault custody tpm status",
    );
    assert_ne!(name(quoting.register()), first, "a new key");
}

#[test]
fn the_certificate_of_the_endorsement_key_is_kept_and_never_posted() {
    let quoting = Quoting::with(Swtpm::with_ek_certificate(), "");
    let signed = quoting.register();
    fs::write(quoting.tpm.folder().join("ek.der"), signed.evidence.ek_certificate.as_ref().unwrap()).unwrap();
    let [issuer, root] = quoting.tpm.authority();
    let mut openssl = Command::new("openssl");
    openssl.current_dir(quoting.tpm.folder()).args(["verify", "-partial_chain", "-CAfile"]).arg(root);
    let done = openssl.arg("-untrusted").arg(issuer).arg("ek.der").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(!String::from_utf8(quoting.sandbox.record()).unwrap().contains("ek_certificate"));
    assert!(quoting.place.ok(&["attestation", "show"]).contains("EK           certificate in the file"));
}

#[test]
fn a_key_that_is_no_attestation_key_quotes_nothing() {
    let quoting = Quoting::new("");
    // An ordinary signing key, which signs whatever looks like a quote.
    let tool = |program, words: &str| {
        quoting.tpm.tool(program, &words.split(' ').collect::<Vec<_>>());
        quoting.tpm.flush();
    };
    tool(
        "tpm2_createprimary",
        "-C o -G ecc256:ecdsa-sha256:null -c key.ctx -a \
         fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign",
    );
    tool("tpm2_evictcontrol", "-C o -c key.ctx 0x81010002");
    for command in ["self-test", "register"] {
        let done = quoting.place.run(&["attestation", command]);
        assert_eq!(done.code, Some(78), "{done:?}");
        assert!(done.err.contains("the key at 0x81010002 is no attestation key"), "{done:?}");
    }
    assert_eq!(quoting.place.run(&["relay", "drain"]).code, Some(78));
    let done = quoting.place.run(&["custody", "tpm", "evict", "--attestation-key", "--yes"]);
    assert!(done.code == Some(78) && done.err.contains("is no attestation key"), "{done:?}");
    assert_eq!(quoting.tpm.tool("tpm2_getcap", &["handles-persistent"]).trim(), "- 0x81010002");
    assert!(!quoting.place.path("attestation.json").exists());
    assert_eq!(quoting.registered(), 0);
    // A key somewhere else is one.
    quoting.place.reconfigure("[attestation.quote]\n", "[attestation.quote]\nak_handle = \"0x81010003\"\n");
    quoting.register();
}

#[test]
fn a_tpm_that_is_away_is_waited_for_where_its_quote_is_asked_for() {
    let quoting = Quoting::new("");
    let place = &quoting.place;
    place.attest("a");
    quoting.tpm.kill();
    for words in [["relay", "drain"], ["attestation", "self-test"], ["attestation", "register"]] {
        assert_eq!(place.run(&words).code, Some(69), "{words:?}");
    }
    assert_eq!(place.count("queued"), 1);
    let relay = Loop::start(&mut place.command(&["drain-loop", "--idle-sleep-seconds", "0.05"]));
    assert_eq!(relay.next().get_str("error"), Some("signing-key-unavailable"));
    quoting.tpm.start();
    relay.until(|line| line.get("sent") == Some(&Value::Bool(true)));
    let said = relay.end();
    assert!(said.contains("Degraded: ") && said.contains("Recovered: "), "{said}");
    assert_eq!(quoting.sandbox.recorded_events().len(), 1);
}

#[test]
fn less_will_do_where_that_is_written_and_is_never_silent() {
    let quoting = Quoting::new("");
    quoting.place.reconfigure("[attestation.quote]", "[attestation]\nminimum = \"L1\"\n[attestation.quote]");
    quoting.register();
    quoting.tpm.kill();
    let done = quoting.place.run(&["attestation", "register"]);
    assert!(done.err.starts_with("Downgraded to L1, as the configuration allows: "), "{done:?}");
    assert!(done.ok().starts_with("registered L1 record "));
    let done = quoting.place.run(&["attestation", "self-test"]);
    assert!(done.code == Some(69) && done.err.starts_with("Downgraded to L1"), "{done:?}");
}

#[test]
fn the_published_settings_alone_make_the_same_record() {
    let (place, tpm) = (Place::new(&["relay"]), Swtpm::new());
    let sandbox = Sandbox::trusting(INSTALLATION, &place.public_key("relay"));
    let command = |words: &[&str], more: &[(&str, &str)]| {
        let mut command = place.without_config(words);
        let mut set = |name: &str, value: &str| {
            command.env(format!("ATTESTO_LOCAL_VAULT_{name}"), value);
        };
        set("SIGNING_PROVIDER", "pkcs11+tpm2");
        set("PKCS11_MODULE", &place.shown("module.so"));
        set("PKCS11_TOKEN_LABEL", LABEL);
        set("PKCS11_KEY_LABEL", "local-vault-relay");
        set("PKCS11_PIN_FILE", &place.shown("token.pin"));
        set("KEY_ID", "k1");
        set("INSTALLATION_ID", INSTALLATION);
        set("RELAY_URL", sandbox.url());
        set("CA_FILE", sandbox.ca_file().to_str().unwrap());
        set("TPM2_PCRS", "sha256:7,11");
        set("TPM2_AK_HANDLE", "0x81010009");
        set("TPM2_AK_ALGORITHM", "ecc");
        set("ATTESTATION_FILE", &place.shown("published.json"));
        let url = sandbox.at(&format!("/v2/local-vault/installations/{INSTALLATION}/attestations"));
        set("ATTESTATION_URL", &url);
        more.iter().for_each(|(name, value)| set(name, value));
        Done::of(command.env("TPM2TOOLS_TCTI", tpm.tcti()))
    };
    command(&["attestation", "register"], &[("ASSURANCE", "L2")]).ok();
    let quote = stored(&place.path("published.json")).record.holder.quote().unwrap().clone();
    assert_eq!((quote.pcr_selection.to_string().as_str(), quote.scheme.name()), ("sha256:7,11", "ecdsa-sha256"));
    assert_eq!(tpm.tool("tpm2_getcap", &["handles-persistent"]).trim(), "- 0x81010009");
    command(&["attestation", "register"], &[]).ok();
    assert_eq!(stored(&place.path("published.json")).record.assurance(), Assurance::L2);

    tpm.kill();
    assert_eq!(command(&["attestation", "register"], &[]).code, Some(69), "L2 is asked for where nothing is said");
    let done = command(&["attestation", "register"], &[("ASSURANCE", "L1")]);
    assert!(done.err.contains("Downgraded to L1"), "{done:?}");
    done.ok();
    assert_eq!(stored(&place.path("published.json")).record.assurance(), Assurance::L1);
}

/// Lets the published package 2.0.1 verify the kept record, where `ci/interop` names a Python that has it.
fn judge(place: &Place) {
    let Some(python) = std::env::var_os("LOCAL_VAULT_PUBLISHED_PYTHON") else { return };
    let mut command = Command::new(python);
    command.arg("-B").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/attestation/judge.py"));
    let done = command.arg(place.path("attestation.json")).arg(place.public_key("relay")).stdin(Stdio::null()).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
