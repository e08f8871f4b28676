//! Keys of the library alone, without our thread, queue and checks.

use std::str::FromStr as _;

use tss_esapi::Context;
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::constants::SessionType;
use tss_esapi::handles::{KeyHandle, PersistentTpmHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::dynamic_handles::Persistent;
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::{Hierarchy, Provision};
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Digest, EccPoint, EccScheme, HashScheme, HashcheckTicket, PcrSelectionList, PcrSlot, PublicBuilder,
    PublicEccParametersBuilder, SignatureScheme, SymmetricDefinition,
};
use tss_esapi::tcti_ldr::TctiNameConf;
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;

/// Two keys at persistent handles: one with a PCR policy, one with an empty password.
pub(crate) struct Keys(String);

const POLICY: u32 = 0x8100_0010;
const PASSWORD: u32 = 0x8100_0011;

impl Keys {
    pub(crate) fn make(tcti: &str) -> Self {
        let mut context = connect(tcti);
        let session = start(&mut context, SessionType::Trial);
        context.policy_pcr(session, Digest::default(), pcrs()).unwrap();
        let digest = context.policy_get_digest(session).unwrap();
        for (at, policy) in [(POLICY, Some(digest)), (PASSWORD, None)] {
            let attributes = ObjectAttributesBuilder::new()
                .with_fixed_tpm(true)
                .with_fixed_parent(true)
                .with_sensitive_data_origin(true)
                .with_no_da(true)
                .with_sign_encrypt(true)
                .with_user_with_auth(policy.is_none());
            let scheme = EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256));
            let parameters = PublicEccParametersBuilder::new_unrestricted_signing_key(scheme, EccCurve::NistP256);
            let public = PublicBuilder::new()
                .with_public_algorithm(PublicAlgorithm::Ecc)
                .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
                .with_object_attributes(attributes.build().unwrap())
                .with_auth_policy(policy.unwrap_or_default())
                .with_ecc_parameters(parameters.build().unwrap())
                .with_ecc_unique_identifier(EccPoint::default());
            context.execute_with_session(Some(AuthSession::Password), |context| {
                let public = public.build().unwrap();
                let made = context.create_primary(Hierarchy::Owner, public, None, None, None, None).unwrap();
                let handle = Persistent::Persistent(PersistentTpmHandle::new(at).unwrap());
                context.evict_control(Provision::Owner, made.key_handle.into(), handle).unwrap();
                context.flush_context(made.key_handle.into()).unwrap();
            });
        }
        Self(tcti.to_owned())
    }

    pub(crate) fn open(&self) -> Open {
        let mut context = connect(&self.0);
        let mut key = |at| {
            let handle = TpmHandle::Persistent(PersistentTpmHandle::new(at).unwrap());
            KeyHandle::from(context.tr_from_tpm_public(handle).unwrap())
        };
        let (policy, password) = (key(POLICY), key(PASSWORD));
        let session = start(&mut context, SessionType::Policy);
        Open { context, policy, password, session }
    }
}

pub(crate) struct Open {
    context: Context,
    policy: KeyHandle,
    password: KeyHandle,
    session: PolicySession,
}

impl Open {
    pub(crate) fn sign_under_policy(&mut self) {
        self.context.policy_pcr(self.session, Digest::default(), pcrs()).unwrap();
        let (key, session) = (self.policy, AuthSession::PolicySession(self.session));
        self.context.execute_with_session(Some(session), |context| sign(context, key));
    }

    pub(crate) fn sign_with_password(&mut self) {
        let key = self.password;
        self.context.execute_with_session(Some(AuthSession::Password), |context| sign(context, key));
    }
}

fn sign(context: &mut Context, key: KeyHandle) {
    use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
    let ticket = TPMT_TK_HASHCHECK { tag: TPM2_ST_HASHCHECK, hierarchy: TPM2_RH_NULL, digest: Default::default() };
    let digest = Digest::try_from(vec![7; 32]).unwrap();
    context.sign(key, digest, SignatureScheme::Null, HashcheckTicket::try_from(ticket).unwrap()).unwrap();
}

fn start(context: &mut Context, kind: SessionType) -> PolicySession {
    let (cipher, hash) = (SymmetricDefinition::AES_128_CFB, HashingAlgorithm::Sha256);
    let session = context.start_auth_session(None, None, None, kind, cipher, hash).unwrap().unwrap();
    let (attributes, mask) = tss_esapi::attributes::SessionAttributesBuilder::new().with_continue_session(true).build();
    context.tr_sess_set_attributes(session, attributes, mask).unwrap();
    PolicySession::try_from(session).unwrap()
}

fn pcrs() -> PcrSelectionList {
    let slots = [PcrSlot::Slot7, PcrSlot::Slot11, PcrSlot::Slot14];
    PcrSelectionList::builder().with_selection(HashingAlgorithm::Sha256, &slots).build().unwrap()
}

fn connect(tcti: &str) -> Context {
    Context::new(TctiNameConf::from_str(tcti).unwrap()).unwrap()
}
