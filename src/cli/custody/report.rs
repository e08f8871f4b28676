use std::sync::Arc;

use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::cli::vault::{Kept, LoadedKey, Vault};
use crate::custody::WrappingKey;
use crate::custody::file::Encryption;
use crate::protocol::json::{Object, Value};

/// What OWASP recommends for PBKDF2-SHA256. OpenSSL's `genpkey` writes 2,048.
const ENOUGH_ITERATIONS: u32 = 600_000;

/// A key, and why it cannot be used where it cannot.
struct Reported {
    loaded: LoadedKey,
    failure: Option<Failure>,
}

/// Everything that there is to tell of custody.
struct Report {
    device: Device,
    keys: Vec<Reported>,
    wrapping: Option<Arc<dyn WrappingKey>>,
    wrapping_failure: Option<Failure>,
    is_kept_back: bool,
}

pub(super) fn run(vault: &Vault, json: bool) -> Result<u8, Failure> {
    let report = Report::of(vault)?;
    if json {
        Output::new().json(&report.object())?;
    } else {
        print(&report.device, &report.keys, report.wrapping.as_deref())?;
    }
    report.verdict()
}

/// The report as an object. Without `asks_device` no device is asked for anything: a key in one is told of as the
/// configuration pins it.
pub(in crate::cli) fn object_of(vault: &Vault, asks_device: bool) -> Result<Object, Failure> {
    if asks_device || vault.settings.custody.backend() == "file" {
        return Ok(Report::of(vault)?.object());
    }
    let keys = vault.signing_keys()?.into_iter().map(|loaded| object(&Reported { loaded, failure: None }).into());
    let backend = vault.settings.custody.backend();
    Ok(Object::new().with("backend", backend).with("keys", keys.collect::<Vec<Value>>()).with("device_asked", false))
}

impl Report {
    fn of(vault: &Vault) -> Result<Self, Failure> {
        // Before anybody logs in, which sets the token's count of wrong PINs back.
        let device = Device::of(vault);
        // What is released once a boot is not spent on a look.
        let is_kept_back = vault.releases_once_a_boot()?;
        let look = |loaded: LoadedKey| look_at(loaded, is_kept_back);
        let mut keys: Vec<Reported> = vault.signing_keys()?.into_iter().map(look).collect();
        let derives = vault.settings.custody.record.is_none() && !vault.wraps_in_a_device();
        if derives && vault.settings.custody.encryption_key.is_some() {
            let key = vault.derived_record_key(&*vault.root_key()?)?;
            let source = "the encryption key (HKDF)".to_owned();
            keys.push(Reported {
                loaded: LoadedKey { key, source, kept: Kept::File(Encryption::None) },
                failure: None,
            });
        }
        let (wrapping, wrapping_failure) =
            match (vault.has_wrapping_key() && !is_kept_back).then(|| vault.wrapping_key()).transpose() {
                Ok(wrapping) => (wrapping, None),
                Err(failure) => (None, Some(failure)),
            };
        Ok(Self { device, keys, wrapping, wrapping_failure, is_kept_back })
    }

    fn object(&self) -> Object {
        let members: Vec<Value> = self.keys.iter().map(|key| object(key).into()).collect();
        let report = Object::new().with("backend", self.device.backend).with("keys", members);
        let report = report.with("wrapping", self.wrapping.as_deref().map(wrapping_object));
        match &self.device.object {
            Some(object) => report.with("device", object.clone()),
            None => report,
        }
    }

    /// What is wrong is told after everything else.
    fn verdict(self) -> Result<u8, Failure> {
        if self.is_kept_back {
            Output::new().note("Sealed keys were not opened: what is sealed is released once a boot.");
        }
        let keys = self.keys.into_iter().map(|key| key.failure);
        let failures = [self.device.failure, self.wrapping_failure].into_iter().chain(keys);
        let mut failures: Vec<Failure> = failures.flatten().collect();
        match failures.len() {
            0 => Ok(0),
            1 => Err(failures.remove(0)),
            _ => Err(Failure::several("custody is not ready", failures)),
        }
    }
}

fn look_at(loaded: LoadedKey, is_kept_back: bool) -> Reported {
    let failure = if is_kept_back && loaded.is_released() { None } else { loaded.check().err() };
    Reported { loaded, failure }
}

/// What holds the keys.
struct Device {
    backend: &'static str,
    lines: Vec<String>,
    object: Option<Object>,
    failure: Option<Failure>,
}

impl Device {
    fn of(vault: &Vault) -> Self {
        #[cfg(feature = "tpm")]
        if vault.settings.custody.tpm.is_some() {
            let told = vault.tpm().and_then(|tpm| Ok(tpm.facts()?));
            return Self::told("tpm", told.map(|facts| (super::tpm::lines(&facts), super::tpm::object(&facts))));
        }
        #[cfg(feature = "pkcs11")]
        if vault.settings.custody.token.is_some() {
            let told = vault.token().and_then(|token| Ok(token.facts()?));
            return Self::told("pkcs11", told.map(|facts| (super::token::lines(&facts), super::token::object(&facts))));
        }
        let _ = vault;
        Self { backend: "file", lines: Vec::new(), object: None, failure: None }
    }

    #[cfg(any(feature = "pkcs11", feature = "tpm"))]
    fn told(backend: &'static str, told: Result<(Vec<String>, Object), Failure>) -> Self {
        match told {
            Ok((lines, object)) => Self { backend, lines, object: Some(object), failure: None },
            Err(failure) => Self { backend, lines: Vec::new(), object: None, failure: Some(failure) },
        }
    }
}

fn print(device: &Device, keys: &[Reported], wrapping: Option<&dyn WrappingKey>) -> Result<(), Failure> {
    let output = Output::new();
    device.lines.iter().try_for_each(|line| output.line(line))?;
    let rows: Vec<Vec<String>> = keys.iter().map(row).collect();
    output.table(&["PURPOSE", "ALGORITHM", "PROTECTION", "KID", "AT REST", "SOURCE", "PUBLIC KEY"], &rows)?;
    if let Some(key) = wrapping {
        output.line(&format!("wrapping key {} ({}, {})", key.key_id(), key.scheme(), key.protection().name()))?;
    }
    keys.iter().filter_map(|key| remark(&key.loaded)).for_each(|remark| output.note(&remark));
    Ok(())
}

fn object(Reported { loaded, failure }: &Reported) -> Object {
    let key = &loaded.key;
    let object = Object::new()
        .with("purpose", key.purpose().name())
        .with("algorithm", key.public_key().algorithm().name())
        .with("protection", key.protection().name())
        .with("kid", key.kid())
        .with("atRest", at_rest(&loaded.kept))
        .with("source", loaded.source.as_str())
        .with("publicKeyHex", key.public_key().to_hex());
    match failure {
        Some(failure) => object.with("problem", failure.message()),
        None => object,
    }
}

fn wrapping_object(key: &dyn WrappingKey) -> Object {
    Object::new().with("keyId", key.key_id()).with("scheme", key.scheme()).with("protection", key.protection().name())
}

fn row(Reported { loaded, .. }: &Reported) -> Vec<String> {
    let key = &loaded.key;
    vec![
        key.purpose().name().into(),
        key.public_key().algorithm().name().into(),
        key.protection().name().into(),
        printable(key.kid()),
        at_rest(&loaded.kept),
        printable(&loaded.source),
        key.public_key().to_hex(),
    ]
}

fn at_rest(kept: &Kept) -> String {
    match kept {
        Kept::File(Encryption::None) => "plain".into(),
        Kept::File(Encryption::Pbkdf2 { iterations }) => format!("pbkdf2 x{iterations}"),
        Kept::File(Encryption::Scrypt) => "scrypt".into(),
        #[cfg(feature = "pkcs11")]
        Kept::Token => "token".into(),
        #[cfg(feature = "tpm")]
        Kept::Sealed => "sealed".into(),
        #[cfg(feature = "tpm")]
        Kept::Tpm => "tpm".into(),
    }
}

fn remark(loaded: &LoadedKey) -> Option<String> {
    match loaded.kept {
        Kept::File(Encryption::Pbkdf2 { iterations }) if iterations < ENOUGH_ITERATIONS => Some(format!(
            "{}: {iterations} PBKDF2 iterations are few; rewrite it: openssl pkcs8 -topk8 -scrypt -in OLD -out NEW",
            loaded.source
        )),
        _ => None,
    }
}
