use std::cell::RefCell;
use std::ffi::OsStr;
use std::fmt::Display;
use std::path::PathBuf;

use super::settings::{Environment, Flags};
use crate::custody::file::KeySource;
use crate::facts::SecretBytes;

/// What every variable of ours begins with.
pub(super) const PREFIX: &str = "ATTESTO_LOCAL_VAULT_";

/// What was said besides the config file, and everything that is wrong with it so far.
pub(super) struct Sources<'a> {
    pub(super) flags: &'a Flags,
    pub(super) environment: Environment<'a>,
    pub(super) problems: &'a RefCell<Vec<String>>,
}

impl Sources<'_> {
    /// The file that was named, or the first that exists of the usual ones.
    pub(super) fn config_file(&self) -> Option<PathBuf> {
        let named = self.flags.config.clone().or_else(|| self.variable("CONFIG").map(PathBuf::from));
        named.or_else(|| {
            let usual = [
                self.config_folder().map(|folder| folder.join("local-vault.toml")),
                Some("/etc/attesto/local-vault.toml".into()),
            ];
            // One that cannot be looked at may be there; reading it then says why it cannot be (I4).
            usual.into_iter().flatten().find(|path| path.try_exists().unwrap_or(true))
        })
    }

    /// Where the published package keeps its configuration.
    pub(super) fn config_folder(&self) -> Option<PathBuf> {
        let home = || (self.environment)("HOME").ok().flatten();
        let folder = self.variable("CONFIG_DIR").or_else(|| home().map(|home| format!("{home}/.attesto/local-vault")));
        folder.map(PathBuf::from)
    }

    /// A variable that is not ours.
    pub(super) fn foreign_variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).ok().flatten().filter(|value| !value.is_empty())
    }

    /// A secret from the environment. One that the config file names too is a contradiction.
    pub(super) fn secret(&self, name: &'static str, configured: bool) -> Option<KeySource> {
        let value = self.variable(name.trim_start_matches(PREFIX))?;
        if configured {
            self.problem(format!("{name} is set, and the config file names that key too: remove one of them"));
        }
        Some(KeySource::Setting { name, value: SecretBytes::new(value.into_bytes()) })
    }

    /// A setting on which the config file has the last word: what else was said must be the same.
    pub(super) fn agreed<T>(&self, name: &str, key: &str, flag: &Option<T>, configured: Option<T>) -> Option<T>
    where
        T: AsRef<OsStr> + Clone + From<String> + PartialEq,
    {
        let flag = flag.clone().filter(|value| !value.as_ref().is_empty());
        let given = flag.or_else(|| self.variable(name).map(T::from));
        if let (Some(given), Some(configured)) = (&given, &configured) {
            self.same(name, key, given, configured);
        }
        configured.or(given)
    }

    /// Neither value is repeated: somebody may have written a password into a URL.
    pub(super) fn same<T: PartialEq>(&self, name: &str, key: &str, given: &T, configured: &T) {
        if given != configured {
            self.problem(format!("{PREFIX}{name}, or its flag, contradicts {key} in the config file"));
        }
    }

    /// Whom to trust is said in the config file where there is one, and not by whoever sets the environment.
    pub(super) fn trust_is_the_files(&self, name: &str, key: &str, is_there: bool) {
        if !is_there && self.variable(name).is_some() {
            self.problem(format!("{PREFIX}{name} is set, and the config file does not say so: set {key} there"));
        }
    }

    /// The usual variables choose authorities for every program of this user; a config file is not to be led by them.
    pub(super) fn authorities_are_the_systems(&self) {
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            if !matches!((self.environment)(name), Ok(None)) {
                self.problem(format!("{name} is set, and the config file does not say so: set relay.ca_file there"));
            }
        }
    }

    /// A variable of ours; an empty one counts as none, as the published package has it.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        match (self.environment)(&format!("{PREFIX}{name}")) {
            Ok(value) => value.filter(|value| !value.is_empty()),
            Err(()) => {
                self.problem(format!("{PREFIX}{name} is not text"));
                None
            }
        }
    }

    pub(super) fn problem(&self, what: impl Display) {
        self.problems.borrow_mut().push(what.to_string());
    }
}
