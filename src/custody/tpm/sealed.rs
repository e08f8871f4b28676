use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Code;
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::structures::{
    Digest, KeyedHashScheme, Private, Public, PublicBuilder, PublicKeyedHashParameters, SensitiveData,
};
use tss_esapi::traits::{Marshall as _, UnMarshall as _};
use zeroize::Zeroizing;

use super::approved::digest;
use super::fault::{Fault, at};
use super::link::Link;
use super::nv::Half;
use super::object_policy;
use super::policy::Reference;
use super::session::Needs;
use super::{error, random};
use crate::custody::{CustodyError, ErrorKind};
use crate::protocol::json::Object;

/// 32 secret bytes in two halves: one sealed under a policy, one in an NV index under the same. Either alone says
/// nothing (they are added bit by bit), and without the index the blob opens nothing, whoever kept a copy of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SealedSecret {
    generation: u32,
    half: Half,
    /// TPMT_PUBLIC and TPM2B_PRIVATE's content, as the TPM gave them.
    public: Vec<u8>,
    private: Vec<u8>,
}

impl SealedSecret {
    /// Seals a secret for this generation of policies.
    pub(super) fn seal(link: &mut Link, generation: u32, secret: &[u8; 32]) -> Result<Self, Fault> {
        let reference = Reference::Sealed { generation };
        let stored = random::<32>()?;
        let half = Half::store(link, reference, &stored)?;
        match seal_half(link, reference, &added(secret, &stored)) {
            Ok((public, private)) => Ok(Self { generation, half, public, private }),
            Err(fault) => {
                // Nobody knows of the index yet.
                let _ = half.destroy(link, &[reference]);
                Err(fault)
            }
        }
    }

    /// Opens it, where a signed policy of its generation holds.
    pub(super) fn open(&self, link: &mut Link) -> Result<Zeroizing<[u8; 32]>, Fault> {
        let reference = Reference::Sealed { generation: self.generation };
        let Some(stored) = self.half.read(link, reference)? else { return Err(destroyed().into()) };
        let public = Public::unmarshall(&self.public).map_err(|_| damaged())?;
        if let Some(fault) = object_policy::fault_of(link, public.auth_policy().value(), reference)? {
            let advice = "Configure what it was made with. Nothing was made anew.";
            return Err(error(ErrorKind::Misconfigured, "find", format!("the sealed secret {fault}"), advice).into());
        }
        let handle = load(link, &self.public, &self.private)?;
        let needs = Needs { pin_of: Some(handle.into()), secret_answer: true };
        let opened = link.under_policy(reference, needs, "TPM2_Unseal", |context| context.unseal(handle.into()));
        link.flush(handle);
        let opened = opened?;
        let sealed: &[u8; 32] = opened.value().try_into().map_err(|_| damaged())?;
        Ok(added(sealed, &stored))
    }

    /// Destroys the half in the TPM. Whether it was there.
    pub(super) fn destroy(&self, link: &mut Link) -> Result<bool, Fault> {
        self.half.destroy(link, &[Reference::Sealed { generation: self.generation }])
    }

    pub(super) const fn generation(&self) -> u32 {
        self.generation
    }

    pub(super) const fn half(&self) -> Half {
        self.half
    }

    pub(super) fn to_object(&self) -> Object {
        Object::new()
            .with("generation", self.generation)
            .with("nv_index", self.half.to_string())
            .with("public", STANDARD.encode(&self.public))
            .with("private", STANDARD.encode(&self.private))
    }

    /// Reads what [`to_object`](Self::to_object) wrote, and nothing else.
    pub(super) fn from_object(object: &Object) -> Option<Self> {
        let secret = Self {
            generation: object.get("generation")?.as_i64()?.try_into().ok()?,
            half: Half::from_name(object.get_str("nv_index")?)?,
            public: STANDARD.decode(object.get_str("public")?).ok()?,
            private: STANDARD.decode(object.get_str("private")?).ok()?,
        };
        (secret.to_object() == *object).then_some(secret)
    }
}

/// Adds two halves, or takes one from the whole: the same.
fn added(a: &[u8; 32], b: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    let mut sum = Zeroizing::new([0; 32]);
    sum.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum = a ^ b);
    sum
}

fn seal_half(link: &mut Link, reference: Reference, half: &[u8; 32]) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let policy = object_policy::wanted(link, reference)?;
    let (parent, auth, template) = (link.parent()?, link.pin()?, template(digest(&policy)?));
    let template = template.map_err(at("TPM2_Create"))?;
    let data = SensitiveData::try_from(half.as_slice()).map_err(at("TPM2_Create"))?;
    let made =
        link.encrypted("TPM2_Create", |context| context.create(parent, template, Some(auth), Some(data), None, None))?;
    let public = made.out_public.marshall().map_err(at("TPM2_Create"))?;
    Ok((public, made.out_private.value().to_vec()))
}

/// Without userWithAuth only the policy opens it, and not also whoever knows its (often empty) secret.
fn template(policy: Digest) -> Result<Public, tss_esapi::Error> {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_admin_with_policy(true)
        .with_no_da(true)
        .build()?;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::KeyedHash)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_auth_policy(policy)
        .with_keyed_hash_parameters(PublicKeyedHashParameters::new(KeyedHashScheme::Null))
        .with_keyed_hash_unique_identifier(Digest::default())
        .build()
}

/// Loads a blob below the parent.
pub(super) fn load(link: &mut Link, public: &[u8], private: &[u8]) -> Result<KeyHandle, Fault> {
    let parent = link.parent()?;
    let public = Public::unmarshall(public).map_err(|_| damaged())?;
    let private = Private::try_from(private.to_vec()).map_err(|_| damaged())?;
    let loaded = link.encrypted("TPM2_Load", |context| context.load(parent, private, public));
    loaded.map_err(|fault| {
        if fault.is(&[Code::Integrity, Code::Size, Code::Binding, Code::Type, Code::Attributes, Code::Insufficient]) {
            let advice = "It was changed or damaged, or belongs to another TPM. Restore the file.";
            return fault.or(ErrorKind::Broken, "the TPM does not take this blob", advice).into();
        }
        fault
    })
}

fn damaged() -> CustodyError {
    let advice = "It was changed or damaged. Restore the file; nothing was made anew.";
    error(ErrorKind::Broken, "TPM2_Load", "a blob of the TPM does not read", advice)
}

fn destroyed() -> CustodyError {
    let advice = "It was destroyed in the TPM: by a re-seal, after which this is an old copy, or by hand.";
    error(ErrorKind::Broken, "TPM2_NV_Read", "the TPM no longer has its half of this secret", advice)
}
