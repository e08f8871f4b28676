use std::fs;
use std::path::Path;

use cryptoki::error::Error;
use serde::Deserialize;

use super::allowed::Scheme;
use super::curve::EcParams;
use super::error;
use super::fault::{code, means_gone};
use super::token_info::TokenInfo;
use crate::custody::{CustodyError, ErrorKind};

/// What differs between tokens, as data: `hsm-profiles/*.toml`, each fact with its source. `hsm-profiles/README.md`
/// tells what the fields mean.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What it is called in reports.
    pub name: String,
    /// On what it was measured; none where it was not.
    pub measured: Option<String>,
    #[serde(rename = "match", default)]
    fits: Fits,
    sessions: Sessions,
    keys: Keys,
    wrapping: Wrapping,
    errors: Errors,
}

/// What a token must say of itself. Empty text fits everything.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fits {
    manufacturer: String,
    model: String,
}

/// One fact, and how it is known.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fact<T> {
    value: T,
    source: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sessions {
    most: Fact<usize>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    ed25519_params: Fact<EcParams>,
    restricts_mechanisms: Fact<bool>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapping {
    schemes: Fact<Vec<Scheme>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Errors {
    gone: Fact<Vec<String>>,
}

/// The profiles that come with this version; the last one fits every token.
const SHIPPED: [&str; 3] = [
    include_str!("../../../hsm-profiles/softhsm2.toml"),
    include_str!("../../../hsm-profiles/kryoptic.toml"),
    include_str!("../../../hsm-profiles/generic.toml"),
];

impl Profile {
    /// Reads a profile strictly: an unknown field, a fact without a source or a value that cannot be is refused.
    pub fn read(path: &Path) -> Result<Self, CustodyError> {
        let refuse = |why: String| {
            let what = format!("the profile {} is refused: {}", path.display(), why.trim_end().replace('\n', " "));
            error(ErrorKind::Misconfigured, "profile", what, "hsm-profiles/README.md tells what a profile holds.")
        };
        let text = fs::read_to_string(path).map_err(|e| refuse(e.to_string()))?;
        Self::parse(&text).map_err(refuse)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let profile: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        let sources = [
            ("sessions.most", &profile.sessions.most.source),
            ("keys.ed25519_params", &profile.keys.ed25519_params.source),
            ("keys.restricts_mechanisms", &profile.keys.restricts_mechanisms.source),
            ("wrapping.schemes", &profile.wrapping.schemes.source),
            ("errors.gone", &profile.errors.gone.source),
        ];
        if let Some((fact, _)) = sources.iter().find(|(_, source)| source.trim().is_empty()) {
            return Err(format!("{fact} does not say how it is known"));
        }
        if profile.sessions.most.value == 0 {
            return Err("sessions.most must be at least 1".into());
        }
        match profile.errors.gone.value.iter().find(|code| !code.starts_with("CKR_")) {
            Some(code) => Err(format!("errors.gone has {code:?}, which is not the name of a return value")),
            None => Ok(profile),
        }
    }

    /// The shipped profile that fits what the token says of itself.
    pub(super) fn fitting(token: &TokenInfo) -> Self {
        let fits =
            |p: &Self| token.manufacturer.starts_with(&p.fits.manufacturer) && token.model.starts_with(&p.fits.model);
        // A test reads each of them, and the last one fits.
        Self::shipped().find(fits).expect("a profile for every token")
    }

    /// The profiles that come with this version.
    fn shipped() -> impl Iterator<Item = Self> {
        SHIPPED.into_iter().filter_map(|text| Self::parse(text).ok())
    }

    /// Sessions that we may hold beside the one that is logged in.
    pub(super) const fn most_sessions(&self) -> usize {
        self.sessions.most.value
    }

    /// How the token wants to be told of Curve25519.
    pub(super) const fn ed25519_params(&self) -> EcParams {
        self.keys.ed25519_params.value
    }

    /// Whether the token keeps a key to its CKA_ALLOWED_MECHANISMS.
    pub(super) const fn restricts_mechanisms(&self) -> bool {
        self.keys.restricts_mechanisms.value
    }

    /// Whether the token can wrap in this way.
    pub(super) fn knows(&self, scheme: Scheme) -> bool {
        self.wrapping.schemes.value.contains(&scheme)
    }

    /// Whether an answer may mean that the token is gone, though the standard has another meaning for it.
    pub(super) fn may_mean_gone(&self, device: &Error) -> bool {
        !means_gone(device) && self.errors.gone.value.contains(&code(device))
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::protocol::json::{self, Object};

    const SCHEMA: &str = include_str!("../../../hsm-profiles/schema.json");

    #[test]
    fn every_shipped_profile_reads_and_the_last_one_fits_every_token() {
        let read: Vec<Profile> = SHIPPED.iter().map(|text| Profile::parse(text).unwrap()).collect();
        assert_eq!(read.last().unwrap().fits, Fits::default());
        assert!(read.iter().all(|p| p.fits == Fits::default() || p.measured.is_some()), "what is named was measured");
    }

    #[test]
    fn a_profile_that_does_not_read_is_refused_by_what_is_wrong() {
        let good = SHIPPED[0];
        let refused = |from: &str, to: &str| {
            assert!(good.contains(from), "{from}");
            Profile::parse(&good.replacen(from, to, 1)).unwrap_err()
        };
        assert!(refused("[sessions.most]", "[sessions]\ncolour = 1\n[sessions.most]").contains("colour"));
        assert!(refused("value = 16", "value = 0").contains("at least 1"));
        assert!(refused("\"aes-kw\"", "\"rot13\"").contains("rot13"));
        assert!(refused("\"CKR_", "\"KCR_").contains("KCR_"));
        let line = good.lines().find(|line| line.starts_with("source = ")).unwrap();
        assert!(refused(line, "source = \" \"").contains("does not say how it is known"));
    }
    #[test]
    fn the_schema_has_the_names_that_the_reader_has() {
        let schema = json::parse(SCHEMA.as_bytes()).unwrap();
        let at =
            |path: &str| path.split('.').fold(schema.clone(), |object, key| object.get_object(key).unwrap().clone());
        let properties = |path: &str| names(at(path).iter().map(|(name, _)| name.as_str()));
        assert_eq!(properties("properties"), fields::<Profile>());
        assert_eq!(properties("properties.match.properties"), fields::<Fits>());
        assert_eq!(properties("properties.sessions.properties"), fields::<Sessions>());
        assert_eq!(properties("properties.keys.properties"), fields::<Keys>());
        assert_eq!(properties("properties.wrapping.properties"), fields::<Wrapping>());
        assert_eq!(properties("properties.errors.properties"), fields::<Errors>());
        assert_eq!(properties("properties.sessions.properties.most.properties"), fields::<Fact<usize>>());

        let value = |path: &str| at(&format!("properties.{path}.properties.value"));
        let listed = |object: &Object| {
            names(object.get("enum").unwrap().as_array().unwrap().iter().map(|name| name.as_str().unwrap()))
        };
        assert_eq!(listed(&value("keys.properties.ed25519_params")), variants::<EcParams>("\"?\""));
        let schemes = value("wrapping.properties.schemes");
        assert_eq!(listed(schemes.get_object("items").unwrap()), variants::<Vec<Scheme>>("[\"?\"]"));
    }

    fn names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names
    }

    /// The fields that the reader knows, as it names them where it meets another.
    fn fields<T: DeserializeOwned + std::fmt::Debug>() -> Vec<String> {
        expected(&toml::from_str::<T>("unknown = 1").unwrap_err())
    }

    /// The same of the values that it knows.
    fn variants<T: DeserializeOwned + std::fmt::Debug>(unknown: &str) -> Vec<String> {
        expected(&toml::from_str::<Fact<T>>(&format!("value = {unknown}\nsource = \"\"")).unwrap_err())
    }

    fn expected(error: &toml::de::Error) -> Vec<String> {
        let (_, known) = error.message().split_once("expected ").unwrap();
        names(known.split('`').skip(1).step_by(2))
    }
}
