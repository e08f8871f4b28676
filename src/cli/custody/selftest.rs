use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::vault::Vault;
use crate::custody::{CustodyError, PurposeKey, WrappingKey};
use crate::facts::random_id;
use crate::protocol::json::{Object, Value};
use crate::protocol::{Domain, Preimage};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  local-vault custody selftest
  local-vault custody selftest --full --json | jq 'select(.outcome == \"failed\")'

With --full, keys of every kind are made in the token, tried, and destroyed again; their labels begin with
local-vault-trial-. Do that once with a token that no profile was measured on, and not while it serves.")]
pub(in crate::cli) struct SelftestArgs {
    /// Everything that is expected of a token, over keys that are made for it
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
    outcome: &'static str,
    detail: String,
}

impl Check {
    fn of<T>(subject: &str, what: &str, done: Result<T, CustodyError>) -> Self {
        let (outcome, detail) = match done {
            Ok(_) => ("ok", String::new()),
            Err(e) => ("failed", e.to_string()),
        };
        Self { subject: subject.to_owned(), what: what.to_owned(), outcome, detail }
    }
}

pub(super) fn run(vault: &Vault, args: SelftestArgs) -> Result<u8, Failure> {
    let checks = if args.full { full(vault)? } else { configured(vault)? };
    let output = Output::new();
    if args.json {
        checks.iter().try_for_each(|check| output.json(&object(check)))?;
    } else {
        let row = |c: &Check| vec![c.subject.clone(), c.what.clone(), c.outcome.into(), c.detail.clone()];
        output.table(&["KEY", "CHECK", "OUTCOME", "DETAIL"], &checks.iter().map(row).collect::<Vec<_>>())?;
    }
    let count = |outcome| checks.iter().filter(|check| check.outcome == outcome).count();
    let (ok, failed) = (count("ok"), count("failed"));
    if failed > 0 {
        let message = format!("{failed} of {} checks failed", checks.len());
        return Err(Failure::data(message, "Do not sign with this device before they hold."));
    }
    let not_offered = checks.len() - ok;
    let rest =
        if not_offered > 0 { format!(", {not_offered} are about keys that it does not offer") } else { String::new() };
    output.note(&format!("{ok} of {} checks hold{rest}.", checks.len()));
    Ok(0)
}

/// Each key that is configured, at its own work. Nothing in the device is changed.
fn configured(vault: &Vault) -> Result<Vec<Check>, Failure> {
    let mut checks = Vec::new();
    for loaded in vault.signing_keys()? {
        let name = loaded.key.purpose().name();
        checks.push(Check::of(name, "signs, and both signatures verify", sign_twice(&loaded.key)));
    }
    let wrapping = vault.wrapping_key()?;
    checks.push(Check::of("wrapping", "wraps and unwraps a data key, which seals and opens", round_trip(&*wrapping)));
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
    let sealed = made.seal(b"self-test", b"record")?;
    key.unwrap_data_key(&wrapped, b"self-test")?.open(b"self-test", &sealed).map(drop)
}

#[cfg(feature = "pkcs11")]
fn full(vault: &Vault) -> Result<Vec<Check>, Failure> {
    use crate::cli::output::progress;
    use crate::custody::conformance::{Outcome, cases};
    use crate::custody::pkcs11::Trial;

    let token = vault.token()?;
    token.connect()?;
    let trial = Trial::new(token);
    let cases = cases();
    let bar = progress(cases.len() as u64, "testing");
    let check = |case: &crate::custody::conformance::Case| {
        let (outcome, detail) = match case.run(&trial) {
            Outcome::Failed(what) => ("failed", what),
            Outcome::NotOffered(why) => ("not offered", why),
            Outcome::Passed => ("ok", String::new()),
        };
        bar.inc(1);
        Check { subject: case.with.name().to_owned(), what: case.name.to_owned(), outcome, detail }
    };
    Ok(cases.iter().map(check).collect())
}

#[cfg(not(feature = "pkcs11"))]
fn full(_: &Vault) -> Result<Vec<Check>, Failure> {
    Err(Failure::config("no token is configured", "This build knows keys in files alone; leave out --full."))
}

fn object(check: &Check) -> Object {
    let detail = if check.detail.is_empty() { Value::Null } else { check.detail.as_str().into() };
    Object::new()
        .with("key", check.subject.as_str())
        .with("check", check.what.as_str())
        .with("outcome", check.outcome)
        .with("detail", detail)
}
