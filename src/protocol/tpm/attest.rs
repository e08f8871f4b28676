use super::TpmError;
use super::reader::Reader;

/// TPM_GENERATED_VALUE: a restricted key signs nothing of ours that begins so.
const MAGIC: u32 = 0xFF54_4347;
/// TPM_ST_ATTEST_CERTIFY.
const CERTIFY: u16 = 0x8017;
/// TPM_ST_ATTEST_QUOTE.
const QUOTE: u16 = 0x8018;

/// TPMS_ATTEST: what a TPM says, and signs with a restricted key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attest {
    /// The qualified name of the key that signed: its own and those of its parents.
    pub qualified_signer: Vec<u8>,
    /// What the caller asked to be signed with it, so that it is fresh.
    pub qualifying: Vec<u8>,
    /// When.
    pub clock: ClockInfo,
    /// In the maker's own form.
    pub firmware_version: u64,
    /// What about.
    pub attested: Attested,
}

/// TPMS_CLOCK_INFO. A TPM blurs the two counts, and its firmware's version, where the key belongs to the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockInfo {
    /// Milliseconds that the TPM was powered.
    pub clock: u64,
    /// How often it was reset: the machine was started.
    pub reset_count: u32,
    /// How often it was restarted or resumed since.
    pub restart_count: u32,
    /// Whether no later clock was ever told before; false for a while after power was lost.
    pub safe: bool,
}

/// TPMU_ATTEST, as far as it is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attested {
    /// TPMS_CERTIFY_INFO: a key with this name is in the TPM.
    Certify {
        /// Its name.
        name: Vec<u8>,
        /// Its qualified name.
        qualified_name: Vec<u8>,
    },
    /// TPMS_QUOTE_INFO: the PCRs have this digest.
    Quote {
        /// Which they are.
        selection: PcrBanks,
        /// The hash over their values in order.
        digest: Vec<u8>,
    },
}

/// TPML_PCR_SELECTION: for each bank its hash and its bitmap.
pub type PcrBanks = Vec<(u16, Vec<u8>)>;

impl Attest {
    /// Reads a TPMS_ATTEST to its last byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, TpmError> {
        let mut reader = Reader::new(bytes);
        if reader.u32() != Some(MAGIC) {
            return Err(TpmError::Kind("statement"));
        }
        let kind = reader.u16().ok_or(FORM)?;
        if ![CERTIFY, QUOTE].contains(&kind) {
            return Err(TpmError::Unsupported("kind of statement"));
        }
        rest(reader, kind).ok_or(FORM)
    }
}

const FORM: TpmError = TpmError::Form("message");

fn rest(mut reader: Reader<'_>, kind: u16) -> Option<Attest> {
    let qualified_signer = reader.sized()?.to_vec();
    let qualifying = reader.sized()?.to_vec();
    let (clock, reset_count, restart_count) = (reader.u64()?, reader.u32()?, reader.u32()?);
    let safe = yes_or_no(reader.u8()?)?;
    let firmware_version = reader.u64()?;
    let attested = match kind {
        CERTIFY => certify(&mut reader)?,
        _ => quote(&mut reader)?,
    };
    let clock = ClockInfo { clock, reset_count, restart_count, safe };
    reader.end(Attest { qualified_signer, qualifying, clock, firmware_version, attested })
}

fn certify(reader: &mut Reader<'_>) -> Option<Attested> {
    Some(Attested::Certify { name: reader.sized()?.to_vec(), qualified_name: reader.sized()?.to_vec() })
}

fn quote(reader: &mut Reader<'_>) -> Option<Attested> {
    let count = reader.u32()?;
    // No room is made by what the count says: it may lie.
    let mut selection = Vec::new();
    for _ in 0..count {
        let (hash, width) = (reader.u16()?, reader.u8()?);
        selection.push((hash, reader.take(width.into())?.to_vec()));
    }
    Some(Attested::Quote { selection, digest: reader.sized()?.to_vec() })
}

/// TPMI_YES_NO.
const fn yes_or_no(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}
