use crate::cli::failure::{Failure, REFUSED};
use crate::cli::output::{Output, printable};
use crate::cli::vault::Vault;
use crate::custody::{AnchorKind, Floor};
use crate::protocol::json::Object;
use crate::store::StoreError;
use crate::witness::{OwnKey, What, WitnessError, WitnessReader, Written};

/// How the witness stands, as far as that can be seen without opening its state.
struct Standing {
    anchor: Anchored,
    state: Option<Written>,
}

enum Anchored {
    No,
    Yes(AnchorKind, Option<Floor>),
    /// It does not tell.
    Away(Failure),
}

pub(super) fn run(vault: &Vault, json: bool) -> Result<u8, Failure> {
    // The anchor first: a service that goes on meanwhile lets the state be ahead of it, and never behind.
    let anchor = match vault.look_at_anchor() {
        Ok(None) => Anchored::No,
        Ok(Some((kind, floor))) => Anchored::Yes(kind, floor),
        Err(failure) => Anchored::Away(failure),
    };
    let standing = Standing { anchor, state: written(vault)? };
    if json {
        standing.print_json(vault)?
    } else {
        standing.print(vault)?
    }
    let is_stopped = standing.state.as_ref().is_some_and(|state| state.stopped.is_some());
    Ok(match &standing.anchor {
        _ if is_stopped || standing.incident().is_some() => REFUSED,
        Anchored::Away(why) => why.code(),
        Anchored::No | Anchored::Yes(..) => 0,
    })
}

fn written(vault: &Vault) -> Result<Option<Written>, Failure> {
    match WitnessReader::open(&vault.witness_path()?) {
        Err(WitnessError::Store(StoreError::Missing(_))) => Ok(None),
        opened => Ok(opened?.written()?),
    }
}

impl Standing {
    /// What keeps it from being opened, as far as the two numbers show.
    fn incident(&self) -> Option<What> {
        let Anchored::Yes(_, anchor) = &self.anchor else { return None };
        match (self.state.as_ref().map(|state| state.floor), anchor) {
            (None, Some(_)) => Some(What::StateLost),
            // The first record may have been written, and its anchor not been made yet.
            (Some(state), None) => (state.count > 1).then_some(What::AnchorMissing),
            (Some(state), Some(anchor)) if state.count < anchor.count => Some(What::RolledBack),
            (Some(state), Some(anchor)) if state.count == anchor.count && state.root != anchor.root => {
                Some(What::OtherHistory)
            }
            _ => None,
        }
    }

    fn print(&self, vault: &Vault) -> Result<(), Failure> {
        let output = Output::new();
        let state = self.state.as_ref();
        let line = |name: &str, value: &str| output.line(&format!("{name:8}  {value}"));
        line("witness", &printable(vault.witness_id()?))?;
        line("state", &state.map_or_else(|| "not begun".into(), |state| place(&state.floor)))?;
        line("anchor", &self.anchor.in_words(vault.settings.witness.anchor_interval.as_secs_f64()))?;
        for (key, is_last) in state.map(keys).unwrap_or_default() {
            let signs = if is_last { "signs" } else { "signed before" };
            line("key", &format!("{} {}, {signs}", printable(&key.kid), key.public_key.to_hex()))?;
        }
        match (state.and_then(|state| state.stopped.as_deref()), self.incident()) {
            (Some(what), _) => line("stopped", &printable(what)),
            (None, Some(what)) => line("incident", what.name()),
            (None, None) => Ok(()),
        }
    }

    fn print_json(&self, vault: &Vault) -> Result<(), Failure> {
        let state = self.state.as_ref();
        let (kind, floor, error) = match &self.anchor {
            Anchored::No => (Some("none"), None, None),
            Anchored::Yes(kind, floor) => (Some(kind.name()), floor.as_ref(), None),
            Anchored::Away(why) => (None, None, Some(why.message())),
        };
        let anchor = Object::new()
            .with("kind", kind)
            .with("floor", floor.map(object))
            .with("error", error)
            .with("window_seconds", vault.settings.witness.anchor_interval.as_secs());
        let keys: Vec<Object> =
            state.map(|state| state.keys.iter().map(OwnKey::to_object).collect()).unwrap_or_default();
        let status = Object::new()
            .with("witness_id", vault.witness_id()?)
            .with("state", state.map(|state| object(&state.floor)))
            .with("anchor", anchor)
            .with("keys", keys)
            .with("stopped", state.and_then(|state| state.stopped.clone()))
            .with("incident", self.incident().map(What::name));
        Output::new().json(&status)
    }
}

impl Anchored {
    fn in_words(&self, window: f64) -> String {
        match self {
            Self::No => "none: nothing here notices that the state was restored from a copy".into(),
            Self::Away(why) => printable(why.message()),
            Self::Yes(kind, floor) => {
                let place = floor.as_ref().map_or_else(|| "not begun".into(), place);
                let waits = if window > 0.0 { format!(", up to {window} s behind") } else { String::new() };
                format!("{}, {place}{waits}", kind.name())
            }
        }
    }
}

fn keys(state: &Written) -> Vec<(&OwnKey, bool)> {
    let last = state.keys.len().saturating_sub(1);
    state.keys.iter().enumerate().map(|(at, key)| (key, at == last)).collect()
}

fn place(floor: &Floor) -> String {
    format!("record {}, root {}", floor.count, floor.root)
}

fn object(floor: &Floor) -> Object {
    Object::new().with("count", floor.count).with("root", floor.root.to_string())
}
