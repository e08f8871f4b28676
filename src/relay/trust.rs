use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::Identity;
use crate::facts::Digest;

/// Whom the relay takes for the receiver (I6).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// A PEM file of certificate authorities, which then are the only ones. Without it the system's are trusted,
    /// or those of `SSL_CERT_FILE` and `SSL_CERT_DIR` where these are set.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 digests of the SubjectPublicKeyInfo (RFC 7469 section 2.4) of which the receiver's own certificate
    /// must have one, besides a chain that verifies. Empty: the chain is enough.
    pub spki_pins: Vec<Digest>,
}

impl Trust {
    /// Everything TLS needs, for TLS 1.2 and 1.3 over HTTP/1.1. Blocking: reads certificate files.
    ///
    /// No session is resumed: a resumed one shows no certificate, and every new connection is to prove anew who
    /// answers.
    pub(super) fn client_config(&self, identity: Option<&Identity>) -> Result<rustls::ClientConfig, TrustError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Pinned { chain: self.chain_verifier(&provider)?, pins: self.spki_pins.clone() };
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TrustError::Library)?
            .dangerous() // as rustls calls any verifier but its own; ours only adds to it
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match identity {
            Some(identity) => {
                let (chain, key) = identity.read()?;
                config.with_client_auth_cert(chain, key).map_err(TrustError::Library)?
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn chain_verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TrustError> {
        let provider = provider.clone();
        let Some(path) = &self.ca_file else {
            let platform = rustls_platform_verifier::Verifier::new(provider).map_err(TrustError::Library)?;
            return Ok(Arc::new(platform));
        };
        let roots = read_roots(path)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        // It refuses an empty set of roots, and nothing else that is set here.
        Ok(verifier.map_err(|_| TrustError::CaFileEmpty { path: path.clone() })?)
    }
}

/// Why no connection could be trusted. All of these are for the operator to mend.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// There is no certificate in the CA file.
    #[error("the CA file {} holds no certificate in PEM form", path.display())]
    CaFileEmpty {
        /// The file.
        path: PathBuf,
    },
    /// Something in the CA file is not a certificate.
    #[error("the CA file {} holds a certificate that cannot be read", path.display())]
    CaFileMalformed {
        /// The file.
        path: PathBuf,
    },
    /// The CA file is not there or not readable.
    #[error("cannot read the CA file {}: {source}", path.display())]
    CaFileUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate that we show, or its key, is not there or not readable.
    #[error("cannot read the certificate or key {}: {why}", path.display())]
    IdentityUnreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The TLS library or the system's trust store is unusable, such as a system without any root certificate.
    #[error("cannot set up TLS: {0}")]
    Library(#[source] rustls::Error),
}

fn read_roots(path: &PathBuf) -> Result<RootCertStore, TrustError> {
    let pem = fs::read(path).map_err(|source| TrustError::CaFileUnreadable { path: path.clone(), source })?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        added.ok_or_else(|| TrustError::CaFileMalformed { path: path.clone() })?;
    }
    Ok(roots)
}

/// Verifies the chain first, and then that the key is a pinned one.
#[derive(Debug)]
struct Pinned {
    chain: Arc<dyn ServerCertVerifier>,
    pins: Vec<Digest>,
}

impl Pinned {
    fn check_key(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let spki = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        if self.pins.is_empty() || self.pins.contains(&Digest::of(&spki)) {
            return Ok(());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        self.check_key(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
