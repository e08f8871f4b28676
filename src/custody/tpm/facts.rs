use std::collections::HashMap;

use tss_esapi::constants::{CapabilityType, PropertyTag};
use tss_esapi::structures::CapabilityData;

use super::fault::{Fault, at};
use super::link::Link;
use super::maker::{self, Maker};
use super::parent;
use super::worker::Tpm;
use crate::custody::CustodyError;

/// What a TPM says of itself.
#[derive(Debug, Clone)]
pub struct TpmFacts {
    /// Four letters of the TCG's registry, without spaces at the end.
    pub manufacturer: String,
    /// What the maker calls it.
    pub model: String,
    /// Its firmware's version, in hex.
    pub firmware: String,
    /// Who that is, and whether the TPM is a chip of its own, as far as the shipped profile knows.
    pub maker: Maker,
    /// The parent's Name as it is now, in hex.
    pub parent_name: String,
    /// How far wrong authorizations have brought it.
    pub lockout: Lockout,
}

/// What the TPM counts of wrong authorizations. Our own objects are not counted, and go on in lockout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lockout {
    /// Whether it refuses what is protected against a dictionary attack.
    pub locked: bool,
    /// How many wrong ones count now.
    pub count: u32,
    /// At how many it locks.
    pub most: u32,
    /// After so many seconds one of them is forgotten; 0: never.
    pub forgets_after: u32,
}

impl Lockout {
    /// Seconds until it no longer refuses, at the latest. `None` where it does not, or where nothing is forgotten.
    pub fn ends_within(&self) -> Option<u32> {
        (self.locked && self.forgets_after > 0).then_some(self.forgets_after)
    }
}

impl Tpm {
    /// What the TPM says of itself. Needs no PIN, and no policy to hold. Blocks.
    pub fn facts(&self) -> Result<TpmFacts, CustodyError> {
        self.run(|link| {
            let told = properties(link)?;
            let lockout = lockout(&told);
            let manufacturer = text(&told, &[PropertyTag::Manufacturer]);
            let vendor = [
                PropertyTag::VendorString1,
                PropertyTag::VendorString2,
                PropertyTag::VendorString3,
                PropertyTag::VendorString4,
            ];
            let number = |tag: PropertyTag| told.get(&u32::from(tag)).copied().unwrap_or_default();
            let parent_name = match link.parent {
                // It was compared when it was loaded.
                Some(_) => link.config.parent_name.clone().unwrap_or_default(),
                None => {
                    let (handle, name) = parent::find(link)?;
                    if link.config.parent == super::Parent::Template {
                        link.flush(handle);
                    }
                    hex::encode(name)
                }
            };
            Ok(TpmFacts {
                maker: maker::of(&manufacturer)?,
                manufacturer,
                model: text(&told, &vendor),
                firmware: format!(
                    "{:08x}.{:08x}",
                    number(PropertyTag::FirmwareVersion1),
                    number(PropertyTag::FirmwareVersion2)
                ),
                parent_name,
                lockout,
            })
        })
    }

    /// What the TPM counts of wrong authorizations. Blocks.
    pub fn lockout(&self) -> Result<Lockout, CustodyError> {
        self.run(|link| Ok(lockout(&properties(link)?)))
    }
}

type Properties = HashMap<u32, u32>;

/// Read anew each time: the library would remember the first answer.
fn properties(link: &mut Link) -> Result<Properties, Fault> {
    const AT_A_TIME: u32 = 64;
    let mut all = Properties::new();
    for first in [PropertyTag::Manufacturer, PropertyTag::Permanent] {
        let told = link.context.execute_without_session(|context| {
            context.get_capability(CapabilityType::TpmProperties, first.into(), AT_A_TIME)
        });
        if let (CapabilityData::TpmProperties(listed), _) = told.map_err(at("TPM2_GetCapability"))? {
            all.extend(listed.into_iter().map(|told| (u32::from(told.property()), told.value())));
        }
    }
    Ok(all)
}

fn lockout(told: &Properties) -> Lockout {
    // TPMA_PERMANENT (Part 2, 8.6).
    const IN_LOCKOUT: u32 = 1 << 9;
    let number = |tag: PropertyTag| told.get(&u32::from(tag)).copied().unwrap_or_default();
    Lockout {
        locked: number(PropertyTag::Permanent) & IN_LOCKOUT != 0,
        count: number(PropertyTag::LockoutCounter),
        most: number(PropertyTag::MaxAuthFail),
        forgets_after: number(PropertyTag::LockoutInterval),
    }
}

fn text(told: &Properties, tags: &[PropertyTag]) -> String {
    let bytes = tags.iter().filter_map(|&tag| told.get(&u32::from(tag))).flat_map(|word| word.to_be_bytes());
    let text: String =
        bytes.filter(|byte| *byte != 0).map(char::from).filter(|c| c.is_ascii() && !c.is_ascii_control()).collect();
    text.trim().to_owned()
}
