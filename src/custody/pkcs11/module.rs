use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::slot::Slot;

use super::error;
use super::fault::{Fault, code, device_error};
use super::link::Link;
use super::module_file::ModuleFile;
use super::token_info::{AskToken, TokenInfo};
use crate::custody::{CustodyError, ErrorKind};

/// A vendor's module in this process. There is one for each library, since a library has one state for all its
/// callers; it is never unloaded, since many of them crash when they are.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) file: ModuleFile,
    context: Pkcs11,
    ask: AskToken,
    links: RwLock<Links>,
}

/// What goes through a module: every token that this process is logged in to.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// How often the module was started.
    pub(super) generation: u64,
    /// Whether it runs: it may have failed to start, now or again.
    pub(super) runs: bool,
    open: HashMap<u64, Link>,
}

static LOADED: Mutex<Vec<Arc<Module>>> = Mutex::new(Vec::new());

impl Module {
    /// The module at this path: checked each time, loaded the first time.
    pub(super) fn load(path: &Path) -> Result<Arc<Self>, CustodyError> {
        let file = ModuleFile::check(path)?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = loaded.iter().find(|module| module.file.path == file.path) {
            return Ok(module.clone());
        }
        let loads = Pkcs11::new(&file.path).and_then(|context| Ok((context, AskToken::of(&file.path)?)));
        let (context, ask) = loads.map_err(|e| {
            let message = format!("cannot load the PKCS#11 module {}: {}", file.path.display(), code(&e));
            error(ErrorKind::Misconfigured, "load", message, "Install what it needs, or mend custody.pkcs11.module.")
        })?;
        let module = Arc::new(Self { file, context, ask, links: RwLock::default() });
        loaded.push(module.clone());
        Ok(module)
    }

    /// The module's own function table.
    pub(super) const fn context(&self) -> &Pkcs11 {
        &self.context
    }

    /// What the token in a slot says of itself. The module's own function is asked where cryptoki cannot read the
    /// answer, and there alone: a proxy may give another table of functions to each who asks for one.
    pub(super) fn ask(&self, slot: Slot) -> Result<TokenInfo, Error> {
        match self.context.get_token_info(slot) {
            Ok(told) => Ok(TokenInfo::from(&told)),
            Err(said @ Error::Pkcs11(..)) => Err(said),
            Err(_) => self.ask.ask(slot),
        }
    }

    /// The links, for as long as an operation goes on. Nobody starts the module anew meanwhile.
    pub(super) fn links(&self) -> RwLockReadGuard<'_, Links> {
        self.links.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The links alone, with no operation under way.
    pub(super) fn links_alone(&self) -> RwLockWriteGuard<'_, Links> {
        self.links.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the sessions of a token that nobody uses any more, unless an operation is under way.
    pub(super) fn forget(&self, token: u64) {
        if let Ok(mut links) = self.links.try_write() {
            links.open.remove(&token);
        }
    }

    /// Starts the module, or starts it anew: what it knew of its tokens is stale once one of them went away.
    pub(super) fn start(&self, links: &mut Links) -> Result<(), Fault> {
        // Closed before the module starts: it gives the same numbers again, and an old session that is closed later
        // would close a new one.
        links.open.clear();
        if links.runs {
            // Whatever it says, it is started anew.
            let _ = self.context.clone().finalize();
            links.runs = false;
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
        links.runs = true;
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
}
