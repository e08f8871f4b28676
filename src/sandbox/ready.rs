use std::fs;
use std::io;
use std::path::Path;

use super::tls::Identity;
use crate::facts::with_suffix;
use crate::protocol::json::Object;

/// Tells whoever waits for it where the sandbox listens and whom to trust: writes `path`, and before it the
/// authority's certificate to `path` with `.ca.pem` behind it.
pub(super) fn announce(
    path: &Path,
    base_url: &str,
    installations: &[String],
    identity: Option<&Identity>,
) -> io::Result<()> {
    let ca_file = identity.map(|identity| write_ca(path, identity)).transpose()?;
    let url = |id: &String| format!("{base_url}/v2/local-vault/installations/{id}/events");
    let urls = installations.iter().fold(Object::new(), |urls, id| urls.with(id, url(id)));
    let ready = Object::new()
        .with("url", installations.first().map(url))
        .with("urls", urls)
        .with("base_url", base_url)
        .with("ca_file", ca_file)
        .with("spki_sha256", identity.map(|identity| identity.spki_sha256.to_string()));
    write(path, &ready.to_canonical())
}

/// Gives the absolute path, since whoever reads the ready file may stand in another folder.
fn write_ca(path: &Path, identity: &Identity) -> io::Result<String> {
    let ca_file = std::path::absolute(with_suffix(path, ".ca.pem"))?;
    write(&ca_file, identity.ca_pem.as_bytes())?;
    ca_file.into_os_string().into_string().map_err(|_| io::Error::other("the path is not UTF-8"))
}

/// Nobody ever sees half a file.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = with_suffix(path, ".new");
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, path)
}
