use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::custody::SigningKey as _;
use crate::custody::file::{FileKey, generate_root_key, generate_seed_hex};
use crate::facts::folder_of;
use crate::protocol::json::Object;

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  local-vault generate-signing-key --private-key-file relay.key --key-id local-vault-1")]
pub(in crate::cli) struct SigningKeyArgs {
    /// The name under which the platform will know the key
    #[arg(long, default_value = "local-vault-1")]
    key_id: String,
    /// The file to write; an existing one is never overwritten
    #[arg(long, value_name = "FILE")]
    private_key_file: PathBuf,
}

pub(in crate::cli) fn encryption() -> Result<u8, Failure> {
    Output::new().line(&generate_root_key())?;
    Ok(0)
}

pub(in crate::cli) fn signing(args: SigningKeyArgs) -> Result<u8, Failure> {
    let path = &shortest(&args.private_key_file);
    let shown = path.display().to_string();
    let seed = generate_seed_hex();
    create(path, &seed).map_err(|e| Failure::io(&format!("cannot create {shown}"), &e))?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(seed.as_bytes(), &mut bytes).map_err(|_| Failure::software("a seed is not hex"))?;
    let key = FileKey::from_seed(bytes);
    let line = Object::new()
        .with("keyId", args.key_id)
        .with("publicKeyHex", key.public_key().to_hex())
        .with("privateKeyFile", shown);
    Output::new().json(&line)?;
    Ok(0)
}

/// The path without repeated slashes and single points, as Python writes it.
fn shortest(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// Writes a key file that was not there before, durably: the key is in use from the moment it was shown.
fn create(path: &Path, seed: &str) -> io::Result<()> {
    let folder = folder_of(path);
    fs::create_dir_all(folder)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    write(file, folder, seed).inspect_err(|_| {
        // Half a key would stand in the way of a whole one. Where it cannot go, the first error tells more.
        let _ = fs::remove_file(path);
    })
}

fn write(mut file: File, folder: &Path, seed: &str) -> io::Result<()> {
    file.write_all(seed.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}
