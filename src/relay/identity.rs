use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TrustError;

/// What we show to a server that asks who we are (mTLS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// A PEM file with our certificate and those between it and its authority.
    pub certificate: PathBuf,
    /// A PEM file with its private key, unencrypted.
    pub key: PathBuf,
}

impl Identity {
    /// Blocking: reads both files.
    pub(super) fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TrustError> {
        let chain = CertificateDer::pem_file_iter(&self.certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|e| unreadable(&self.certificate, &e))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| unreadable(&self.key, &e))?;
        Ok((chain, key))
    }
}

/// Without the words of the parser, which may repeat a line of the file.
fn unreadable(path: &Path, error: &Error) -> TrustError {
    let why = match error {
        Error::Io(e) => e.to_string(),
        _ => "it is not in PEM form, or holds something else".to_owned(),
    };
    TrustError::IdentityUnreadable { path: path.to_owned(), why }
}
