use std::path::{Path, PathBuf};

use super::config::TpmConfig;
use super::signed_policy::SignedPolicy;
use super::{durable, error, parent};
use crate::custody::{CustodyError, ErrorKind};
use crate::protocol::PublicKey;
use crate::protocol::json;

/// Every policy in the folder, each signed with the policy key.
pub(super) fn in_folder(config: &TpmConfig) -> Result<Vec<SignedPolicy>, CustodyError> {
    Ok(with_paths(config)?.into_iter().map(|(_, policy)| policy).collect())
}

/// The same, with where each lies.
pub(super) fn with_paths(config: &TpmConfig) -> Result<Vec<(PathBuf, SignedPolicy)>, CustodyError> {
    policy_key(&config.policy_key)?;
    let read = |path: PathBuf| {
        let policy = read(&path)?;
        policy.verify(config, &path.display().to_string())?;
        Ok((path, policy))
    };
    paths(&config.folder)?.into_iter().map(read).collect()
}

/// The policy files of a folder, in the order of their names.
pub(super) fn paths(folder: &Path) -> Result<Vec<PathBuf>, CustodyError> {
    let mut paths = durable::list(&folder.join(FOLDER))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    Ok(paths)
}

/// Reads a policy file. Its signature is not looked at.
pub(super) fn read(path: &Path) -> Result<SignedPolicy, CustodyError> {
    let bytes = durable::read(path)?;
    let policy = json::parse(&bytes).ok().and_then(|object| SignedPolicy::from_object(&object));
    policy.ok_or_else(|| {
        let message = format!("{} is no signed policy", path.display());
        error(ErrorKind::Broken, "policy", message, "Sign one: local-vault custody policy sign")
    })
}

/// Where the policies of a folder lie.
pub(super) fn folder(folder: &Path) -> PathBuf {
    folder.join(FOLDER)
}

/// Puts a policy into the folder, under a name that tells what it is.
pub(super) fn install(folder: &Path, policy: &SignedPolicy) -> Result<PathBuf, CustodyError> {
    let folder = folder.join(FOLDER);
    durable::make_folder(&folder)?;
    let text = policy.to_object().to_canonical();
    let digest = crate::facts::Digest::of(&text).to_string();
    let path = folder.join(format!("{:06}-{}.json", policy.generation, &digest[..12]));
    durable::replace(&path, &text)?;
    Ok(path)
}

/// The Name of the configured parent.
pub(super) fn parent_name(config: &TpmConfig) -> Result<&str, CustodyError> {
    config.parent_name.as_deref().ok_or_else(parent::not_provisioned)
}

/// The configured policy key.
pub(super) fn policy_key(configured: &Option<PublicKey>) -> Result<PublicKey, CustodyError> {
    configured.clone().ok_or_else(|| {
        let advice = "Run `local-vault custody tpm provision` once, and put what it prints into the config file.";
        error(ErrorKind::Misconfigured, "policy", "no policy key is configured", advice)
    })
}

const FOLDER: &str = "policies";
