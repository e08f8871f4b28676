//! `[attestation]`: what has to be shown of the relay key's custody, and to whom.

use std::path::{Path, PathBuf};

use super::file::FileCustody;
use super::published::PKCS11_TPM2;
use super::reader::Section;
use super::sources::{PREFIX, Sources};
#[cfg(feature = "tpm")]
use super::tpm::TpmSettings;
use crate::facts::Digest;
use crate::protocol::attestation::Assurance;
use crate::protocol::tpm::PcrSelection;

/// What has to be shown, what shows it, and where it goes.
#[derive(Debug, Clone)]
pub struct AttestationSettings {
    /// What must be reached before anything is signed with the relay key. Where nothing else is written, a quote that is
    /// configured is asked for.
    pub minimum: Assurance,
    /// Where the signed record is kept.
    pub file: PathBuf,
    /// Where it is posted, where that does not follow from the relay's endpoint.
    pub url: Option<String>,
    /// A TPM's quote, where one is configured; a TPM that holds keys quotes in any case.
    pub quote: Option<QuoteSettings>,
    /// What is measured in place of the running executable, by the published settings.
    pub edge_core: Option<Digest>,
    /// The published package's manifests, measured in place of our own configuration.
    pub provider_manifests: Option<PathBuf>,
}

/// Which TPM quotes what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteSettings {
    /// The way to the TPM, as tpm2-tools name it; `None` is the usual one.
    pub tcti: Option<String>,
    /// What is quoted.
    pub pcrs: PcrSelection,
    /// The persistent handle of the attestation key.
    pub ak_handle: u32,
    /// What kind of key that is.
    pub ak_algorithm: AkAlgorithm,
}

/// The kind of an attestation key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AkAlgorithm {
    /// P-256.
    Ecc,
    /// RSA of 2,048 bits.
    Rsa,
}

/// `[attestation]` of a config file.
#[derive(Debug, Default)]
pub(super) struct FileAttestation {
    minimum: Option<Assurance>,
    file: Option<PathBuf>,
    url: Option<String>,
    quote: Option<GivenQuote>,
}

/// What was said of a quote; the rest is as published.
#[derive(Debug, Default)]
struct GivenQuote {
    tcti: Option<String>,
    pcrs: Option<PcrSelection>,
    ak_handle: Option<u32>,
    ak_algorithm: Option<AkAlgorithm>,
}

const PCRS: &str = "sha256:0,1,2,3,7";
const PCRS_EXPECTED: &str = "PCRs such as \"sha256:0,1,2,3,7\"";
const AK_HANDLE: u32 = 0x8101_0002;
const AK_HANDLE_EXPECTED: &str = "a persistent handle such as \"0x81010002\"";
const AK_ALGORITHM_EXPECTED: &str = "\"rsa\" or \"ecc\"";
const FILE: &str = "attestation.json";

pub(super) fn read(mut section: Section<'_>, folder: &Path) -> FileAttestation {
    let minimum = section.parsed("minimum", "\"L0\", \"L1\" or \"L2\"", Assurance::from_name);
    let (file, url) = (section.path("file", folder), section.text("url"));
    // An empty section asks for a quote as published.
    let is_asked_for = section.has("quote");
    let mut quote = section.section("quote");
    let given = GivenQuote {
        tcti: quote.text("tcti"),
        pcrs: quote.parsed("pcrs", PCRS_EXPECTED, |text| text.parse().ok()),
        ak_handle: quote.parsed("ak_handle", AK_HANDLE_EXPECTED, ak_handle),
        ak_algorithm: quote.parsed("ak_algorithm", AK_ALGORITHM_EXPECTED, AkAlgorithm::from_name),
    };
    quote.end();
    section.end();
    FileAttestation { minimum, file, url, quote: is_asked_for.then_some(given) }
}

impl Sources<'_> {
    pub(super) fn attestation(
        &self,
        file: FileAttestation,
        config_file: Option<&Path>,
        custody: &FileCustody,
    ) -> AttestationSettings {
        let quote = if config_file.is_some() { self.configured_quote(file.quote) } else { self.published_quote() };
        #[cfg(feature = "tpm")]
        let quote = match &custody.tpm {
            Some(tpm) => Some(self.own_quote(tpm, quote)),
            None => quote,
        };
        // Beside a key in a token alone a quote is worth a level.
        let reaches_l2 = quote.is_some() && !custody.backend.is_tpm();
        let (edge_core, provider_manifests) = self.measured(config_file.is_some());
        let beside = config_file.and_then(Path::parent).map(Path::to_owned).or_else(|| self.config_folder());
        AttestationSettings {
            minimum: self.minimum(file.minimum, reaches_l2, config_file.is_some()),
            file: self
                .agreed("ATTESTATION_FILE", "attestation.file", &None, file.file)
                .unwrap_or_else(|| beside.unwrap_or_default().join(FILE)),
            url: self.agreed("ATTESTATION_URL", "attestation.url", &None, file.url),
            quote,
            edge_core,
            provider_manifests,
        }
    }

    /// A quote that is configured is asked for, unless somebody wrote that less will do (I4).
    fn minimum(&self, configured: Option<Assurance>, reaches_l2: bool, has_file: bool) -> Assurance {
        let usual = if reaches_l2 { Assurance::L2 } else { Assurance::L0 };
        let given = self.read("ASSURANCE", Assurance::EXPECTED, Assurance::from_name);
        match (has_file, given) {
            (false, given) => given.unwrap_or(usual),
            (true, given) => {
                let minimum = configured.unwrap_or(usual);
                given.iter().for_each(|given| self.same("ASSURANCE", "attestation.minimum", given, &minimum));
                minimum
            }
        }
    }

    /// The config file says which TPM quotes what, and a variable may only say the same.
    fn configured_quote(&self, configured: Option<GivenQuote>) -> Option<QuoteSettings> {
        let Some(configured) = configured else {
            if self.variable("SIGNING_PROVIDER").as_deref() == Some(PKCS11_TPM2) {
                self.problem(format!(
                    "{PREFIX}SIGNING_PROVIDER asks for a quote, and the config file does not: \
                                      add [attestation.quote] there"
                ));
            }
            for name in ["TPM2_PCRS", "TPM2_AK_HANDLE", "TPM2_AK_ALGORITHM"] {
                self.trust_is_the_files(name, "[attestation.quote]", false);
            }
            return None;
        };
        let quote = configured.or_usual();
        let given = self.given_quote();
        let same = |name, key, differs| {
            if differs {
                self.same(name, key, &true, &false)
            }
        };
        same("TPM2_PCRS", "attestation.quote.pcrs", given.pcrs.is_some_and(|pcrs| pcrs != quote.pcrs));
        same("TPM2_AK_HANDLE", "attestation.quote.ak_handle", given.ak_handle.is_some_and(|h| h != quote.ak_handle));
        let algorithm = given.ak_algorithm.is_some_and(|algorithm| algorithm != quote.ak_algorithm);
        same("TPM2_AK_ALGORITHM", "attestation.quote.ak_algorithm", algorithm);
        if given.tcti.is_some() && given.tcti != quote.tcti {
            self.problem(
                "TPM2TOOLS_TCTI is set, and the config file does not say so: set attestation.quote.tcti there",
            );
        }
        Some(quote)
    }

    /// A TPM that holds keys quotes too, whether it is said or not: that one, and no other.
    #[cfg(feature = "tpm")]
    fn own_quote(&self, tpm: &TpmSettings, quote: Option<QuoteSettings>) -> QuoteSettings {
        let (own, quote) = (tpm.device.tcti.to_string(), quote.unwrap_or_else(|| GivenQuote::default().or_usual()));
        if quote.tcti.as_ref().is_some_and(|tcti| *tcti != own) {
            self.problem("attestation.quote.tcti is not custody.tpm.tcti: a TPM that holds keys quotes itself");
        }
        QuoteSettings { tcti: Some(own), ..quote }
    }

    fn published_quote(&self) -> Option<QuoteSettings> {
        let is_asked_for = self.variable("SIGNING_PROVIDER").as_deref() == Some(PKCS11_TPM2);
        is_asked_for.then(|| self.given_quote().or_usual())
    }

    fn given_quote(&self) -> GivenQuote {
        GivenQuote {
            tcti: self.foreign_variable("TPM2TOOLS_TCTI"),
            pcrs: self.read("TPM2_PCRS", PCRS_EXPECTED, |text| text.parse().ok()),
            ak_handle: self.read("TPM2_AK_HANDLE", AK_HANDLE_EXPECTED, ak_handle),
            ak_algorithm: self.read("TPM2_AK_ALGORITHM", AK_ALGORITHM_EXPECTED, AkAlgorithm::from_name),
        }
    }

    /// What the published settings name in place of what is running. Where there is a config file, that is measured.
    fn measured(&self, has_file: bool) -> (Option<Digest>, Option<PathBuf>) {
        let names = ["EDGE_CORE_SHA256", "EDGE_CORE_SHA256_FILE", "PROVIDER_MANIFEST_DIR"];
        if has_file {
            for name in names.into_iter().filter(|name| self.variable(name).is_some()) {
                self.problem(format!("{PREFIX}{name} is set, and with a config file what runs is measured itself"));
            }
            return (None, None);
        }
        let [digest, file, manifests] = names;
        let digest = self.read(digest, "64 hex digits", sha256).or_else(|| {
            let path = self.variable(file)?;
            let read = std::fs::read_to_string(&path).ok().as_deref().and_then(sha256);
            if read.is_none() {
                self.problem(format!("{PREFIX}{file} must name a file with 64 hex digits"));
            }
            read
        });
        (digest, self.variable(manifests).map(PathBuf::from))
    }

    /// A variable that `read` understands.
    fn read<T>(&self, name: &str, expected: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let value = self.variable(name)?;
        let read = read(&value);
        if read.is_none() {
            self.problem(format!("{PREFIX}{name} must be {expected}"));
        }
        read
    }
}

impl GivenQuote {
    fn or_usual(self) -> QuoteSettings {
        QuoteSettings {
            tcti: self.tcti,
            // The constant is a selection.
            pcrs: self.pcrs.unwrap_or_else(|| PCRS.parse().expect("a selection")),
            ak_handle: self.ak_handle.unwrap_or(AK_HANDLE),
            ak_algorithm: self.ak_algorithm.unwrap_or(AkAlgorithm::Rsa),
        }
    }
}

impl AkAlgorithm {
    /// The name as configuration writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ecc => "ecc",
            Self::Rsa => "rsa",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Ecc, Self::Rsa].into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// A handle among the persistent ones of the owner.
fn ak_handle(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0x8101").filter(|digits| digits.len() == 4)?;
    let plain = digits.bytes().all(|c| c.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| plain).map(|number| 0x8101_0000 | number)
}

fn sha256(text: &str) -> Option<Digest> {
    text.trim().to_ascii_lowercase().parse().ok()
}
