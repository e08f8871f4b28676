use tss_esapi::Context;
use tss_esapi::attributes::SessionAttributesBuilder;
use tss_esapi::constants::SessionType;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Code;
use tss_esapi::handles::{ObjectHandle, SessionHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{Auth, SymmetricDefinition};

use super::approved;
use super::error;
use super::fault::{Fault, at};
use super::link::Link;
use super::policy::Reference;
use crate::custody::{CustodyError, ErrorKind};

/// What a command needs besides a policy that holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Needs {
    /// The object's secret, where a PIN is configured: the object that is used.
    pub(super) pin_of: Option<ObjectHandle>,
    /// Its answer is a secret, and passes encrypted.
    pub(super) secret_answer: bool,
}

/// What a session's keys come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Salt {
    /// Nothing: it protects no secret and authenticates no command, and costs a tenth of the time. What comes back is a
    /// signature, which is verified.
    None,
    /// A secret that only the parent key opens.
    Parent,
}

impl Link {
    /// Runs a command that is authorized by an empty password, over a session of its own that is salted to the parent:
    /// secrets pass encrypted, both ways.
    pub(super) fn encrypted<T>(
        &mut self,
        operation: &'static str,
        command: impl FnOnce(&mut Context) -> Result<T, tss_esapi::Error>,
    ) -> Result<T, Fault> {
        let session = self.start(SessionType::Hmac, Salt::Parent)?;
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
        let session = self.start(SessionType::Hmac, Salt::None)?;
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

    /// Runs a command under a policy of ours. Where anything fails the session is flushed: a failed one would be left
    /// behind.
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
        let approved = approved::approve(self, reference)?;
        let pin_of = needs.pin_of.filter(|_| self.config.pin.is_some());
        let salt = if needs.secret_answer || pin_of.is_some() { Salt::Parent } else { Salt::None };
        let session = self.policy_session(salt)?;
        let done = (|| {
            approved.assert(self, session)?;
            if let Some(object) = pin_of {
                let auth = self.pin()?;
                self.context.tr_set_auth(object, auth).map_err(at(operation))?;
                self.context.policy_auth_value(session).map_err(at("TPM2_PolicyAuthValue"))?;
            }
            let session = Some(AuthSession::PolicySession(session));
            if !needs.secret_answer {
                return self.context.execute_with_session(session, &command).map_err(at(operation));
            }
            // A session of its own encrypts: one that authorizes is keyed with the object's secret too, and that of an
            // index nobody knows.
            let encrypting = self.start(SessionType::Hmac, Salt::Parent)?;
            let done = self.with_attributes(encrypting, false, true).and_then(|()| {
                let sessions = (session, Some(encrypting), None);
                self.context.execute_with_sessions(sessions, &command).map_err(at(operation))
            });
            self.flush(SessionHandle::from(encrypting));
            done
        })();
        // A salted one remembers that it was asked for a PIN.
        if done.is_err() || salt == Salt::Parent {
            self.policy_session = self.policy_session.filter(|kept| *kept != session);
            self.flush(SessionHandle::from(AuthSession::PolicySession(session)));
        }
        done
    }

    /// Works over a policy session of its own that asserts nothing yet. It authenticates commands and answers with the
    /// secret of the object that is used, and encrypts nothing.
    pub(super) fn over_policy_session<T>(
        &mut self,
        work: impl FnOnce(&mut Self, PolicySession) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let session = self.start(SessionType::Policy, Salt::None)?;
        let done = self.with_attributes(session, false, false).and_then(|()| match session {
            AuthSession::PolicySession(session) => work(self, session),
            _ => Err(not_a_session().into()),
        });
        self.flush(SessionHandle::from(session));
        done
    }

    /// Runs a command that is authorized by an object's secret, which does not pass, over a session that authenticates
    /// it. Where there is no PIN the secret is empty.
    pub(super) fn with_pin_hidden<T>(
        &mut self,
        command: impl FnOnce(&mut Context, AuthSession) -> Result<T, tss_esapi::Error>,
    ) -> Result<T, Fault> {
        if self.config.pin.is_none() {
            return command(&mut self.context, AuthSession::Password).map_err(at("TPM2_Certify"));
        }
        let session = self.start(SessionType::Hmac, Salt::Parent)?;
        let done = command(&mut self.context, session).map_err(at("TPM2_Certify"));
        self.flush(SessionHandle::from(session));
        done.map_err(|fault| self.explain(fault))
    }

    /// The object's secret for a PIN: as long as a TPM takes at most.
    pub(super) fn pin(&mut self) -> Result<Auth, Fault> {
        let Some(source) = &self.config.pin else { return Ok(Auth::default()) };
        self.memory.pin(source, &self.config.tcti.to_string())
    }

    /// A session that asserts nothing: a TPM resets one whose policy was used. The one without salt is kept.
    fn policy_session(&mut self, salt: Salt) -> Result<PolicySession, Fault> {
        if let Some(session) = self.policy_session.filter(|_| salt == Salt::None) {
            return Ok(session);
        }
        let session = self.start(SessionType::Policy, salt)?;
        self.with_attributes(session, false, false)?;
        let AuthSession::PolicySession(session) = session else { return Err(not_a_session().into()) };
        if salt == Salt::None {
            self.policy_session = Some(session);
        }
        Ok(session)
    }

    fn start(&mut self, kind: SessionType, salt: Salt) -> Result<AuthSession, Fault> {
        let salt = match salt {
            Salt::None => None,
            Salt::Parent => Some(self.parent()?),
        };
        let started = self.context.execute_without_session(|context| {
            let (cipher, hash) = (SymmetricDefinition::AES_128_CFB, HashingAlgorithm::Sha256);
            context.start_auth_session(salt, None, None, kind, cipher, hash)
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
