// cryptoki refuses to tell of a token whose clock it cannot read, and gives no way to the module's own functions. This
// file calls the one that is needed; it is the only one here that does.
#![allow(unsafe_code)]

use std::fmt;
use std::path::Path;
use std::ptr;

use cryptoki::context::Function;
use cryptoki::error::{Error, Rv};
use cryptoki::slot::{Limit, Slot};
use cryptoki_sys::{
    CK_FUNCTION_LIST, CK_TOKEN_INFO, CKF_LOGIN_REQUIRED, CKF_TOKEN_INITIALIZED, CKF_USER_PIN_COUNT_LOW,
    CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED,
};

use super::login::PinState;

/// What a token says of itself (CK_TOKEN_INFO), without what nobody here asks for.
#[derive(Debug, Clone)]
pub(super) struct TokenInfo {
    pub(super) label: String,
    pub(super) serial: String,
    pub(super) manufacturer: String,
    pub(super) model: String,
    pub(super) firmware: String,
    pub(super) is_initialized: bool,
    pub(super) needs_login: bool,
    pub(super) pin: PinState,
    /// At most so many sessions; `None`: no limit, or none that it tells.
    pub(super) most_sessions: Option<u64>,
}

/// A module's own C_GetTokenInfo.
pub(super) struct AskToken {
    functions: *mut CK_FUNCTION_LIST,
    /// Keeps the functions where they are.
    _library: cryptoki_sys::Pkcs11,
}

// SAFETY: the list is the module's own, constant and never freed while the library is loaded; a module that is started
// with CKF_OS_LOCKING_OK lets any thread call it.
unsafe impl Send for AskToken {}
// SAFETY: as above.
unsafe impl Sync for AskToken {}

impl AskToken {
    /// The function of the module at this path, which is loaded already: the loader hands out the same one.
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        // SAFETY: loading runs the module's own start-up code, as cryptoki does for the same file; the file was checked.
        let library = unsafe { cryptoki_sys::Pkcs11::new(path) }.map_err(Error::LibraryLoading)?;
        let get = library.C_GetFunctionList.as_ref().map_err(|_| Error::MissingSymbol("C_GetFunctionList"))?;
        let mut functions: *mut CK_FUNCTION_LIST = ptr::null_mut();
        // SAFETY: the function writes one pointer to where it is told; it may be called before C_Initialize.
        let answer = unsafe { get(&raw mut functions) };
        Rv::from(answer).into_result(Function::GetFunctionList)?;
        if functions.is_null() {
            return Err(Error::NullFunctionPointer);
        }
        Ok(Self { functions, _library: library })
    }

    /// What the token in this slot says of itself.
    pub(super) fn ask(&self, slot: Slot) -> Result<TokenInfo, Error> {
        // SAFETY: not null, and valid as long as the library is loaded, which `self` sees to. Read as it may be packed.
        let ask = unsafe { ptr::read_unaligned(&raw const (*self.functions).C_GetTokenInfo) };
        let ask = ask.ok_or(Error::NullFunctionPointer)?;
        let mut told = CK_TOKEN_INFO::default();
        // SAFETY: the function writes one CK_TOKEN_INFO to where it is told.
        let answer = unsafe { ask(slot.into(), &raw mut told) };
        Rv::from(answer).into_result(Function::GetTokenInfo)?;
        Ok(TokenInfo::from(&told))
    }
}

impl From<&CK_TOKEN_INFO> for TokenInfo {
    fn from(told: &CK_TOKEN_INFO) -> Self {
        let says = |flag| told.flags & flag != 0;
        let (locked, final_try, low) =
            (says(CKF_USER_PIN_LOCKED), says(CKF_USER_PIN_FINAL_TRY), says(CKF_USER_PIN_COUNT_LOW));
        let limit = told.ulMaxSessionCount;
        let (infinite, unavailable) = (0, cryptoki_sys::CK_UNAVAILABLE_INFORMATION);
        Self {
            label: text(&told.label),
            serial: text(&told.serialNumber),
            manufacturer: text(&told.manufacturerID),
            model: text(&told.model),
            firmware: format!("{}.{}", told.firmwareVersion.major, told.firmwareVersion.minor),
            is_initialized: says(CKF_TOKEN_INITIALIZED),
            needs_login: says(CKF_LOGIN_REQUIRED),
            pin: PinState::of(locked, final_try, low),
            most_sessions: (limit != infinite && limit != unavailable).then_some(limit),
        }
    }
}

impl From<&cryptoki::slot::TokenInfo> for TokenInfo {
    fn from(told: &cryptoki::slot::TokenInfo) -> Self {
        let (locked, final_try, low) = (told.user_pin_locked(), told.user_pin_final_try(), told.user_pin_count_low());
        Self {
            label: told.label().to_owned(),
            serial: told.serial_number().to_owned(),
            manufacturer: told.manufacturer_id().to_owned(),
            model: told.model().to_owned(),
            firmware: told.firmware_version().to_string(),
            is_initialized: told.token_initialized(),
            needs_login: told.login_required(),
            pin: PinState::of(locked, final_try, low),
            most_sessions: match told.max_session_count() {
                Limit::Max(limit) => Some(limit),
                Limit::Infinite | Limit::Unavailable => None,
            },
        }
    }
}

impl fmt::Debug for AskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AskToken")
    }
}

/// Text in a field of fixed length, filled up with blanks; some fill it up with zeroes.
fn text(field: &[u8]) -> String {
    let end = field.iter().rposition(|c| !matches!(c, b' ' | 0)).map_or(0, |last| last + 1);
    String::from_utf8_lossy(&field[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_with_a_clock_that_does_not_read_is_told_of_all_the_same() {
        let mut told = CK_TOKEN_INFO { label: [b' '; 32], ulMaxSessionCount: 16, ..CK_TOKEN_INFO::default() };
        told.label[..7].copy_from_slice(b"edge-07");
        told.serialNumber[..3].copy_from_slice(b"123");
        told.utcTime = *b"14:36:44        ";
        told.flags = CKF_TOKEN_INITIALIZED | CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY;
        let info = TokenInfo::from(&told);
        assert_eq!((info.label.as_str(), info.serial.as_str(), info.model.as_str()), ("edge-07", "123", ""));
        assert_eq!((info.pin, info.most_sessions, info.needs_login), (PinState::FinalTry, Some(16), false));
    }
}
