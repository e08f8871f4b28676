/// What holds the keys that a config file names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Backend {
    /// Files, and the environment.
    #[default]
    File,
    /// A PKCS#11 token.
    #[cfg(feature = "pkcs11")]
    Pkcs11,
    /// A TPM 2.0.
    #[cfg(feature = "tpm")]
    Tpm,
}

impl Backend {
    pub(super) const EXPECTED: &str = match (cfg!(feature = "pkcs11"), cfg!(feature = "tpm")) {
        (true, true) => "\"file\", \"pkcs11\" or \"tpm\"",
        (true, false) => "\"file\" or \"pkcs11\" (this build has no tpm)",
        (false, true) => "\"file\" or \"tpm\" (this build has no pkcs11)",
        (false, false) => "\"file\" (this build has neither pkcs11 nor tpm)",
    };

    /// Whether a TPM holds the keys.
    pub(super) const fn is_tpm(self) -> bool {
        #[cfg(feature = "tpm")]
        if matches!(self, Self::Tpm) {
            return true;
        }
        false
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "file" => Some(Self::File),
            #[cfg(feature = "pkcs11")]
            "pkcs11" => Some(Self::Pkcs11),
            #[cfg(feature = "tpm")]
            "tpm" => Some(Self::Tpm),
            _ => None,
        }
    }
}
