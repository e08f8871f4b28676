use crate::cli::failure::Failure;
use crate::cli::output::{Output, printable};
use crate::cli::vault::Vault;
use crate::config::{KeyPlace, KeySetting, Wrapping};
use crate::custody::pkcs11::{FoundKey, KeyName, PinState, TokenFacts};
use crate::protocol::PublicKey;
use crate::protocol::json::{Object, Value};

pub(super) fn list(vault: &Vault, json: bool) -> Result<u8, Failure> {
    let token = vault.token()?;
    let (facts, keys) = (token.facts()?, token.keys()?);
    let output = Output::new();
    if json {
        let members: Vec<Value> = keys.iter().map(|key| key_object(vault, key).into()).collect();
        output.json(&Object::new().with("device", object(&facts)).with("keys", members))?;
        return Ok(0);
    }
    lines(&facts).iter().try_for_each(|line| output.line(line))?;
    let row = |key: &FoundKey| {
        vec![
            printable(&key.name.label),
            id(key),
            key.kind.clone(),
            configured_as(vault, &key.name).unwrap_or("-").to_owned(),
            if key.unfit.is_empty() { "yes".into() } else { "no".into() },
            public_key(key),
        ]
    };
    output.table(
        &["LABEL", "ID", "KIND", "CONFIGURED AS", "FIT", "PUBLIC KEY"],
        &keys.iter().map(row).collect::<Vec<_>>(),
    )?;
    Ok(0)
}

pub(super) fn show(vault: &Vault, label: &str, json: bool) -> Result<u8, Failure> {
    let keys: Vec<FoundKey> = vault.token()?.keys()?.into_iter().filter(|key| key.name.label == label).collect();
    if keys.is_empty() {
        let message = format!("the token holds no key {label:?}");
        return Err(Failure::config(message, "Run: local-vault custody list"));
    }
    let output = Output::new();
    for key in &keys {
        if json {
            output.json(&key_object(vault, key))?;
            continue;
        }
        field("label", &printable(&key.name.label))?;
        field("id", &id(key))?;
        field("kind", &key.kind)?;
        field("configured as", configured_as(vault, &key.name).unwrap_or("-"))?;
        field("public key", &public_key(key))?;
        key.attributes.shown().iter().try_for_each(|(name, value)| field(name, value))?;
        field("never left the token", key.attributes.never_left().map_or("-", |yes| if yes { "yes" } else { "no" }))?;
        field("fit", if key.unfit.is_empty() { "yes" } else { "no" })?;
        key.unfit.iter().try_for_each(|why| output.line(&format!("  it {why}")))?;
    }
    Ok(0)
}

pub(super) fn retry_pin(vault: &Vault) -> Result<u8, Failure> {
    let facts = vault.token()?.allow_one_try()?;
    if facts.pin == PinState::Locked {
        let advice = "The security officer sets a new PIN with the maker's tool (C_InitPIN); it may then be tried.";
        return Err(Failure::refused(format!("the PIN of token {:?} is locked", facts.label), advice));
    }
    let output = Output::new();
    let serial = printable(&facts.serial);
    output.line(&format!("token {:?} ({serial}): the next command may try the PIN once", facts.label))?;
    if facts.pin > PinState::Fine {
        output.note(&format!("The token tells of its PIN: {}. Make sure that it is the right one.", facts.pin.name()));
    }
    Ok(0)
}

/// The token and its module, for people.
pub(super) fn lines(facts: &TokenFacts) -> Vec<String> {
    let measured = facts.profile.measured.as_deref().map_or("not measured on any token", |on| on);
    vec![
        format!("token        {} (serial {})", printable(&facts.label), printable(&facts.serial)),
        format!(
            "device       {} {}, firmware {}",
            printable(&facts.manufacturer),
            printable(&facts.model),
            facts.firmware
        ),
        format!("module       {}, SHA-256 {}", printable(&facts.library), facts.library_sha256),
        format!("profile      {} ({})", printable(&facts.profile.name), printable(measured)),
        format!("PIN          {}", facts.pin.name()),
    ]
}

/// The token and its module, for machines.
pub(super) fn object(facts: &TokenFacts) -> Object {
    Object::new()
        .with("label", facts.label.as_str())
        .with("serial", facts.serial.as_str())
        .with("manufacturer", facts.manufacturer.as_str())
        .with("model", facts.model.as_str())
        .with("firmware", facts.firmware.as_str())
        .with("module", facts.library.as_str())
        .with("moduleSha256", facts.library_sha256.to_string())
        .with("profile", facts.profile.name.as_str())
        .with("pin", facts.pin.name())
}

fn key_object(vault: &Vault, key: &FoundKey) -> Object {
    let attributes = key.attributes.shown().into_iter().fold(Object::new(), |all, (name, value)| all.with(name, value));
    let unfit: Vec<&str> = key.unfit.iter().map(String::as_str).collect();
    Object::new()
        .with("label", key.name.label.as_str())
        .with("id", id(key))
        .with("kind", key.kind.as_str())
        .with("configuredAs", configured_as(vault, &key.name))
        .with("publicKeyHex", key.public_key.as_ref().map(|key| key.to_hex()))
        .with("neverLeft", key.attributes.never_left())
        .with("unfit", unfit)
        .with("attributes", attributes)
}

fn field(name: &str, value: &str) -> Result<(), Failure> {
    Output::new().line(&format!("{name:24} {value}"))
}

fn public_key(key: &FoundKey) -> String {
    key.public_key.as_ref().map_or("-".into(), PublicKey::to_hex)
}

fn id(key: &FoundKey) -> String {
    key.name.id.as_ref().map_or("-".into(), hex::encode)
}

/// Under which heading of the config file a key is named.
fn configured_as(vault: &Vault, name: &KeyName) -> Option<&'static str> {
    let custody = &vault.settings.custody;
    let is = |key: &Option<KeySetting>| match key.as_ref().map(|key| &key.place) {
        Some(KeyPlace::Token { name: configured, .. }) => names(configured, name),
        _ => false,
    };
    let wraps = match custody.token.as_ref().map(|token| &token.wrapping) {
        Some(Wrapping::Token(Some(configured))) => names(configured, name),
        _ => false,
    };
    let keys = [
        ("relay", is(&custody.relay)),
        ("source", is(&custody.source)),
        ("witness", is(&custody.witness)),
        ("record", is(&custody.record)),
        ("wrapping", wraps),
    ];
    keys.into_iter().find(|(_, is)| *is).map(|(name, _)| name)
}

/// The published settings name a label alone.
fn names(configured: &KeyName, found: &KeyName) -> bool {
    configured.label == found.label && (configured.id.is_none() || configured.id == found.id)
}
