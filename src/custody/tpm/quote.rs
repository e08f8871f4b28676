use std::fmt;
use std::sync::Arc;

use tss_esapi::abstraction::{AsymmetricAlgorithmSelection, KeyCustomization, ak, ek};
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Code;
use tss_esapi::handles::{KeyHandle, NvIndexHandle, NvIndexTpmHandle, ObjectHandle, PersistentTpmHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, SignatureSchemeAlgorithm};
use tss_esapi::interface_types::dynamic_handles::Persistent;
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::interface_types::resource_handles::{NvAuth, Provision};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{Data, SignatureScheme};
use tss_esapi::traits::Marshall as _;

use super::error;
use super::fault::{Fault, at};
use super::link::Link;
use super::pcr::Selection;
use super::resident::{self, sized};
use super::worker::Tpm;
use crate::custody::{CustodyError, ErrorKind, Quoter};
use crate::protocol::PublicKey;
use crate::protocol::attestation::CertifiedKey;
use crate::protocol::tpm::{Certification, PcrSelection, Public, Quote};

/// A TPM that quotes with an attestation key: restricted, below the endorsement key, and persistent.
pub struct TpmQuoter {
    tpm: Arc<Tpm>,
    pcrs: PcrSelection,
    handle: u32,
    algorithm: QuoteAlgorithm,
    /// Keys of ours in this TPM: purpose, label, public half.
    keys: Vec<(String, String, PublicKey)>,
}

/// What an attestation key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuoteAlgorithm {
    /// P-256, ECDSA with SHA-256.
    Ecc,
    /// RSA of 2,048 bits, RSASSA with SHA-256.
    Rsa,
}

impl TpmQuoter {
    /// Quotes these PCRs with the key at this persistent handle, which is made where there is none. Touches nothing.
    pub const fn new(
        tpm: Arc<Tpm>,
        pcrs: PcrSelection,
        handle: u32,
        algorithm: QuoteAlgorithm,
        keys: Vec<(String, String, PublicKey)>,
    ) -> Self {
        Self { tpm, pcrs, handle, algorithm, keys }
    }
}

impl Quoter for TpmQuoter {
    fn quote(&self, qualifying: &[u8; 32]) -> Result<Quote, CustodyError> {
        let (pcrs, handle, algorithm, qualifying) = (self.pcrs.clone(), self.handle, self.algorithm, *qualifying);
        self.tpm.run(move |link| {
            let (key, public) = attestation_key(link, handle, algorithm)?;
            let selection = Selection::of(pcrs.indices()).list()?;
            let data = Data::try_from(qualifying.as_slice()).map_err(at("TPM2_Quote"))?;
            let quoted = link.context.execute_with_session(Some(AuthSession::Password), |context| {
                context.quote(key, data, SignatureScheme::Null, selection)
            });
            let (attest, signature) = quoted.map_err(at("TPM2_Quote"))?;
            let message = attest.marshall().map_err(at("TPM2_Quote"))?;
            let signature = signature.marshall().map_err(at("TPM2_Quote"))?;
            let quote = Quote::new(message, signature, public, pcrs.clone());
            Ok(quote.map_err(|e| unreadable(&format!("a quote that does not read: {e}")))?)
        })
    }

    fn ek_certificate(&self) -> Result<Option<Vec<u8>>, CustodyError> {
        self.tpm.run(|link| {
            // TCG EK Credential Profile, 2.2.1.4: RSA 2048, and P-256.
            for index in [0x01c0_0002, 0x01c0_000a] {
                if let Some(certificate) = read_whole(link, index)? {
                    return Ok(Some(certificate));
                }
            }
            Ok(None)
        })
    }

    fn certified_keys(&self, qualifying: &[u8; 32]) -> Result<Vec<CertifiedKey>, CustodyError> {
        let (handle, algorithm, qualifying, keys) = (self.handle, self.algorithm, *qualifying, self.keys.clone());
        self.tpm.run(move |link| {
            let (attestation_key, _) = attestation_key(link, handle, algorithm)?;
            let mut certified = Vec::new();
            for (purpose, label, public_key) in &keys {
                let certification = certify(link, attestation_key, label, public_key, &qualifying)?;
                certified.push(CertifiedKey {
                    purpose: purpose.clone(),
                    public_key: public_key.clone(),
                    certification,
                });
            }
            Ok(certified)
        })
    }
}

impl Tpm {
    /// Takes the attestation key out of this persistent handle. Whether there was any. Another key is left alone. Blocks.
    pub fn evict_attestation_key(&self, handle: u32) -> Result<bool, CustodyError> {
        self.run(move |link| {
            let persistent = PersistentTpmHandle::new(handle).map_err(at("TPM2_EvictControl"))?;
            let Some(found) = link.find(TpmHandle::Persistent(persistent))? else { return Ok(false) };
            read_attestation_key(link, KeyHandle::from(found), handle)?;
            evict(link, found, persistent)?;
            Ok(true)
        })
    }
}

/// The persistent key and its TPM2B_PUBLIC, or a new one at its handle: what is already there is used, whoever made it,
/// where it is an attestation key.
fn attestation_key(link: &mut Link, handle: u32, algorithm: QuoteAlgorithm) -> Result<(KeyHandle, Vec<u8>), Fault> {
    let persistent = PersistentTpmHandle::new(handle).map_err(at("TPM2_ReadPublic"))?;
    let key = match link.find(TpmHandle::Persistent(persistent))? {
        Some(found) => KeyHandle::from(found),
        None => new_attestation_key(link, persistent, algorithm)?,
    };
    let public = read_attestation_key(link, key, handle)?;
    Ok((key, public))
}

/// Its TPM2B_PUBLIC. Any other key is refused.
fn read_attestation_key(link: &mut Link, key: KeyHandle, handle: u32) -> Result<Vec<u8>, Fault> {
    let (public, ..) = link.context.read_public(key).map_err(at("TPM2_ReadPublic"))?;
    let public = sized(&public.marshall().map_err(at("TPM2_ReadPublic"))?);
    // One that signs anything else too would sign what looks like a quote.
    if !Public::parse(&public).is_ok_and(|public| public.attributes.is_attestation_key()) {
        let message = format!("the key at 0x{handle:08x} is no attestation key");
        let advice =
            "Nothing was published, and the key was left alone. Name another handle as attestation.quote.ak_handle.";
        return Err(error(ErrorKind::Misconfigured, "TPM2_ReadPublic", message, advice).into());
    }
    Ok(public)
}

fn new_attestation_key(
    link: &mut Link,
    persistent: PersistentTpmHandle,
    algorithm: QuoteAlgorithm,
) -> Result<KeyHandle, Fault> {
    let context = &mut link.context;
    let rsa = AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa2048);
    let parent = ek::create_ek_object_2(context, rsa, None).map_err(at("TPM2_CreatePrimary"))?;
    let made = make(link, parent, algorithm);
    link.flush(parent);
    let made = made?;
    let kept = evict(link, made.into(), persistent);
    link.flush(made);
    Ok(KeyHandle::from(kept?))
}

fn make(link: &mut Link, parent: KeyHandle, algorithm: QuoteAlgorithm) -> Result<KeyHandle, Fault> {
    let (key, scheme) = match algorithm {
        QuoteAlgorithm::Ecc => (AsymmetricAlgorithmSelection::Ecc(EccCurve::NistP256), SignatureSchemeAlgorithm::EcDsa),
        QuoteAlgorithm::Rsa => {
            (AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa2048), SignatureSchemeAlgorithm::RsaSsa)
        }
    };
    let made = ak::create_ak_2(&mut link.context, parent, HashingAlgorithm::Sha256, key, scheme, None, NoDa);
    let made = made.map_err(at("TPM2_Create"))?;
    ak::load_ak(&mut link.context, parent, None, made.out_private, made.out_public).map_err(at("TPM2_Load"))
}

fn evict(link: &mut Link, object: ObjectHandle, at_handle: PersistentTpmHandle) -> Result<ObjectHandle, Fault> {
    link.open_owner()?;
    link.as_owner("TPM2_EvictControl", |context| {
        context.evict_control(Provision::Owner, object, Persistent::Persistent(at_handle))
    })
}

fn certify(
    link: &mut Link,
    attestation_key: KeyHandle,
    label: &str,
    public_key: &PublicKey,
    qualifying: &[u8; 32],
) -> Result<Certification, Fault> {
    let (key, public) = resident::load_apart(link, label, public_key)?;
    let certified = (|| {
        let auth = link.pin()?;
        link.context.tr_set_auth(key.into(), auth).map_err(at("TPM2_Certify"))?;
        let data = Data::try_from(qualifying.as_slice()).map_err(at("TPM2_Certify"))?;
        link.with_pin_hidden(|context, session| {
            context.execute_with_sessions((Some(session), Some(AuthSession::Password), None), |context| {
                context.certify(key.into(), attestation_key, data, SignatureScheme::Null)
            })
        })
    })();
    link.flush(key);
    let (attest, signature) = certified?;
    Ok(Certification {
        public: sized(&public),
        message: attest.marshall().map_err(at("TPM2_Certify"))?,
        signature: signature.marshall().map_err(at("TPM2_Certify"))?,
    })
}

/// A whole NV index that everybody may read, where there is one.
fn read_whole(link: &mut Link, index: u32) -> Result<Option<Vec<u8>>, Fault> {
    const AT_A_TIME: u16 = 512;
    let tpm_handle = NvIndexTpmHandle::new(index).map_err(at("TPM2_NV_Read"))?;
    let Some(found) = link.find(TpmHandle::NvIndex(tpm_handle))? else { return Ok(None) };
    let handle = NvIndexHandle::from(found);
    let read = (|| {
        let (public, _) = link.context.nv_read_public(handle).map_err(at("TPM2_NV_ReadPublic"))?;
        let mut whole = Vec::new();
        while whole.len() < public.data_size() {
            // Neither grows beyond what two bytes hold.
            let (offset, left) = (whole.len() as u16, (public.data_size() - whole.len()) as u16);
            let part = link.context.execute_with_session(Some(AuthSession::Password), |context| {
                context.nv_read(NvAuth::NvIndex(handle), handle, left.min(AT_A_TIME), offset)
            });
            whole.extend_from_slice(part.map_err(at("TPM2_NV_Read"))?.value());
        }
        Ok(whole)
    })();
    let _ = link.context.tr_close(&mut handle.into());
    match read {
        Ok(whole) => Ok(Some(whole)),
        // Some makers reserve the index and leave it empty, or let the platform alone read it.
        Err(fault) if Fault::is(&fault, &[Code::NvUninitialized, Code::NvAuthorization]) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// A key whose wrong authorizations lock nothing.
struct NoDa;

impl KeyCustomization for NoDa {
    fn attributes(&self, attributes: ObjectAttributesBuilder) -> ObjectAttributesBuilder {
        attributes.with_no_da(true)
    }
}

fn unreadable(what: &str) -> CustodyError {
    error(ErrorKind::Broken, "TPM2_Quote", format!("the TPM gave {what}"), "Nothing was published. Check the TPM.")
}

impl fmt::Debug for TpmQuoter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TpmQuoter({:?}, 0x{:08x})", self.tpm, self.handle)
    }
}
