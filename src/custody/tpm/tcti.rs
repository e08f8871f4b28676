use std::ffi::CString;
use std::fmt;
use std::str::FromStr;

use tss_esapi::tcti_ldr::TctiNameConf;

use super::error;
use crate::custody::{CustodyError, ErrorKind};

/// The way to a TPM (TCG TCTI): `device:/dev/tpmrm0`, `tabrmd:bus_name=…,bus_type=system`, or a simulator as
/// `swtpm:host=localhost,port=2321`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcti(String);

impl Tcti {
    /// The kernel's resource manager.
    pub const DEFAULT: &str = "device:/dev/tpmrm0";

    /// Reads a name. One that does not print back as it was written is refused: the library reads `swtpm:path=X` as a
    /// port on this host, and takes names that it does not know for its defaults.
    pub fn parse(text: &str) -> Result<Self, CustodyError> {
        let printed = TctiNameConf::from_str(text).ok().and_then(|conf| CString::try_from(conf).ok());
        let printed = printed.and_then(|printed| printed.into_string().ok());
        match printed {
            Some(printed) if printed == text => Ok(Self(printed)),
            Some(printed) => Err(refused(text, format!("It would be taken for {printed}; write that if you mean it."))),
            None => Err(refused(text, "It is device:PATH, tabrmd:bus_name=N,bus_type=T, or swtpm:host=H,port=P.")),
        }
    }

    /// Whether a simulator is at the other end, of which we are the only owner.
    pub(super) fn is_simulator(&self) -> bool {
        self.0.starts_with("swtpm:") || self.0.starts_with("mssim:")
    }

    /// Whether nobody else reaches the TPM while we are connected: there is no resource manager in between.
    pub(super) fn is_exclusive(&self) -> bool {
        let managed = self.0.starts_with("tabrmd:") || self.0.starts_with("device:/dev/tpmrm");
        !managed
    }

    /// For the library. What was parsed once parses again.
    pub(super) fn name_conf(&self) -> Result<TctiNameConf, CustodyError> {
        TctiNameConf::from_str(&self.0).map_err(|_| refused(&self.0, "It was read before."))
    }
}

impl fmt::Display for Tcti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn refused(text: &str, advice: impl Into<String>) -> CustodyError {
    error(ErrorKind::Misconfigured, "tcti", format!("{text:?} does not name a TPM"), advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_print_back_is_refused() {
        let others =
            ["swtpm:path=/run/tpm.sock", "swtpm", "swtpm:port=2321", "device", "tabrmd", "", "cmd:evil", "device:"];
        for text in others {
            assert_eq!(Tcti::parse(text).unwrap_err().kind, ErrorKind::Misconfigured, "{text}");
        }
    }

    #[test]
    fn what_prints_back_is_taken() {
        for text in [Tcti::DEFAULT, "swtpm:host=localhost,port=2321", "tabrmd:bus_name=a.b,bus_type=session"] {
            assert_eq!(Tcti::parse(text).unwrap().to_string(), text);
        }
    }
}
