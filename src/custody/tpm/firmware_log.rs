//! What firmware noted about PCRs: a hint for people, since nobody signs the log.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::config::TpmConfig;
use super::event_log::{self, Event};
use super::pcr::{Value, Values};

/// Events by the PCR that they were measured into.
pub(super) type Events = BTreeMap<u8, Vec<Event>>;

/// The digests of events, as a policy keeps them.
pub(super) type Digests = BTreeMap<u8, Vec<Value>>;

/// No log is longer, in bytes.
const LONGEST: u64 = 4 << 20;

/// The events of these PCRs, as far as the log explains what they hold now.
pub(super) fn explaining(config: &TpmConfig, now: &Values) -> Events {
    let log = path(config).and_then(|path| read(&path)).unwrap_or_default();
    let explains = |(pcr, value): (&u8, &Value)| {
        let events: Vec<Event> =
            log.iter().filter(|e| e.pcr == u32::from(*pcr) && e.sha256.is_some()).cloned().collect();
        let explained = !events.is_empty() && event_log::replay(&log, u32::from(*pcr)) == *value;
        explained.then_some((*pcr, events))
    };
    now.iter().filter_map(explains).collect()
}

/// The digests alone. Boot loaders that note each line of theirs make too many to keep.
pub(super) fn digests(events: &Events) -> Digests {
    const MOST: usize = 128;
    events
        .iter()
        .filter(|(_, events)| events.len() <= MOST)
        .map(|(pcr, events)| (*pcr, events.iter().filter_map(|event| event.sha256).collect()))
        .collect()
}

/// What was measured into this PCR and is not among what was known, in a few words.
pub(super) fn news(now: &Events, known: &Digests, pcr: u8) -> Option<String> {
    const MOST: usize = 3;
    let (events, known) = (now.get(&pcr)?, known.get(&pcr)?);
    let new = events.iter().filter(|event| event.sha256.is_some_and(|digest| !known.contains(&digest)));
    let named: Vec<&str> = new.map(|event| event.what.as_str()).take(MOST).collect();
    if named.is_empty() {
        return Some(format!("PCR {pcr}: something that was measured before is missing, or came in another order"));
    }
    Some(format!("PCR {pcr}: new is {}", named.join(", ")))
}

fn read(path: &PathBuf) -> Option<Vec<Event>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
    event_log::read(&bytes)
}

/// The log that was named, or the kernel's for this device. A simulator has none.
fn path(config: &TpmConfig) -> Option<PathBuf> {
    if let Some(path) = &config.event_log {
        return Some(path.clone());
    }
    let tcti = config.tcti.to_string();
    let number = tcti.strip_prefix("device:/dev/tpmrm").or_else(|| tcti.strip_prefix("device:/dev/tpm"))?;
    let plain = !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit());
    plain.then(|| format!("/sys/kernel/security/tpm{number}/binary_bios_measurements").into())
}
