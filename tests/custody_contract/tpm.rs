#[path = "../support/swtpm.rs"]
mod swtpm;

use std::sync::{Arc, OnceLock};

use local_vault::custody::conformance::Subject;
use local_vault::custody::tpm::{Parent, PolicyKey, Tcti, Tpm, TpmConfig, Trial};
use local_vault::facts::Digest;
use swtpm::Swtpm;
use tempfile::TempDir;

/// One TPM for every test of this process: each names its keys as no other does.
pub(super) fn swtpm() -> Option<Box<dyn Subject>> {
    static TPM: OnceLock<(Arc<Tpm>, Swtpm, TempDir)> = OnceLock::new();
    let (tpm, ..) = TPM.get_or_init(provisioned);
    Some(Box::new(Trial::new(tpm.clone())))
}

fn provisioned() -> (Arc<Tpm>, Swtpm, TempDir) {
    let (swtpm, folder) = (Swtpm::new(), TempDir::new().unwrap());
    let mut config = TpmConfig {
        tcti: Tcti::parse(&swtpm.tcti()).unwrap(),
        folder: folder.path().join("tpm"),
        parent: Parent::Template,
        parent_name: None,
        policy_key: None,
        recovery_key: None,
        pcrs: "sha256:7,11,14".parse().unwrap(),
        application_pcr: None,
        security_digest: Digest::of(b"config"),
        pin: None,
        event_log: None,
        owner_auth_file: None,
    };
    let key = PolicyKey::create(&folder.path().join("policy.pem")).unwrap();
    config.policy_key = Some(key.public_key().clone());
    config.parent_name = Some(Tpm::new(config.clone()).provision(key).unwrap());
    (Tpm::new(config), swtpm, folder)
}
