use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cryptoki::error::Error;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use cryptoki::slot::Slot;

use super::config::TokenConfig;
use super::fault::{Fault, device_error, kind, means_gone};
use super::link::{Link, Linked, find};
use super::login::{Login, PinState};
use super::module::{Links, Module};
use super::pin_memory::{PinMemory, Remembered};
use super::profile::Profile;
use super::token_info::TokenInfo;
use crate::custody::{CustodyError, ErrorKind, PinSource};
use crate::facts::{Digest, SecretBytes};

/// A token, whether it is there or not. It is looked for and logged in to when it is first asked for something, and
/// again when it was away.
pub struct Token {
    number: u64,
    config: TokenConfig,
    profile: Option<Profile>,
    module: OnceLock<Arc<Module>>,
    /// When it was last looked for in vain, and why.
    missed: Mutex<Option<(Instant, CustodyError)>>,
    /// What a person typed, for when the token comes back.
    typed: Mutex<Option<SecretBytes>>,
}

/// What a token and its module say of themselves.
#[derive(Debug, Clone)]
pub struct TokenFacts {
    /// As it was given when the token was initialised.
    pub label: String,
    /// As the maker gave it.
    pub serial: String,
    /// Who made it.
    pub manufacturer: String,
    /// What it is.
    pub model: String,
    /// Its firmware's version.
    pub firmware: String,
    /// What the module says it is, with its version.
    pub library: String,
    /// SHA-256 of the module's file.
    pub library_sha256: Digest,
    /// The profile by which it is used, and on what that was measured.
    pub profile: Profile,
    /// What it tells of the tries of its PIN.
    pub pin: PinState,
}

/// For so long nobody looks again for a token that was not there, so that a queue of requests does not wait for each
/// of them in turn.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How often it is looked for at a time, and the pause in between: longer than a program writes to a token.
const LOOKS: usize = 2;
const PAUSE: Duration = Duration::from_millis(20);

/// A token that comes and goes all the time is not chased.
const TRIES: usize = 3;

impl Token {
    /// The token of this configuration. Reads a profile where one is named; touches neither module nor token.
    pub fn new(config: TokenConfig) -> Result<Arc<Self>, CustodyError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let profile = config.profile.as_deref().map(Profile::read).transpose()?;
        Ok(Arc::new(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            config,
            profile,
            module: OnceLock::new(),
            missed: Mutex::default(),
            typed: Mutex::default(),
        }))
    }

    /// Finds the token and logs in, where that was not done yet. Blocks.
    pub fn connect(&self) -> Result<(), CustodyError> {
        self.run(|_| Ok(()))
    }

    /// What the token and its module say of themselves. Needs no PIN.
    pub fn facts(&self) -> Result<TokenFacts, CustodyError> {
        let module = self.module()?;
        // Shared with operations under way where the module has started; started alone where it has not.
        let links = module.links();
        if links.runs {
            let found = find(module, &self.config.token);
            return found.and_then(|(_, told)| self.read_facts(module, told)).map_err(|fault| self.away(fault));
        }
        drop(links);
        let found = patiently(module, &mut module.links_alone(), || find(module, &self.config.token));
        found.and_then(|(_, told)| self.read_facts(module, told)).map_err(|fault| self.away(fault))
    }

    /// Allows one try of the PIN, whatever was remembered.
    pub fn allow_one_try(&self) -> Result<TokenFacts, CustodyError> {
        let facts = self.facts()?;
        PinMemory::open(&self.config.pin_memory, &facts.serial)?.write(&Remembered::Allowed)?;
        Ok(facts)
    }

    /// The token by its configured name, for errors.
    pub(super) fn name(&self) -> String {
        self.config.token.to_string()
    }

    /// Works with a logged-in session. Where the token turns out to be gone, it is looked for once more and the work
    /// is done again: for work that may be done twice.
    pub(super) fn run<T>(&self, work: impl Fn(&Linked<'_>) -> Result<T, Fault>) -> Result<T, CustodyError> {
        let mut gone = None;
        for _ in 0..TRIES {
            match self.try_run(&work, gone.is_some())? {
                Ok(done) => return Ok(done),
                Err(Unlinked::NotYet) => self.link(gone)?,
                Err(Unlinked::Gone { generation, fault }) if gone.is_none() => {
                    tracing::warn!(token = self.name(), "the token does not answer; looking for it again");
                    gone = Some(generation);
                    self.link(gone).map_err(|e| if e.kind == ErrorKind::Away { self.away(fault) } else { e })?;
                }
                Err(Unlinked::Gone { fault, .. }) => return Err(self.away(fault)),
            }
        }
        Err(self.missing("comes and goes"))
    }

    /// Works once, with a session that may change the token. What an error leaves behind is not known.
    pub(super) fn change<T>(&self, work: impl FnOnce(&Linked<'_>) -> Result<T, Fault>) -> Result<T, CustodyError> {
        self.connect()?;
        let module = self.module()?;
        // Alone: SoftHSM fails to make a key, or loses it, while another thread makes, destroys or looks for one.
        let links = module.links_alone();
        let link = links.get(self.number).ok_or_else(|| self.missing("went away"))?;
        let write = module.context().open_rw_session(link.slot).map_err(Fault::from);
        let generation = links.generation;
        let done = write.and_then(|session| work(&Linked { module, link, generation, session: &session, again: true }));
        done.map_err(|fault| match fault {
            Fault::Verdict(verdict) => verdict,
            Fault::Device(e) => self.refuses(&e),
        })
    }

    /// Destroys a session object that nobody uses any more. Where the token is gone, so is the object.
    pub(super) fn forget(&self, generation: u64, object: ObjectHandle) {
        let Some(module) = self.module.get() else { return };
        let links = module.links();
        if let Some(link) = links.get(self.number).filter(|_| links.generation == generation) {
            let _ = link.login().destroy_object(object);
        }
    }

    fn try_run<T>(
        &self,
        work: impl Fn(&Linked<'_>) -> Result<T, Fault>,
        again: bool,
    ) -> Result<Result<T, Unlinked>, CustodyError> {
        let module = self.module()?;
        let links = module.links();
        let Some(link) = links.get(self.number) else { return Ok(Err(Unlinked::NotYet)) };
        let generation = links.generation;
        match link.pool.run(module.context(), |session| work(&Linked { module, link, generation, session, again })) {
            Ok(done) => Ok(Ok(done)),
            Err(Fault::Verdict(verdict)) => Err(verdict),
            Err(Fault::Device(e)) if means_gone(&e) || link.profile.may_mean_gone(&e) => {
                Ok(Err(Unlinked::Gone { generation, fault: Fault::Device(e) }))
            }
            Err(Fault::Device(e)) => Err(self.refuses(&e)),
        }
    }

    /// Finds the token and logs in, unless somebody else has done so meanwhile. `gone`: the module's generation in
    /// which the token was lost.
    fn link(&self, gone: Option<u64>) -> Result<(), CustodyError> {
        let module = self.module()?;
        let mut links = module.links_alone();
        let is_there = links.get(self.number).is_some() && gone.is_none_or(|generation| links.generation > generation);
        if is_there {
            return Ok(());
        }
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, why)) = &*missed
            && when.elapsed() < LOOK_AGAIN
        {
            return Err(why.clone());
        }
        let linked = self.open_link(module, &mut links, gone).map_err(|fault| self.away(fault));
        *missed = linked.as_ref().err().map(|why| (Instant::now(), why.clone()));
        if linked.is_ok() && gone.is_some() {
            // At the level of the line that said it was gone.
            tracing::warn!(token = self.name(), "the token is back");
        }
        linked
    }

    fn open_link(&self, module: &Module, links: &mut Links, gone: Option<u64>) -> Result<(), Fault> {
        if gone == Some(links.generation) {
            module.start(links)?;
        }
        let link = patiently(module, links, || {
            let (slot, told) = find(module, &self.config.token)?;
            let session = module.context().open_ro_session(slot)?;
            if told.needs_login {
                self.login(module, slot, &told, &session)?;
            }
            let profile = self.profile.clone().unwrap_or_else(|| Profile::fitting(&told));
            Ok(Link::new(slot, &told, profile, session))
        })?;
        links.insert(self.number, link);
        Ok(())
    }

    fn login(&self, module: &Module, slot: Slot, told: &TokenInfo, session: &Session) -> Result<(), Fault> {
        let name = self.name();
        let memory = PinMemory::open(&self.config.pin_memory, &told.serial)?;
        let login = Login { session, told, name: &name, source: &self.config.pin, memory };
        let mut typed = self.typed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = typed.take();
        let read = || {
            let pin = before.map_or_else(|| self.config.pin.read(&name), Ok)?;
            if self.config.pin == PinSource::Prompt {
                *typed = Some(pin.clone());
            }
            Ok(pin)
        };
        let done = login.run(read, || module.ask(slot).ok().map(|told| told.pin));
        if done.is_err() {
            *typed = None;
        }
        done
    }

    fn read_facts(&self, module: &Module, told: TokenInfo) -> Result<TokenFacts, Fault> {
        let library = module.context().get_library_info()?;
        Ok(TokenFacts {
            profile: self.profile.clone().unwrap_or_else(|| Profile::fitting(&told)),
            label: told.label,
            serial: told.serial,
            manufacturer: told.manufacturer,
            model: told.model,
            firmware: told.firmware,
            library: format!("{} {}", library.library_description(), library.library_version()),
            library_sha256: module.file.digest,
            pin: told.pin,
        })
    }

    fn module(&self) -> Result<&Arc<Module>, CustodyError> {
        match self.module.get() {
            Some(module) => Ok(module),
            None => {
                let module = Module::load(&self.config.module)?;
                Ok(self.module.get_or_init(|| module))
            }
        }
    }

    fn refuses(&self, device: &Error) -> CustodyError {
        let kind = kind(device);
        let how = if kind == ErrorKind::Unsupported { "cannot do this" } else { "failed" };
        device_error(device, kind, format!("{} {how}", self.name()), LOOK_AT_IT)
    }

    fn away(&self, fault: Fault) -> CustodyError {
        let advice = "Nothing was signed. Insert, start or connect it; it is looked for again by itself.";
        fault.or(ErrorKind::Away, format!("{} does not answer", self.name()), advice)
    }

    fn missing(&self, how: &str) -> CustodyError {
        super::error(ErrorKind::Away, "find", format!("{} {how}", self.name()), LOOK_AT_IT)
    }
}

/// Does something with a module that has started. Some modules look for tokens only when they start, and see half of
/// one that another program is just writing to: where it is away, the module starts anew and it is done again.
fn patiently<T>(module: &Module, links: &mut Links, work: impl Fn() -> Result<T, Fault>) -> Result<T, Fault> {
    if !links.runs {
        module.start(links)?;
    }
    for _ in 0..LOOKS {
        match work() {
            Err(Fault::Verdict(e)) if e.kind == ErrorKind::Away => {}
            done => return done,
        }
        thread::sleep(PAUSE);
        module.start(links)?;
    }
    work()
}

const LOOK_AT_IT: &str = "Run: local-vault custody selftest";

/// Why work was not done.
enum Unlinked {
    /// The token was lost, in this generation of the module.
    Gone { generation: u64, fault: Fault },
    /// Nobody has logged in yet, or the module was started anew since.
    NotYet,
}

impl Drop for Token {
    fn drop(&mut self) {
        if let Some(module) = self.module.get() {
            // A device that hangs keeps nobody from ending.
            module.forget(self.number);
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.config.token)
    }
}
