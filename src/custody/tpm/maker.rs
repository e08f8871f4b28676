use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::error;
use crate::custody::{CustodyError, ErrorKind};
use crate::protocol::tpm::TpmKind;

/// Who made a TPM, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maker {
    /// As the TCG's registry of vendors has it.
    pub id: String,
    /// The name behind it.
    pub name: String,
    /// What kind of device makers of this id ship.
    #[serde(deserialize_with = "kind")]
    pub kind: TpmKind,
    /// How that is known.
    pub provenance: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    manufacturer: Vec<Maker>,
}

const PROFILE: &str = include_str!("../../../hsm-profiles/tpm2.toml");

/// The maker with this id.
pub(super) fn of(id: &str) -> Result<Maker, CustodyError> {
    let read: Result<Profile, _> = toml::from_str(PROFILE);
    let profile =
        read.map_err(|_| error(ErrorKind::Broken, "profile", "hsm-profiles/tpm2.toml does not read", "Report this."))?;
    let known = profile.manufacturer.into_iter().find(|maker| maker.id == id);
    Ok(known.unwrap_or_else(|| Maker {
        id: id.to_owned(),
        name: id.to_owned(),
        kind: TpmKind::Unknown,
        provenance: "not in hsm-profiles/tpm2.toml".to_owned(),
    }))
}

fn kind<'de, D: Deserializer<'de>>(profile: D) -> Result<TpmKind, D::Error> {
    let name = String::deserialize(profile)?;
    TpmKind::from_name(&name).ok_or_else(|| D::Error::custom("unknown kind of TPM"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_profile_reads_and_tells_a_simulator() {
        assert_eq!(of("IBM").unwrap().kind, TpmKind::Vtpm);
        assert_eq!(of("IFX").unwrap().kind, TpmKind::Discrete);
        assert_eq!(of("????").unwrap().kind, TpmKind::Unknown);
    }
}
