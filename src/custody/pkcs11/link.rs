use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki::session::Session;
use cryptoki::slot::Slot;

use super::config::TokenName;
use super::error;
use super::fault::Fault;
use super::module::Module;
use super::pool::Pool;
use super::profile::Profile;
use super::token_info::TokenInfo;
use crate::custody::{CustodyError, ErrorKind};

/// A token that was found and is logged in to.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) slot: Slot,
    pub(super) profile: Profile,
    pub(super) pool: Pool,
    /// Holds the login: it lives as long as any session does, and a logout in one would be one in all. Session
    /// objects are made here, since they die with the session that made them.
    login: Mutex<Session>,
}

impl Link {
    pub(super) fn new(slot: Slot, told: &TokenInfo, profile: Profile, login: Session) -> Self {
        let pool = Pool::new(slot, told, profile.most_sessions());
        Self { slot, profile, pool, login: Mutex::new(login) }
    }

    /// The session that holds the login, and every session object.
    pub(super) fn login(&self) -> MutexGuard<'_, Session> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A link while it is worked with.
pub(super) struct Linked<'a> {
    pub(super) module: &'a Module,
    pub(super) link: &'a Link,
    /// Rises with each time that the module was started anew; handles of an earlier one mean nothing.
    pub(super) generation: u64,
    pub(super) session: &'a Session,
}

impl Linked<'_> {
    /// Whether the token still answers. A token that is gone may answer to some calls with what looks like another
    /// error.
    pub(super) fn answers(&self) -> bool {
        self.module.ask(self.link.slot).is_ok()
    }
}

/// The one token of that name. Every slot is asked, since a module may know a token only once it was asked.
pub(super) fn find(module: &Module, name: &TokenName) -> Result<(Slot, TokenInfo), Fault> {
    let slots = module.context().get_slots_with_token()?;
    // A slot whose token does not answer is passed over: it may be another one, which is nobody's concern here.
    let told = slots.into_iter().filter_map(|slot| Some((slot, module.ask(slot).ok()?)));
    let (fitting, others): (Vec<_>, Vec<_>) =
        told.filter(|(_, token)| token.is_initialized).partition(|(_, token)| fits(name, token));
    match <[_; 1]>::try_from(fitting) {
        Ok([one]) => Ok(one),
        Err(none) if none.is_empty() => Err(none_fits(name, &others).into()),
        Err(several) => {
            let serials: Vec<_> = several.iter().map(|(_, token)| token.serial.as_str()).collect();
            let message = format!("{} tokens fit: {name}", several.len());
            let advice = format!("Name one by its custody.pkcs11.token_serial: {}", serials.join(" or "));
            Err(error(ErrorKind::Misconfigured, "find", message, advice).into())
        }
    }
}

fn fits(name: &TokenName, token: &TokenInfo) -> bool {
    let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    is(&name.label, &token.label) && is(&name.serial, &token.serial)
}

fn none_fits(name: &TokenName, others: &[(Slot, TokenInfo)]) -> CustodyError {
    let labels: Vec<_> = others.iter().map(|(_, token)| format!("{:?}", token.label)).collect();
    let there = if labels.is_empty() { "no token".to_owned() } else { labels.join(", ") };
    let advice = format!("The module shows {there}. Insert or start the token, or mend custody.pkcs11.token_label.");
    error(ErrorKind::Away, "find", format!("{name} is not there"), advice)
}
