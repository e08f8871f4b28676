use tss_esapi::constants::Tss2ResponseCode;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Code;
use tss_esapi::{Error, WrapperErrorKind};

use super::BACKEND;
use crate::custody::{CustodyError, ErrorKind};

/// What ended an operation: an answer of the TPM or of the way to it, or a verdict of ours.
#[derive(Debug)]
pub(super) enum Fault {
    Tpm { operation: &'static str, error: Error },
    Verdict(CustodyError),
}

impl From<CustodyError> for Fault {
    fn from(error: CustodyError) -> Self {
        Self::Verdict(error)
    }
}

/// For `map_err`: the TPM's answer to the command of this name.
pub(super) fn at(operation: &'static str) -> impl Fn(Error) -> Fault {
    move |error| Fault::Tpm { operation, error }
}

/// What can be done about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The same again, with a session of its own: a PCR was extended between the policy and its use.
    FreshSession,
    /// Nothing.
    None,
    /// The same again over a new connection, which begins with nothing loaded.
    Relink,
    /// The same again, a little later.
    Wait,
}

impl Fault {
    /// What the TPM asks for. Never a second try of an authorization that it refused, nor of anything in lockout.
    pub(super) fn remedy(&self) -> Remedy {
        let Self::Tpm { error, .. } = self else { return Remedy::None };
        match code(error) {
            Some(Code::Retry | Code::Yielded | Code::Testing | Code::NvRate) => Remedy::Wait,
            Some(Code::PcrChanged) => Remedy::FreshSession,
            Some(
                Code::SessionMemory
                | Code::SessionHandles
                | Code::ObjectMemory
                | Code::ObjectHandles
                | Code::Memory
                | Code::ContextGap
                | Code::TooManyContexts
                | Code::Canceled
                | Code::ReferenceH0
                | Code::ReferenceH1
                | Code::ReferenceS0
                | Code::Initialize,
            ) => Remedy::Relink,
            Some(_) => Remedy::None,
            None if self.is_of_the_way() => Remedy::Relink,
            None => Remedy::None,
        }
    }

    /// Whether it was not the TPM that answered, but what leads to it.
    pub(super) fn is_of_the_way(&self) -> bool {
        matches!(self, Self::Tpm { error, .. } if layer(error).is_some_and(|layer| layer != 0))
    }

    /// Whether the TPM gave this answer.
    pub(super) fn is(&self, codes: &[Code]) -> bool {
        matches!(self, Self::Tpm { error, .. } if code(error).is_some_and(|code| codes.contains(&code)))
    }

    /// The answer as an error of custody; a verdict stays what it is.
    pub(super) fn or(self, kind: ErrorKind, message: impl Into<String>, advice: impl Into<String>) -> CustodyError {
        match self {
            Self::Verdict(verdict) => verdict,
            Self::Tpm { operation, error } => {
                let told = CustodyError::new(kind, BACKEND, operation, message, advice);
                CustodyError { code: Some(name(&error)), ..told }
            }
        }
    }

    /// What an operator does about an answer that nothing else was made of.
    pub(super) fn told(self) -> CustodyError {
        let kind = match &self {
            Self::Tpm { .. } if self.is_of_the_way() => ErrorKind::Away,
            Self::Tpm { .. } if self.is(&[Code::Lockout]) => ErrorKind::Away,
            Self::Tpm { .. } if self.is(&[Code::AuthFail, Code::BadAuth, Code::PolicyFail, Code::AuthUnavailable]) => {
                ErrorKind::Refused
            }
            Self::Tpm { .. } if self.is(&[Code::CommandCode, Code::Curve, Code::Scheme, Code::Symmetric]) => {
                ErrorKind::Unsupported
            }
            Self::Tpm { .. } if self.is(&[Code::NvSpace]) => ErrorKind::Misconfigured,
            _ => ErrorKind::Broken,
        };
        let (message, advice) = match kind {
            ErrorKind::Away if self.is(&[Code::Lockout]) => (
                "the TPM is in lockout",
                "Nothing is tried meanwhile. `local-vault custody tpm status` tells until when.",
            ),
            ErrorKind::Away => ("the TPM does not answer", "Nothing was signed. It is looked for again by itself."),
            ErrorKind::Refused => {
                ("the TPM refuses to use this", "Nothing is tried again. Run: local-vault custody tpm status")
            }
            ErrorKind::Unsupported => ("this TPM cannot do that", "It needs P-256, SHA-256 and AES-128-CFB."),
            ErrorKind::Misconfigured => (
                "the TPM has no room for another NV index",
                "Run: local-vault custody tpm status, and evict what is not used.",
            ),
            _ => ("the TPM failed", "Run: local-vault custody selftest"),
        };
        self.or(kind, message, advice)
    }
}

/// The answer, where the TPM itself gave it. The library reads the codes of other layers as if they were the TPM's.
fn code(error: &Error) -> Option<Code> {
    match error {
        Error::Tss2Error(answer) if layer(error) == Some(0) => answer.kind(),
        _ => None,
    }
}

/// Which layer answered (TSS 2.0 overview, section on response codes): 0 is the TPM, and 11 its resource manager that
/// speaks for it.
fn layer(error: &Error) -> Option<u32> {
    const RESOURCE_MANAGER_TPM: u32 = 0xc;
    match error {
        Error::Tss2Error(answer) => {
            let layer = number(*answer) >> 16;
            Some(if layer == RESOURCE_MANAGER_TPM { 0 } else { layer })
        }
        Error::WrapperError(_) => None,
    }
}

/// The library tells the number in text alone.
fn number(answer: Tss2ResponseCode) -> u32 {
    let text = match answer {
        Tss2ResponseCode::Success => return 0,
        Tss2ResponseCode::FormatZero(code) => code.to_string(),
        Tss2ResponseCode::FormatOne(code) => code.to_string(),
    };
    let digits = text.rsplit("0x").next().unwrap_or_default();
    u32::from_str_radix(digits, 16).unwrap_or_default()
}

/// The answer by the name that the standard gives it, such as `TPM_RC_POLICY_FAIL`, and its number.
fn name(error: &Error) -> String {
    match error {
        Error::WrapperError(kind) => wrapper(*kind).into(),
        Error::Tss2Error(answer) => {
            let number = number(*answer);
            match code(error) {
                Some(code) => {
                    let name = format!("{code:?}");
                    let letter = |c: char| c.is_ascii_uppercase().then_some('_').into_iter().chain([c]);
                    let name = name.chars().flat_map(letter).collect::<String>().to_ascii_uppercase();
                    format!("TPM_RC{name} 0x{number:x}")
                }
                None => format!("TSS 0x{number:x}"),
            }
        }
    }
}

const fn wrapper(kind: WrapperErrorKind) -> &'static str {
    match kind {
        WrapperErrorKind::WrongParamSize => "a parameter of the wrong size",
        WrapperErrorKind::ParamsMissing => "a parameter is missing",
        WrapperErrorKind::InconsistentParams => "parameters that contradict one another",
        WrapperErrorKind::UnsupportedParam => "a parameter that is not supported",
        WrapperErrorKind::InvalidParam => "a parameter that is not valid",
        WrapperErrorKind::WrongValueFromTpm => "an answer that is not valid",
        WrapperErrorKind::MissingAuthSession => "a session is missing",
        WrapperErrorKind::InvalidHandleState => "a handle that is not open",
        WrapperErrorKind::InternalError => "an internal error",
    }
}
