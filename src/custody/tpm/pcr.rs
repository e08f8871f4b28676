use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest as _, Sha256};
use tss_esapi::Context;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::{PcrSelectionList, PcrSlot};

use super::error;
use super::fault::{Fault, at};
use crate::custody::ErrorKind;

/// Which PCRs of the SHA-256 bank, in ascending order, as the library takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection(Vec<u8>);

/// A PCR's value.
pub(super) type Value = [u8; 32];

/// PCRs with their values, in ascending order.
pub(super) type Values = BTreeMap<u8, Value>;

impl Selection {
    /// These PCRs.
    pub(super) fn of(pcrs: impl IntoIterator<Item = u8>) -> Self {
        let mut pcrs: Vec<u8> = pcrs.into_iter().collect();
        pcrs.sort_unstable();
        pcrs.dedup();
        Self(pcrs)
    }

    /// As TPML_PCR_SELECTION in its marshalled form: one bank, three bytes of bits (Part 2, 10.6.2).
    pub(super) fn marshalled(&self) -> Vec<u8> {
        let mut bits = [0u8; 3];
        for &pcr in &self.0 {
            bits[usize::from(pcr / 8)] |= 1 << (pcr % 8);
        }
        let mut bytes = vec![0, 0, 0, 1, 0, 0x0b, 3];
        bytes.extend_from_slice(&bits);
        bytes
    }

    pub(super) fn list(&self) -> Result<PcrSelectionList, Fault> {
        let slots: Result<Vec<PcrSlot>, _> = self.0.iter().map(|&pcr| PcrSlot::try_from(1u32 << pcr)).collect();
        let slots = slots.map_err(at("TPM2_PCR_Read"))?;
        PcrSelectionList::builder()
            .with_selection(HashingAlgorithm::Sha256, &slots)
            .build()
            .map_err(at("TPM2_PCR_Read"))
    }

    /// Reads every PCR of the selection. A TPM gives at most eight at a time, and says which.
    pub(super) fn read(&self, context: &mut Context) -> Result<Values, Fault> {
        let mut values = Values::new();
        for chunk in self.0.chunks(8) {
            let list = Self(chunk.to_vec()).list()?;
            let read = context.execute_without_session(|context| context.pcr_read(list));
            let (_, _, digests) = read.map_err(at("TPM2_PCR_Read"))?;
            let digests: Vec<Value> = digests.value().iter().filter_map(|d| d.value().try_into().ok()).collect();
            if digests.len() != chunk.len() {
                let message = format!("the TPM has no SHA-256 bank with all of {self}");
                let advice = "Choose other PCRs, or have the firmware allocate the bank (tpm2_pcrallocate).";
                return Err(error(ErrorKind::Misconfigured, "TPM2_PCR_Read", message, advice).into());
            }
            values.extend(chunk.iter().copied().zip(digests));
        }
        Ok(values)
    }
}

/// What a PCR holds after it was extended with `digest`.
pub(super) fn extended(value: &Value, digest: &Value) -> Value {
    Sha256::new().chain_update(value).chain_update(digest).finalize().into()
}

/// The digest over the values of a selection, as TPM2_PolicyPCR and TPM2_Quote form it.
pub(super) fn composite(values: &Values) -> Value {
    let mut hash = Sha256::new();
    values.values().for_each(|value| hash.update(value));
    hash.finalize().into()
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u8::to_string).collect();
        write!(f, "sha256:{}", numbers.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_marshals_as_the_specification_has_it() {
        let selection = Selection::of([23, 0, 7]);
        assert_eq!(hex::encode(selection.marshalled()), "00000001000b03810080");
    }
}
