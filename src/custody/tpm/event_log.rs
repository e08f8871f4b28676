//! What firmware and boot loaders measured into which PCR, as they noted it (on Linux
//! `/sys/kernel/security/tpm0/binary_bios_measurements`). Nobody signs the log: it explains a PCR where [`replay`] gives
//! the PCR's value, and is a hint else.
//!
//! Source: TCG PC Client Platform Firmware Profile 1.05, section 10 (crypto-agile log, little-endian).

mod describe;
mod fields;

use sha2::{Digest as _, Sha256};

use self::fields::Fields;

/// One measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) pcr: u32,
    /// TCG_EVENTTYPE.
    pub(super) kind: u32,
    /// What the PCR of the SHA-256 bank was extended with; `None` where it was not.
    pub(super) sha256: Option<[u8; 32]>,
    /// The type's name, and in a few printable characters what was measured, where the log tells.
    pub(super) what: String,
    /// The locality that TPM2_Startup came from, where the event tells: PCR 0 begins with it.
    locality: Option<u8>,
}

/// An event that extended nothing.
const EV_NO_ACTION: u32 = 3;

const SHA256: u16 = 0x000b;

/// What the first event begins with; the zero belongs to it.
const SIGNATURE: &[u8] = b"Spec ID Event03\0";

const STARTUP_LOCALITY: &[u8] = b"StartupLocality\0";

/// Reads a log. Where it is cut off or damaged, gives the whole events before that. `None` where it does not even begin
/// as such a log; one with SHA-1 alone does not.
pub(super) fn read(bytes: &[u8]) -> Option<Vec<Event>> {
    let mut fields = Fields(bytes);
    let (header, algorithms) = read_header(&mut fields)?;
    let rest = std::iter::from_fn(|| read_event(&mut fields, &algorithms));
    Some(std::iter::once(header).chain(rest).collect())
}

/// The value that a PCR of the SHA-256 bank has after these events, if nobody extended it besides.
pub(super) fn replay(events: &[Event], pcr: u32) -> [u8; 32] {
    let of_pcr = || events.iter().filter(|event| event.pcr == pcr);
    let mut value = [if (17..=22).contains(&pcr) { 0xff } else { 0 }; 32];
    if pcr == 0 {
        value[31] = of_pcr().find_map(|event| event.locality).unwrap_or(0);
    }
    let digests = of_pcr().filter_map(|event| event.sha256);
    digests.fold(value, |value, digest| Sha256::new().chain_update(value).chain_update(digest).finalize().into())
}

/// An algorithm's identifier (TPM_ALG_ID) and the size of its digests, in bytes.
type Algorithm = (u16, u16);

/// Reads the first event: TCG_PCR_EVENT of TPM 1.2 with a TCG_EfiSpecIDEvent, which tells what digests follow.
fn read_header(fields: &mut Fields<'_>) -> Option<(Event, Vec<Algorithm>)> {
    let (pcr, kind, _sha1) = (fields.u32()?, fields.u32()?, fields.take(20)?);
    let data = fields.sized()?;
    let mut id = Fields(data.strip_prefix(SIGNATURE)?);
    // Platform class, version and the size of a UINTN.
    id.take(8)?;
    // As many as are announced, or it is no such log: a wrong number fails at the end of the event.
    let algorithms: Option<Vec<Algorithm>> = (0..id.u32()?).map(|_| Some((id.u16()?, id.u16()?))).collect();
    Some((event(pcr, kind, None, data), algorithms?))
}

/// Reads a TCG_PCR_EVENT2. `None` at the end, and where it is not whole.
fn read_event(fields: &mut Fields<'_>, algorithms: &[Algorithm]) -> Option<Event> {
    let (pcr, kind, count) = (fields.u32()?, fields.u32()?, fields.u32()?);
    // Without a digest it is the padding that some firmware leaves behind the last event.
    if count == 0 {
        return None;
    }
    let mut sha256 = None;
    for _ in 0..count {
        let algorithm = fields.u16()?;
        let (_, size) = algorithms.iter().find(|(known, _)| *known == algorithm)?;
        let digest = fields.take(usize::from(*size))?;
        if algorithm == SHA256 {
            sha256 = Some(digest.try_into().ok()?);
        }
    }
    Some(event(pcr, kind, sha256, fields.sized()?))
}

fn event(pcr: u32, kind: u32, sha256: Option<[u8; 32]>, data: &[u8]) -> Event {
    let no_action = kind == EV_NO_ACTION;
    let locality = data.strip_prefix(STARTUP_LOCALITY).filter(|_| no_action).and_then(|rest| rest.first().copied());
    let what = describe::describe(kind, data);
    Event { pcr, kind, sha256: sha256.filter(|_| !no_action), what, locality }
}

#[cfg(test)]
mod tests;
