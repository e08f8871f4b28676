use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::cli::vault::Vault;
use crate::custody::{CustodyError, PurposeKey, WrappingKey};
use crate::facts::random_id;
use crate::protocol::json::Object;
use crate::protocol::{Domain, Preimage};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault custody selftest
  local-vault custody selftest --full --json | jq 'select(.outcome == \"failed\")'

With --full, keys of every kind are made in the device, tried, and destroyed again; their labels begin with
local-vault-trial-. Do that once with a device that nobody has measured, and not while it serves.")]
pub(in crate::cli) struct SelftestArgs {
    /// Everything that is expected of a device, over keys that are made for it
    #[arg(long)]
    full: bool,
    /// One JSON object a check
    #[arg(long)]
    json: bool,
}

/// One line of the table.
struct Check {
    subject: String,
    what: String,
    outcome: Seen,
}

/// How a check went.
enum Seen {
    /// The device did not answer, which says nothing about it.
    Away(String),
    /// It does not do what it should.
    Failed(String),
    /// The host does not add it to what the device protects. Somebody may have chosen so.
    #[cfg(feature = "tpm")]
    Lacking(String),
    #[cfg(any(feature = "pkcs11", feature = "tpm"))]
    NotOffered(String),
    Ok,
    /// It was not asked, since the configuration or the key is unfit.
    Refused(Failure),
}

impl Seen {
    fn of<T>(done: Result<T, Failure>) -> Self {
        match done {
            Ok(_) => Self::Ok,
            Err(failure) if failure.is_away() => Self::Away(failure.message().to_owned()),
            Err(failure) if failure.is_about_data() => Self::Failed(failure.message().to_owned()),
            Err(failure) => Self::Refused(failure),
        }
    }

    fn into_refused(self) -> Option<Failure> {
        match self {
            Self::Refused(failure) => Some(failure),
            _ => None,
        }
    }

    fn name_and_detail(&self) -> (&'static str, &str) {
        match self {
            Self::Away(why) => ("away", why),
            Self::Failed(what) => ("failed", what),
            #[cfg(feature = "tpm")]
            Self::Lacking(why) => ("lacking", why),
            #[cfg(any(feature = "pkcs11", feature = "tpm"))]
            Self::NotOffered(why) => ("not offered", why),
            Self::Ok => ("ok", ""),
            Self::Refused(failure) => ("refused", failure.message()),
        }
    }
}

pub(super) fn run(vault: &Vault, args: SelftestArgs) -> Result<u8, Failure> {
    let checks = if args.full { full(vault)? } else { configured(vault)? };
    let output = Output::new();
    if args.json {
        checks.iter().try_for_each(|check| output.json(&object(check)))?;
    } else {
        output.table(&["KEY", "CHECK", "OUTCOME", "DETAIL"], &checks.iter().map(row).collect::<Vec<_>>())?;
    }
    let count = |name| checks.iter().filter(|check| check.outcome.name_and_detail().0 == name).count();
    let (all, failed, away, not_offered) = (checks.len(), count("failed"), count("away"), count("not offered"));
    let lacking = count("lacking");
    if failed > 0 {
        let message = format!("{failed} of {all} checks failed");
        return Err(Failure::data(message, "Do not sign with this device before they hold."));
    }
    if let Some(refused) = checks.into_iter().find_map(|check| check.outcome.into_refused()) {
        return Err(refused);
    }
    if away > 0 {
        let message = format!("{away} of {all} checks were not done: the device is away");
        return Err(Failure::unavailable(message, "Insert, start or connect it, and run this again."));
    }
    let rest =
        if not_offered > 0 { format!(", {not_offered} are about keys that it does not offer") } else { String::new() };
    let lack = if lacking > 0 {
        format!(", {lacking} are of what this host lacks (docs/custody/tpm.md)")
    } else {
        String::new()
    };
    output.note(&format!("{} of {all} checks hold{rest}{lack}.", all - not_offered - lacking));
    Ok(0)
}

/// Each key that is configured, at its own work. Nothing in the device is changed.
fn configured(vault: &Vault) -> Result<Vec<Check>, Failure> {
    let check = |subject: &str, what: &str, outcome| Check { subject: subject.into(), what: what.into(), outcome };
    let mut checks = Vec::new();
    for loaded in vault.signing_keys()? {
        let outcome = Seen::of(sign_twice(&loaded.key).map_err(Failure::from));
        checks.push(check(loaded.key.purpose().name(), "signs, and both signatures verify", outcome));
    }
    if vault.has_wrapping_key() {
        let wraps = vault.wrapping_key().and_then(|wrapping| Ok(round_trip(&*wrapping)?));
        let what = "wraps and unwraps a data key, which seals and opens";
        checks.push(check("wrapping", what, Seen::of(wraps)));
    }
    // Policies tell of firmware, boot loader and kernel. What vouches for our own files, only the host can say.
    #[cfg(feature = "tpm")]
    if vault.settings.custody.tpm.is_some() {
        let seen = |found: Result<(), String>| found.map_or_else(Seen::Lacking, |()| Seen::Ok);
        checks.extend(super::host::checks().map(|(what, found)| check("host", what, seen(found))));
    }
    Ok(checks)
}

fn sign_twice(key: &PurposeKey) -> Result<(), CustodyError> {
    (0..2).try_for_each(|_| {
        let nonce = Object::new().with("nonce", random_id(""));
        key.sign(&Preimage::new(Domain::SelfTest, &nonce)).map(drop)
    })
}

fn round_trip(key: &dyn WrappingKey) -> Result<(), CustodyError> {
    let (wrapped, made) = key.generate_data_key(b"self-test")?;
    let tried = made
        .seal(b"self-test", b"record")
        .and_then(|sealed| key.unwrap_data_key(&wrapped, b"self-test")?.open(b"self-test", &sealed).map(drop));
    // What the device keeps for it is wanted by nobody.
    let destroyed = key.epoch_keys().map_or(Ok(true), |keys| keys.destroy(&wrapped));
    tried.and(destroyed.map(drop))
}

#[cfg(any(feature = "pkcs11", feature = "tpm"))]
fn full(vault: &Vault) -> Result<Vec<Check>, Failure> {
    use crate::cli::output::progress;
    use crate::custody::conformance::{Case, Outcome, cases};

    let trial = trial(vault)?;
    let cases = cases();
    let bar = progress(cases.len() as u64, "testing");
    let check = |case: &Case| {
        let outcome = match case.run(&*trial) {
            Outcome::Failed(what) => Seen::Failed(what),
            Outcome::NotOffered(why) => Seen::NotOffered(why),
            Outcome::Passed => Seen::Ok,
        };
        bar.inc(1);
        Check { subject: case.with.name().to_owned(), what: case.name.to_owned(), outcome }
    };
    Ok(cases.iter().map(check).collect())
}

/// What makes keys in the configured device, once that is there.
#[cfg(any(feature = "pkcs11", feature = "tpm"))]
fn trial(vault: &Vault) -> Result<Box<dyn crate::custody::conformance::Subject>, Failure> {
    #[cfg(feature = "tpm")]
    if vault.settings.custody.tpm.is_some() {
        let tpm = vault.tpm()?;
        tpm.facts()?;
        return Ok(Box::new(crate::custody::tpm::Trial::new(tpm)));
    }
    #[cfg(feature = "pkcs11")]
    if vault.settings.custody.token.is_some() {
        let token = vault.token()?;
        token.connect()?;
        return Ok(Box::new(crate::custody::pkcs11::Trial::new(token)));
    }
    let _ = vault;
    Err(Failure::config("no device is configured", "Key files are tried by `local-vault custody selftest` alone."))
}

#[cfg(not(any(feature = "pkcs11", feature = "tpm")))]
fn full(_: &Vault) -> Result<Vec<Check>, Failure> {
    Err(Failure::config("no device is configured", "This build knows keys in files alone; leave out --full."))
}

fn row(check: &Check) -> Vec<String> {
    let (outcome, detail) = check.outcome.name_and_detail();
    vec![check.subject.clone(), check.what.clone(), outcome.into(), printable(detail)]
}

fn object(check: &Check) -> Object {
    let (outcome, detail) = check.outcome.name_and_detail();
    Object::new()
        .with("key", check.subject.as_str())
        .with("check", check.what.as_str())
        .with("outcome", outcome)
        .with("detail", Some(detail).filter(|detail| !detail.is_empty()))
}
