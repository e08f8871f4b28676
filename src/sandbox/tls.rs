use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use time::{Duration, OffsetDateTime};

use crate::facts::Digest;

/// The names and addresses that the certificate is for.
const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What the sandbox proves itself with, made at every start. Private keys never touch the disk.
pub(super) struct Identity {
    /// The certificate of the authority that signed ours.
    pub(super) ca_pem: String,
    /// The SHA-256 of our certificate's SubjectPublicKeyInfo, to be pinned.
    pub(super) spki_sha256: Digest,
    pub(super) config: Arc<ServerConfig>,
}

impl Identity {
    /// Makes an authority and a certificate, valid from a day ago for the next seven.
    pub(super) fn generate() -> Result<Self, TlsError> {
        let ca = CertifiedIssuer::self_signed(authority(), KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate = leaf()?.signed_by(&key, &ca)?;
        let spki_sha256 = Digest::of(&key.subject_public_key_info());
        let chain = vec![certificate.der().clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = config.with_no_client_auth().with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { ca_pem: ca.pem(), spki_sha256, config: Arc::new(config) })
    }
}

fn authority() -> CertificateParams {
    let mut params = short_lived(CertificateParams::default());
    params.distinguished_name.push(DnType::CommonName, "Local Vault sandbox authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf() -> Result<CertificateParams, rcgen::Error> {
    let mut params = short_lived(CertificateParams::new(HOSTS.map(str::to_owned))?);
    params.distinguished_name.push(DnType::CommonName, "Local Vault sandbox");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn short_lived(mut params: CertificateParams) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::DAY;
    params.not_after = now + Duration::days(7);
    params
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
    #[error(transparent)]
    Config(#[from] rustls::Error),
}
