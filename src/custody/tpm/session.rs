use tss_esapi::Context;
use tss_esapi::attributes::SessionAttributesBuilder;
use tss_esapi::constants::SessionType;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Code;
use tss_esapi::handles::{KeyHandle, ObjectHandle, SessionHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{Auth, SymmetricDefinition};

use super::error;
use super::fault::{Fault, at};
use super::link::Link;
use super::policy::Reference;
use super::policy_file;
use crate::custody::{CustodyError, ErrorKind};

/// What a command needs besides a policy that holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Needs {
    /// The object's secret, where a PIN is configured: the object that is used.
    pub(super) pin_of: Option<ObjectHandle>,
    /// Its answer is a secret, and passes encrypted.
    pub(super) secret_answer: bool,
}

impl Link {
    /// Runs a command that is authorized by an empty password, over a session of its own that is salted to the parent:
    /// secrets pass encrypted, both ways.
    pub(super) fn encrypted<T>(
        &mut self,
        operation: &'static str,
        command: impl FnOnce(&mut Context) -> Result<T, tss_esapi::Error>,
    ) -> Result<T, Fault> {
        let session = self.start(SessionType::Hmac)?;
        let done = self
            .with_attributes(session, true, true)
            .and_then(|()| self.context.execute_with_session(Some(session), command).map_err(at(operation)));
        self.flush(SessionHandle::from(session));
        done
    }

    /// Runs a command that the owner authorizes, before there is a parent to salt a session to. Where the owner has a
    /// password, it does not pass itself, but only what proves that we know it.
    pub(super) fn as_owner<T>(
        &mut self,
        operation: &'static str,
        command: impl FnOnce(&mut Context) -> Result<T, tss_esapi::Error>,
    ) -> Result<T, Fault> {
        if self.config.owner_auth_file.is_none() {
            let done = self.context.execute_with_session(Some(AuthSession::Password), command);
            return done.map_err(at(operation)).map_err(|fault| self.explain_owner(fault));
        }
        let session = self.start_salted_to(None, SessionType::Hmac)?;
        let done = self
            .with_attributes(session, false, false)
            .and_then(|()| self.context.execute_with_session(Some(session), command).map_err(at(operation)));
        self.flush(SessionHandle::from(session));
        done.map_err(|fault| self.explain_owner(fault))
    }

    /// A refused password of the owner is told as what it is.
    pub(super) fn explain_owner(&self, fault: Fault) -> Fault {
        if !fault.is(&[Code::AuthFail, Code::BadAuth]) {
            return fault;
        }
        let advice = match &self.config.owner_auth_file {
            Some(path) => format!("Check {}. It is not tried again by itself.", path.display()),
            None => "Name the file that holds it as custody.tpm.owner_auth_file.".to_owned(),
        };
        fault.or(ErrorKind::Refused, "the TPM refused the owner's password", advice).into()
    }

    /// Runs a command under a policy of ours. The session is kept for the next; where anything fails it is flushed, for
    /// a failed one would be left behind.
    pub(super) fn under_policy<T>(
        &mut self,
        reference: Reference,
        needs: Needs,
        operation: &'static str,
        command: impl Fn(&mut Context) -> Result<T, tss_esapi::Error>,
    ) -> Result<T, Fault> {
        let mut done = self.try_under_policy(reference, needs, operation, &command);
        // What was approved before no longer holds: the PCRs are read again, which tells what differs.
        if done.as_ref().is_err_and(|fault| fault.is(&[Code::Value, Code::PolicyFail, Code::PcrChanged])) {
            self.approved.clear();
            done = self.try_under_policy(reference, needs, operation, &command);
        }
        done.map_err(|fault| self.explain(fault))
    }

    fn try_under_policy<T>(
        &mut self,
        reference: Reference,
        needs: Needs,
        operation: &'static str,
        command: impl Fn(&mut Context) -> Result<T, tss_esapi::Error>,
    ) -> Result<T, Fault> {
        let approved = policy_file::approve(self, reference)?;
        let session = self.policy_session()?;
        let done = (|| {
            self.context.policy_restart(session).map_err(at("TPM2_PolicyRestart"))?;
            approved.assert(self, session)?;
            if let Some(object) = needs.pin_of.filter(|_| self.config.pin.is_some()) {
                let auth = self.pin()?;
                self.context.tr_set_auth(object, auth).map_err(at(operation))?;
                self.context.policy_auth_value(session).map_err(at("TPM2_PolicyAuthValue"))?;
            }
            let session = AuthSession::PolicySession(session);
            self.with_attributes(session, false, false)?;
            // A session of its own: one that authorizes is keyed with the object's secret too, and that of an index
            // nobody knows.
            let encrypting = if needs.secret_answer { Some(self.start(SessionType::Hmac)?) } else { None };
            let done = match encrypting {
                Some(encrypting) => self.with_attributes(encrypting, false, true),
                None => Ok(()),
            };
            let sessions = (Some(session), encrypting, None);
            let done =
                done.and_then(|()| self.context.execute_with_sessions(sessions, &command).map_err(at(operation)));
            if let Some(encrypting) = encrypting {
                self.flush(SessionHandle::from(encrypting));
            }
            done
        })();
        if done.is_err() {
            self.policy_session = None;
            self.flush(SessionHandle::from(AuthSession::PolicySession(session)));
        }
        done
    }

    /// The object's secret for a PIN: as long as a TPM takes at most.
    pub(super) fn pin(&mut self) -> Result<Auth, Fault> {
        let Some(source) = &self.config.pin else { return Ok(Auth::default()) };
        self.memory.pin(source, &self.config.tcti.to_string())
    }

    fn policy_session(&mut self) -> Result<PolicySession, Fault> {
        if let Some(session) = self.policy_session {
            return Ok(session);
        }
        let AuthSession::PolicySession(session) = self.start(SessionType::Policy)? else {
            return Err(not_a_session().into());
        };
        self.policy_session = Some(session);
        Ok(session)
    }

    fn start(&mut self, kind: SessionType) -> Result<AuthSession, Fault> {
        let parent = self.parent()?;
        self.start_salted_to(Some(parent), kind)
    }

    fn start_salted_to(&mut self, key: Option<KeyHandle>, kind: SessionType) -> Result<AuthSession, Fault> {
        let started = self.context.execute_without_session(|context| {
            let (cipher, hash) = (SymmetricDefinition::AES_128_CFB, HashingAlgorithm::Sha256);
            context.start_auth_session(key, None, None, kind, cipher, hash)
        });
        Ok(started.map_err(at("TPM2_StartAuthSession"))?.ok_or_else(not_a_session)?)
    }

    fn with_attributes(&mut self, session: AuthSession, decrypt: bool, encrypt: bool) -> Result<(), Fault> {
        let (attributes, mask) = SessionAttributesBuilder::new()
            .with_continue_session(true)
            .with_decrypt(decrypt)
            .with_encrypt(encrypt)
            .build();
        self.context.tr_sess_set_attributes(session, attributes, mask).map_err(at("TPM2_StartAuthSession"))
    }

    /// A refused PIN is told as what it is, and read anew before the next try.
    fn explain(&mut self, fault: Fault) -> Fault {
        if !fault.is(&[Code::AuthFail, Code::BadAuth]) {
            return fault;
        }
        self.memory.forget_pin();
        let source = self.config.pin.as_ref().map_or_else(String::new, |pin| format!("Check {}. ", pin.name()));
        let advice = format!("{source}It is not tried again by itself; our objects never lock the TPM.");
        fault.or(ErrorKind::Refused, "the TPM refused the PIN", advice).into()
    }
}

fn not_a_session() -> CustodyError {
    error(ErrorKind::Broken, "TPM2_StartAuthSession", "the TPM started no session", "Run: local-vault custody selftest")
}
