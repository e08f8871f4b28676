use cryptoki::context::Function;
use cryptoki::error::{Error, RvError};

use super::BACKEND;
use crate::custody::{CustodyError, ErrorKind};

/// What ended an operation on a token: an answer of the device, or a verdict of ours.
#[derive(Debug)]
pub(super) enum Fault {
    Device(Error),
    Verdict(CustodyError),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Device(error)
    }
}

impl From<CustodyError> for Fault {
    fn from(error: CustodyError) -> Self {
        Self::Verdict(error)
    }
}

impl Fault {
    /// What the device said, as an error of custody; a verdict stays what it is.
    pub(super) fn or(self, kind: ErrorKind, message: impl Into<String>, advice: impl Into<String>) -> CustodyError {
        match self {
            Self::Verdict(verdict) => verdict,
            Self::Device(device) => device_error(&device, kind, message, advice),
        }
    }
}

/// An answer of the device in two lines.
pub(super) fn device_error(
    device: &Error,
    kind: ErrorKind,
    message: impl Into<String>,
    advice: impl Into<String>,
) -> CustodyError {
    let error = CustodyError::new(kind, BACKEND, function_name(device), message, advice);
    CustodyError { code: Some(code(device)), ..error }
}

/// The return value by the name that the standard gives it, such as `CKR_PIN_INCORRECT`.
pub(super) fn code(device: &Error) -> String {
    match device {
        Error::Pkcs11(RvError::VendorDefined(number) | RvError::UnknownErrorCode(number), _) => {
            format!("CKR 0x{number:08X}")
        }
        // The names of the enum are those of the standard in another case.
        Error::Pkcs11(value, _) => {
            let name = format!("{value:?}");
            let words = name.chars().flat_map(|c| c.is_ascii_uppercase().then_some('_').into_iter().chain([c]));
            format!("CKR{}", words.collect::<String>().to_ascii_uppercase())
        }
        // Written over one line: the text of the dynamic loader may have more.
        other => other.to_string().lines().collect::<Vec<_>>().join(" "),
    }
}

/// Whether the standard has this value for a token, a session or a module that is gone, whatever was asked for.
pub(super) const fn means_gone(device: &Error) -> bool {
    matches!(
        device,
        Error::Pkcs11(
            RvError::CryptokiNotInitialized
                | RvError::DeviceError
                | RvError::DeviceRemoved
                | RvError::SessionClosed
                | RvError::SessionHandleInvalid
                | RvError::SlotIdInvalid
                | RvError::TokenNotPresent
                | RvError::TokenNotRecognized
                | RvError::UserNotLoggedIn,
            _
        )
    )
}

/// What a failure of a single operation means, where the token is there.
pub(super) const fn kind(device: &Error) -> ErrorKind {
    match device {
        Error::Pkcs11(
            RvError::MechanismInvalid
            | RvError::MechanismParamInvalid
            | RvError::CurveNotSupported
            | RvError::DomainParamsInvalid
            | RvError::FunctionNotSupported,
            _,
        )
        | Error::NotSupported
        | Error::NullFunctionPointer => ErrorKind::Unsupported,
        _ => ErrorKind::Broken,
    }
}

fn function_name(device: &Error) -> &'static str {
    let Error::Pkcs11(_, function) = device else { return "PKCS#11" };
    match function {
        Function::CloseSession => "C_CloseSession",
        Function::Decrypt => "C_Decrypt",
        Function::DecryptInit => "C_DecryptInit",
        Function::DestroyObject => "C_DestroyObject",
        Function::Encrypt => "C_Encrypt",
        Function::EncryptInit => "C_EncryptInit",
        Function::FindObjects => "C_FindObjects",
        Function::FindObjectsInit => "C_FindObjectsInit",
        Function::GenerateKey => "C_GenerateKey",
        Function::GenerateKeyPair => "C_GenerateKeyPair",
        Function::GenerateRandom => "C_GenerateRandom",
        Function::GetAttributeValue => "C_GetAttributeValue",
        Function::GetInfo => "C_GetInfo",
        Function::GetSlotList => "C_GetSlotList",
        Function::GetTokenInfo => "C_GetTokenInfo",
        Function::Initialize => "C_Initialize",
        Function::Login => "C_Login",
        Function::OpenSession => "C_OpenSession",
        Function::Sign => "C_Sign",
        Function::SignInit => "C_SignInit",
        Function::UnwrapKey => "C_UnwrapKey",
        Function::WrapKey => "C_WrapKey",
        _ => "PKCS#11",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_value_has_its_name_in_the_standard() {
        let said = |value| code(&Error::Pkcs11(value, Function::Login));
        assert_eq!(said(RvError::PinIncorrect), "CKR_PIN_INCORRECT");
        assert_eq!(said(RvError::SessionReadWriteSoExists), "CKR_SESSION_READ_WRITE_SO_EXISTS");
        assert_eq!(said(RvError::VendorDefined(0x8000_0001)), "CKR 0x80000001");
    }

    #[test]
    fn an_error_of_the_device_names_function_and_value() {
        let device = Error::Pkcs11(RvError::PinIncorrect, Function::Login);
        let error = device_error(&device, ErrorKind::Refused, "token \"a\" refused the PIN", "");
        assert_eq!(error.to_string(), "token \"a\" refused the PIN (C_Login: CKR_PIN_INCORRECT)");
    }
}
