use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc};
use std::time::Duration;
use std::{mem, thread};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};

use super::error;
use super::fault::{Fault, code, device_error};
use super::link::Link;
use super::module_file::ModuleFile;
use crate::custody::{CustodyError, ErrorKind};

/// A vendor's module in this process. There is one for each library, since a library has one state for all its
/// callers; it is never unloaded, since many of them crash when they are.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) file: ModuleFile,
    context: Pkcs11,
    links: RwLock<Links>,
}

/// What goes through a module: every token that this process is logged in to.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// How often the module was started; 0: not yet.
    pub(super) generation: u64,
    open: HashMap<u64, Link>,
}

static LOADED: Mutex<Vec<Arc<Module>>> = Mutex::new(Vec::new());

/// So long the end of a process waits for a device.
const FAREWELL: Duration = Duration::from_secs(2);

/// Lets nobody into a module any more, and waits for whoever is in one, but not for a device that hangs. For the end
/// of a process: libraries have an end of their own then, and crash when it comes beside a call of another thread.
pub fn leave_modules() {
    let loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if loaded.is_empty() {
        return;
    }
    let (say, left) = mpsc::channel();
    let leave = move || {
        // Held for what is left of the process.
        loaded.iter().for_each(|module| mem::forget(module.links_alone()));
        let _ = say.send(());
    };
    if thread::Builder::new().name("leave".into()).spawn(leave).is_ok() {
        let _ = left.recv_timeout(FAREWELL);
    }
}

impl Module {
    /// The module at this path: checked each time, loaded the first time.
    pub(super) fn load(path: &Path) -> Result<Arc<Self>, CustodyError> {
        let file = ModuleFile::check(path)?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = loaded.iter().find(|module| module.file.path == file.path) {
            return Ok(module.clone());
        }
        let context = Pkcs11::new(&file.path).map_err(|e| {
            let message = format!("cannot load the PKCS#11 module {}: {}", file.path.display(), code(&e));
            error(ErrorKind::Misconfigured, "load", message, "Install what it needs, or mend custody.pkcs11.module.")
        })?;
        let module = Arc::new(Self { file, context, links: RwLock::default() });
        loaded.push(module.clone());
        Ok(module)
    }

    /// The module's own function table.
    pub(super) const fn context(&self) -> &Pkcs11 {
        &self.context
    }

    /// The links, for as long as an operation goes on. Nobody starts the module anew meanwhile.
    pub(super) fn links(&self) -> RwLockReadGuard<'_, Links> {
        self.links.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The links alone, with no operation under way.
    pub(super) fn links_alone(&self) -> RwLockWriteGuard<'_, Links> {
        self.links.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the module, or starts it anew: what it knew of its tokens is stale once one of them went away.
    pub(super) fn start(&self, links: &mut Links) -> Result<(), Fault> {
        // Closed before the module starts: it gives the same numbers again, and an old session that is closed later
        // would close a new one.
        links.open.clear();
        if links.generation > 0 {
            // Whatever it says, it is started anew.
            let _ = self.context.clone().finalize();
        }
        match self.context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another part of this process uses the same library.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(e) => {
                let message = format!("the PKCS#11 module {} does not start", self.file.path.display());
                let advice = "Check its own configuration, and the vendor's log.";
                return Err(device_error(&e, ErrorKind::Away, message, advice).into());
            }
        }
        links.generation += 1;
        Ok(())
    }
}

impl Links {
    /// The link of the token with this number.
    pub(super) fn get(&self, token: u64) -> Option<&Link> {
        self.open.get(&token)
    }

    pub(super) fn insert(&mut self, token: u64, link: Link) {
        self.open.insert(token, link);
    }

    /// Closes the sessions of a token that nobody uses any more.
    pub(super) fn remove(&mut self, token: u64) {
        self.open.remove(&token);
    }
}
