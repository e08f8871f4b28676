use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::types::RawAuthPin;

use super::error;
use super::fault::{Fault, device_error, means_gone};
use super::pin_memory::{PinMemory, Remembered};
use super::token_info::TokenInfo;
use crate::custody::{CustodyError, ErrorKind, PinSource};
use crate::facts::SecretBytes;

/// What a token tells of the tries that are left for its PIN. PKCS#11 has no number for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PinState {
    /// Nothing to worry about.
    Fine,
    /// A wrong PIN was given since the last right one.
    Low,
    /// One more wrong PIN locks the token.
    FinalTry,
    /// The token takes no PIN any more.
    Locked,
}

impl PinState {
    /// By the flags of CK_TOKEN_INFO, the worst first.
    pub(super) const fn of(locked: bool, final_try: bool, low: bool) -> Self {
        match (locked, final_try, low) {
            (true, _, _) => Self::Locked,
            (_, true, _) => Self::FinalTry,
            (_, _, true) => Self::Low,
            _ => Self::Fine,
        }
    }

    /// The name as reports write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Low => "low",
            Self::FinalTry => "final-try",
            Self::Locked => "locked",
        }
    }

    /// For the person at the terminal.
    const fn warning(self) -> &'static str {
        match self {
            Self::Fine => "",
            Self::Low => "The token warns that few tries are left. ",
            Self::FinalTry => "The token warns that one more wrong PIN locks it. ",
            Self::Locked => "The token is locked now. ",
        }
    }
}

/// A token that asks for a login.
pub(super) struct Login<'a> {
    pub(super) session: &'a Session,
    /// What the token told just before.
    pub(super) told: &'a TokenInfo,
    /// The token for errors.
    pub(super) name: &'a str,
    pub(super) source: &'a PinSource,
    pub(super) memory: PinMemory,
}

impl Login<'_> {
    /// Logs in with one try at most, which no later process repeats where it was refused. `ask_again` tells what the
    /// token says after a refusal; `read` gives the PIN.
    pub(super) fn run(
        self,
        read: impl FnOnce() -> Result<SecretBytes, CustodyError>,
        ask_again: impl FnOnce() -> Option<PinState>,
    ) -> Result<(), Fault> {
        let told = self.told.pin;
        let source = self.source.identity()?;
        let before = self.memory.read()?;
        may_try(told, before.as_ref(), source.as_deref()).map_err(|why| self.held_back(why, told))?;
        let pin = read()?;
        if told > PinState::Fine {
            tracing::warn!(token = self.name, pin = told.name(), "few tries of the PIN are left");
        }
        let broke_off = match before {
            Some(Remembered::Trying { times }) => times,
            _ => 0,
        };
        self.memory.write(&Remembered::Trying { times: broke_off.saturating_add(1) })?;
        let pin = RawAuthPin::new(Box::new(pin.expose().to_vec()));
        match self.session.login_with_raw(UserType::User, &pin) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(self.memory.forget()?),
            // None was looked at: SoftHSM says so, too, of a token that another program is just writing to.
            Err(none @ Error::Pkcs11(RvError::UserPinNotInitialized, _)) => {
                self.memory.restore(before.as_ref())?;
                let message = format!("{} has no user PIN", self.name);
                let advice = "The security officer sets one with the maker's tool (C_InitPIN).";
                Err(device_error(&none, ErrorKind::Away, message, advice).into())
            }
            // A token that is there and twice in a row says neither yes nor no may count it as wrong all the same.
            Err(refusal) if is_refusal(&refusal) || (broke_off > 0 && !means_gone(&refusal)) => {
                self.memory.write(&Remembered::refused(before, source))?;
                let now = ask_again().unwrap_or(told);
                let message = format!("{} refused the PIN", self.name);
                let advice = format!("{}{}", now.warning(), self.source.after_refusal());
                Err(device_error(&refusal, ErrorKind::Refused, message, advice).into())
            }
            // The token went away before it looked at the PIN, and is looked for again for as long as it takes.
            Err(gone) if means_gone(&gone) => {
                self.memory.restore(before.as_ref())?;
                Err(gone.into())
            }
            // What came of the try is not known; the next one looks at what the token tells.
            Err(other) => Err(other.into()),
        }
    }

    fn held_back(&self, why: HeldBack, told: PinState) -> CustodyError {
        let name = self.name;
        let (message, advice) = match why {
            HeldBack::FinalTry => {
                let advice =
                    "One more wrong PIN locks it. Make sure of the PIN, then run: local-vault custody retry-pin";
                (format!("{name} has one try of its PIN left"), advice.to_owned())
            }
            HeldBack::Locked => {
                let advice =
                    "Nothing was tried. The security officer sets a new PIN with the maker's tool (C_InitPIN).";
                (format!("the PIN of {name} is locked"), advice.to_owned())
            }
            HeldBack::Refused => {
                let advice = format!("{}{}", told.warning(), self.source.after_refusal());
                (format!("{name} refused this PIN before, and it was not tried again"), advice)
            }
            HeldBack::Unknown => {
                let advice = format!("{}Make sure of the PIN, then run: local-vault custody retry-pin", told.warning());
                (format!("earlier tries of the PIN of {name} broke off, and it may have counted them"), advice)
            }
        };
        error(ErrorKind::Refused, "login", message, advice)
    }
}

/// So many tries in a row may break off.
const MOST_BROKEN: u32 = 3;

/// Why no PIN is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeldBack {
    FinalTry,
    Locked,
    Refused,
    Unknown,
}

/// Whether a PIN may be tried, by what the token tells and what earlier processes left.
fn may_try(told: PinState, remembered: Option<&Remembered>, source: Option<&str>) -> Result<(), HeldBack> {
    match remembered {
        _ if told == PinState::Locked => Err(HeldBack::Locked),
        Some(Remembered::Allowed) => Ok(()),
        Some(Remembered::Refused { sources }) if sources.iter().any(|refused| Some(refused.as_str()) == source) => {
            Err(HeldBack::Refused)
        }
        // Not every token tells of the first wrong PIN, so that a crash in a row is not a try in a row without end.
        Some(Remembered::Trying { times }) if told > PinState::Fine || *times >= MOST_BROKEN => Err(HeldBack::Unknown),
        _ if told == PinState::FinalTry => Err(HeldBack::FinalTry),
        _ => Ok(()),
    }
}

const fn is_refusal(device: &Error) -> bool {
    matches!(
        device,
        Error::Pkcs11(
            RvError::PinIncorrect
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinExpired
                | RvError::PinLocked,
            _
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(source: Option<&str>) -> Remembered {
        Remembered::refused(None, source.map(str::to_owned))
    }

    #[test]
    fn a_refused_pin_is_not_tried_again_until_its_source_changes() {
        let before = refused(Some("a"));
        assert_eq!(may_try(PinState::Low, Some(&before), Some("a")), Err(HeldBack::Refused));
        assert_eq!(may_try(PinState::Fine, Some(&before), Some("a")), Err(HeldBack::Refused));
        assert_eq!(may_try(PinState::Low, Some(&before), Some("b")), Ok(()));
        assert_eq!(may_try(PinState::Low, Some(&refused(None)), None), Ok(()), "a person types it anew");
    }

    #[test]
    fn the_last_try_and_a_locked_token_are_left_alone() {
        assert_eq!(may_try(PinState::FinalTry, None, Some("a")), Err(HeldBack::FinalTry));
        assert_eq!(may_try(PinState::FinalTry, Some(&refused(Some("b"))), Some("a")), Err(HeldBack::FinalTry));
        assert_eq!(may_try(PinState::FinalTry, Some(&Remembered::Allowed), Some("a")), Ok(()));
        assert_eq!(may_try(PinState::Locked, Some(&Remembered::Allowed), Some("a")), Err(HeldBack::Locked));
    }

    #[test]
    fn a_try_that_broke_off_counts_where_the_token_counts_it() {
        assert_eq!(may_try(PinState::Fine, Some(&Remembered::Trying { times: 1 }), Some("a")), Ok(()));
        assert_eq!(may_try(PinState::Low, Some(&Remembered::Trying { times: 1 }), Some("a")), Err(HeldBack::Unknown));
        assert_eq!(may_try(PinState::Low, None, Some("a")), Ok(()));
    }

    #[test]
    fn tries_that_break_off_in_a_row_come_to_an_end_also_where_the_token_counts_in_silence() {
        let broke_off = |times| may_try(PinState::Fine, Some(&Remembered::Trying { times }), Some("a"));
        assert_eq!([broke_off(1), broke_off(2), broke_off(3)], [Ok(()), Ok(()), Err(HeldBack::Unknown)]);
    }
}
