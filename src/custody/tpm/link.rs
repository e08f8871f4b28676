use std::fmt;
use std::sync::Arc;

use tss_esapi::Context;
use tss_esapi::constants::{CapabilityType, StartupType};
use tss_esapi::handles::{KeyHandle, ObjectHandle, TpmHandle};
use tss_esapi::interface_types::session_handles::PolicySession;
use tss_esapi::structures::{Auth, CapabilityData, Name};

use super::approved::Approved;
use super::config::TpmConfig;
use super::fault::{Fault, at};
use super::memory::Memory;
use super::turn::Turn;
use super::{error, parent};
use crate::custody::file::read_secret_file;
use crate::custody::{CustodyError, ErrorKind};

/// A connection to the TPM, and what is loaded over it. Nothing of it outlives the connection.
pub(super) struct Link {
    pub(super) context: Context,
    pub(super) config: Arc<TpmConfig>,
    pub(super) memory: Arc<Memory>,
    /// The key that everything of ours is under, once it was made or found and compared with what is pinned.
    pub(super) parent: Option<KeyHandle>,
    /// A session for policies of signatures, which asserts nothing between them.
    pub(super) policy_session: Option<PolicySession>,
    /// The Name of the operator's key that signs policies.
    pub(super) policy_key_name: Option<Name>,
    /// Policies that were seen to hold, with the TPM's ticket for each.
    pub(super) approved: Vec<Approved>,
    /// The key that signed last. A TPM has room for three objects, and ours needs two beside it.
    pub(super) loaded: Option<(u64, KeyHandle)>,
    owner_is_open: bool,
    /// Given away last, when nothing is loaded any more.
    _turn: Option<Turn>,
}

impl Link {
    /// Connects. Blocks, without end where it is another process's turn or a simulator serves somebody else.
    pub(super) fn open(config: &Arc<TpmConfig>, memory: &Arc<Memory>) -> Result<Self, CustodyError> {
        let away = |fault: Fault| {
            let advice = "Nothing was signed. Is it there, and may this user reach it (group tss)? It is looked for again by itself.";
            fault.or(ErrorKind::Away, format!("the TPM at {} does not answer", config.tcti), advice)
        };
        let turn = if config.tcti.is_exclusive() { Turn::wait(&config.folder)? } else { None };
        let context = Context::new(config.tcti.name_conf()?).map_err(at("connect")).map_err(away)?;
        let mut link = Self {
            context,
            config: config.clone(),
            memory: memory.clone(),
            parent: None,
            policy_session: None,
            policy_key_name: None,
            approved: Vec::new(),
            loaded: None,
            owner_is_open: false,
            _turn: turn,
        };
        link.begin().map_err(away)?;
        Ok(link)
    }

    fn begin(&mut self) -> Result<(), Fault> {
        if self.config.tcti.is_simulator() {
            // Harmless where it was started already, as firmware does with a real one.
            let _ = self.context.startup(StartupType::Clear);
        }
        if self.config.tcti.is_exclusive() {
            self.flush_what_others_left()?;
        }
        Ok(())
    }

    /// Nobody else is connected, so that what is loaded belongs to a process that was killed.
    fn flush_what_others_left(&mut self) -> Result<(), Fault> {
        const TRANSIENT: u32 = 0x8000_0000;
        const LOADED_SESSIONS: u32 = 0x0200_0000;
        const SAVED_SESSIONS: u32 = 0x0300_0000;
        for first in [TRANSIENT, LOADED_SESSIONS, SAVED_SESSIONS] {
            let told = self.context.get_capability(CapabilityType::Handles, first, 64);
            let (CapabilityData::Handles(handles), _) = told.map_err(at("TPM2_GetCapability"))? else { continue };
            for handle in handles.into_inner() {
                let found = self.context.tr_from_tpm_public(handle);
                let _ = found.and_then(|found| self.context.flush_context(found));
            }
        }
        Ok(())
    }

    /// The parent key, made or found and compared with what is pinned.
    pub(super) fn parent(&mut self) -> Result<KeyHandle, Fault> {
        if let Some(parent) = self.parent {
            return Ok(parent);
        }
        let parent = parent::open(self)?;
        self.parent = Some(parent);
        Ok(parent)
    }

    /// Lets the owner hierarchy be used, where it has a password.
    pub(super) fn open_owner(&mut self) -> Result<(), Fault> {
        let Some(path) = self.config.owner_auth_file.clone().filter(|_| !self.owner_is_open) else { return Ok(()) };
        let secret = read_secret_file(&path)?;
        let auth = Auth::try_from(secret.expose_line()).map_err(|_| {
            let message = format!("{} is too long for an owner password", path.display());
            error(ErrorKind::Misconfigured, "owner", message, "A TPM takes at most 64 bytes.")
        })?;
        self.context.tr_set_auth(ObjectHandle::Owner, auth).map_err(at("TPM2_HierarchyChangeAuth"))?;
        self.owner_is_open = true;
        Ok(())
    }

    /// Flushes a transient object or a session. One that does not flush is gone already.
    pub(super) fn flush(&mut self, handle: impl Into<ObjectHandle>) {
        if let Err(e) = self.context.flush_context(handle.into()) {
            tracing::debug!(error = %e, "an object of the TPM was not flushed");
        }
    }

    /// What lies at a persistent handle or an NV index, or nothing.
    pub(super) fn find(&mut self, handle: TpmHandle) -> Result<Option<ObjectHandle>, Fault> {
        use tss_esapi::constants::response_code::Tss2ResponseCodeKind::{Handle, Value};
        let found = self.context.execute_without_session(|context| context.tr_from_tpm_public(handle));
        match found.map_err(at("TPM2_ReadPublic")) {
            Ok(found) => Ok(Some(found)),
            Err(fault) if fault.is(&[Handle, Value]) => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The context flushes what is loaded. A simulator has nobody else to tell it that power may go.
        if self.config.tcti.is_simulator() {
            let _ = self.context.shutdown(StartupType::Clear);
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.config.tcti)
    }
}
