use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::structures::{
    Digest, EccPoint, EccScheme, HashScheme, HashcheckTicket, Public, PublicBuilder, PublicEccParametersBuilder,
    Signature as TpmSignature, SignatureScheme,
};
use tss_esapi::traits::{Marshall as _, UnMarshall as _};
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;

use super::approved::digest;
use super::config::Parent;
use super::fault::{Fault, at};
use super::key_file::{KeyFile, Kind};
use super::link::Link;
use super::object_policy;
use super::policy::Reference;
use super::sealed;
use super::session::Needs;
use super::worker::Tpm;
use super::{durable, error};
use crate::custody::{CustodyError, ErrorKind, Protection, SigningKey};
use crate::protocol::{Preimage, PublicKey, Signature};

/// A P-256 key that signs in the TPM and never leaves it. Its file is what the TPM gave of it, which only that TPM
/// takes back.
pub struct ResidentKey {
    tpm: Arc<Tpm>,
    label: String,
    public: PublicKey,
    /// Tells it from other keys of this process, for what is loaded.
    number: u64,
}

impl ResidentKey {
    /// The key of this label, whose public half must be this one. Touches neither file nor TPM.
    pub fn new(tpm: Arc<Tpm>, label: &str, public: PublicKey) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { tpm, label: label.to_owned(), public, number: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Where the key of a label lies.
    pub(super) fn path(folder: &Path, label: &str) -> PathBuf {
        folder.join(format!("{label}.pem"))
    }

    fn sign_digest(&self, hash: [u8; 32]) -> Result<Signature, CustodyError> {
        let (label, public, number) = (self.label.clone(), self.public.clone(), self.number);
        let signature = self.tpm.run(move |link| {
            let handle = loaded(link, number, &label, &public)?;
            let needs = Needs { pin_of: Some(handle.into()), ..Needs::default() };
            let signed = link.under_policy(Reference::Standing, needs, "TPM2_Sign", |context| {
                context.sign(handle, Digest::try_from(hash.as_slice())?, SignatureScheme::Null, no_ticket()?)
            });
            if signed.is_err() {
                unload(link);
            }
            signed
        })?;
        fixed_size(&signature).ok_or_else(|| {
            error(
                ErrorKind::Broken,
                "TPM2_Sign",
                "the TPM gave something that is no signature",
                "Take it out of service.",
            )
        })
    }
}

/// Makes a key, and gives its file and its public half.
pub(super) fn create(link: &mut Link) -> Result<(KeyFile, PublicKey), Fault> {
    let policy = object_policy::wanted(link, Reference::Standing)?;
    let (parent, auth) = (link.parent()?, link.pin()?);
    let template = template(digest(&policy)?).map_err(at("TPM2_Create"))?;
    let made =
        link.encrypted("TPM2_Create", |context| context.create(parent, template, Some(auth), None, None, None))?;
    let public = public_half(&made.out_public).ok_or_else(unreadable)?;
    let marshalled = made.out_public.marshall().map_err(at("TPM2_Create"))?;
    let file = KeyFile {
        kind: Kind::Loadable,
        empty_auth: link.config.pin.is_none(),
        parent: parent_in_file(link.config.parent),
        public: sized(&marshalled),
        private: sized(made.out_private.value()),
    };
    Ok((file, public))
}

/// The key's handle, loaded where another key or none is, after every check.
fn loaded(link: &mut Link, number: u64, label: &str, expected: &PublicKey) -> Result<KeyHandle, Fault> {
    if let Some((_, handle)) = link.loaded.filter(|(loaded, _)| *loaded == number) {
        return Ok(handle);
    }
    unload(link);
    let (handle, _) = load_apart(link, label, expected)?;
    link.loaded = Some((number, handle));
    Ok(handle)
}

/// Loads a key after every check. Gives its public area too; the caller flushes it.
pub(super) fn load_apart(link: &mut Link, label: &str, expected: &PublicKey) -> Result<(KeyHandle, Vec<u8>), Fault> {
    let path = ResidentKey::path(&link.config.folder, label);
    let (marshalled, private) = read(&path)?;
    let public = Public::unmarshall(&marshalled).map_err(|_| unreadable())?;
    if public_half(&public).as_ref() != Some(expected) {
        let message = format!("{} is not the key that is expected", path.display());
        let advice = format!("Expected is the public key {}. Nothing was signed.", expected.to_hex());
        return Err(error(ErrorKind::Misconfigured, "find", message, advice).into());
    }
    // Another TPM is told as that, and not by a policy that is not for it.
    link.parent()?;
    let policy_fault = object_policy::fault_of(link, public.auth_policy().value(), Reference::Standing)?;
    refuse_unfit(&path, &public, policy_fault)?;
    let handle = sealed::load(link, &marshalled, &private)?;
    Ok((handle, marshalled))
}

/// TPMT_PUBLIC and the private part, without their sizes.
fn read(path: &Path) -> Result<(Vec<u8>, Vec<u8>), CustodyError> {
    let bytes = durable::read(path)?;
    let refused = |why: String| {
        let message = format!("{} is no key of a TPM: {why}", path.display());
        error(ErrorKind::Broken, "parse", message, "It was changed or damaged. Restore it; nothing was made anew.")
    };
    let file =
        KeyFile::from_pem(std::str::from_utf8(&bytes).unwrap_or_default()).map_err(|e| refused(e.to_string()))?;
    match (file.kind, unsized_part(&file.public), unsized_part(&file.private)) {
        (Kind::Loadable, Some(public), Some(private)) => Ok((public.to_vec(), private.to_vec())),
        _ => Err(refused("it holds sealed data".to_owned())),
    }
}

/// A TPM2B: its size in two bytes, and the content.
pub(super) fn sized(content: &[u8]) -> Vec<u8> {
    // What a TPM gives has less than 64 KiB.
    [&(content.len() as u16).to_be_bytes(), content].concat()
}

fn unsized_part(sized: &[u8]) -> Option<&[u8]> {
    let (size, content) = sized.split_first_chunk::<2>()?;
    (usize::from(u16::from_be_bytes(*size)) == content.len()).then_some(content)
}

/// The owner's hierarchy stands for the usual template.
fn parent_in_file(parent: Parent) -> u32 {
    const OWNER: u32 = 0x4000_0001;
    match parent {
        Parent::Persistent(handle) => handle,
        Parent::Template => OWNER,
    }
}

fn unload(link: &mut Link) {
    if let Some((_, handle)) = link.loaded.take() {
        link.flush(handle);
    }
}

/// A key that may leave, that more than the policy opens, or that does more than sign, is refused.
fn refuse_unfit(path: &Path, public: &Public, policy_fault: Option<&'static str>) -> Result<(), CustodyError> {
    let has = public.object_attributes();
    let unfit = if !(has.fixed_tpm() && has.fixed_parent()) {
        "may leave the TPM"
    } else if !has.sensitive_data_origin() {
        "was not made in the TPM"
    } else if has.user_with_auth() {
        "can be used without its policy (userWithAuth)"
    } else if !has.no_da() {
        "has dictionary-attack protection, so that others can lock it"
    } else if has.decrypt() || has.restricted() {
        "does more than sign, or less"
    } else if let Some(fault) = policy_fault {
        fault
    } else {
        return Ok(());
    };
    let message = format!("the key in {} {unfit}", path.display());
    Err(error(ErrorKind::Misconfigured, "find", message, "Make one that is fit: local-vault custody generate"))
}

fn template(policy: Digest) -> Result<Public, tss_esapi::Error> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        // Not adminWithPolicy: an attestation key may certify it, which gives nothing away.
        .with_no_da(true)
        .with_sign_encrypt(true)
        .build()?;
    let scheme = EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256));
    let parameters = PublicEccParametersBuilder::new_unrestricted_signing_key(scheme, EccCurve::NistP256);
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_auth_policy(policy)
        .with_ecc_parameters(parameters.build()?)
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}

/// The point as a public key of ours. A TPM leaves zeroes in front away.
fn public_half(public: &Public) -> Option<PublicKey> {
    let Public::Ecc { unique, .. } = public else { return None };
    let mut sec1 = vec![4];
    for coordinate in [unique.x().value(), unique.y().value()] {
        sec1.resize(sec1.len() + 32usize.checked_sub(coordinate.len())?, 0);
        sec1.extend_from_slice(coordinate);
    }
    PublicKey::es256(&sec1).ok()
}

/// r||s of fixed size with a low s.
fn fixed_size(signature: &TpmSignature) -> Option<Signature> {
    let TpmSignature::EcDsa(signature) = signature else { return None };
    let mut bytes = [0; 64];
    for (part, half) in [signature.signature_r(), signature.signature_s()].into_iter().zip(bytes.chunks_mut(32)) {
        let at = 32usize.checked_sub(part.value().len())?;
        half[at..].copy_from_slice(part.value());
    }
    let signature = p256::ecdsa::Signature::from_slice(&bytes).ok()?;
    Some(Signature::from_bytes(signature.normalize_s().to_bytes().into()))
}

/// That the TPM hashed the digest itself, which only restricted keys ask for.
fn no_ticket() -> Result<HashcheckTicket, tss_esapi::Error> {
    use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
    TPMT_TK_HASHCHECK { tag: TPM2_ST_HASHCHECK, hierarchy: TPM2_RH_NULL, digest: Default::default() }.try_into()
}

fn unreadable() -> CustodyError {
    error(ErrorKind::Broken, "TPM2_Load", "a key of the TPM does not read", "Restore its file; nothing was made anew.")
}

impl SigningKey for ResidentKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn protection(&self) -> Protection {
        Protection::DeviceResident
    }

    fn sign(&self, preimage: &Preimage) -> Result<Signature, CustodyError> {
        self.sign_digest(Sha256::digest(preimage.as_bytes()).into())
    }

    fn check(&self) -> Result<(), CustodyError> {
        let (label, public, number) = (self.label.clone(), self.public.clone(), self.number);
        self.tpm.run(move |link| loaded(link, number, &label, &public).map(drop))
    }
}

impl fmt::Debug for ResidentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResidentKey({:?})", self.public)
    }
}
