use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ingest::user;
use super::reader::Section;
use crate::facts::Digest;
use crate::protocol::PublicKey;

/// How checkpoints are witnessed.
#[derive(Debug, Clone)]
pub struct WitnessSettings {
    /// The database.
    pub path: PathBuf,
    /// What it is compared with.
    pub anchor: AnchorSetting,
    /// Between two anchor steps; zero: each answer waits for one.
    pub anchor_interval: Duration,
    /// Whether a stream that nobody added is begun by whatever comes first.
    pub first_use: bool,
    /// How far a number may lie above the last one.
    pub longest_jump: Option<i64>,
    /// Whether a state that was restored from a copy may be signed on, in so many words.
    pub accepts_rollback: bool,
    /// What is started when a fork was found.
    pub fork_hook: Option<PathBuf>,
    /// Other witnesses of the same streams.
    pub peers: Vec<PeerSettings>,
    /// How many witnesses relying parties ask for, us among them.
    pub quorum: usize,
    /// Who may submit what over the network or the local socket.
    pub submitters: Vec<Submitter>,
    /// Where submissions come in over mTLS.
    pub listen: Option<ListenSettings>,
    /// Where submissions are fetched from.
    pub feed: Option<String>,
}

/// What a state is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnchorSetting {
    /// Nothing.
    None,
    /// A signed floor in a file, on another disk: whoever can write there can set it back.
    File(PathBuf),
    /// A signed floor in a data object of the token: whoever has the PIN can set it back.
    #[cfg(feature = "pkcs11")]
    Object(String),
    /// A counter in the TPM that holds the keys.
    #[cfg(feature = "tpm")]
    Tpm,
}

/// Another witness.
#[derive(Debug, Clone)]
pub struct PeerSettings {
    /// What it is called in reports.
    pub name: String,
    /// Its `/witness/v1`.
    pub url: String,
    /// Its keys: after a rotation the new one and the old ones.
    pub public_keys: Vec<PublicKey>,
    /// Authorities to trust in place of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Who may submit what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitter {
    /// What streams are pinned to.
    pub name: String,
    /// For whom they speak.
    pub tenants: BTreeSet<String>,
    /// Over the local socket.
    pub uid: Option<u32>,
    /// Over mTLS: the SHA-256 of the public key of their certificate.
    pub spki_pin: Option<Digest>,
    /// How many checkpoints, where that is limited otherwise than for everybody.
    pub checkpoints_per_second: Option<u32>,
}

/// Where submissions come in over mTLS.
#[derive(Debug, Clone)]
pub struct ListenSettings {
    /// The address.
    pub address: SocketAddr,
    /// Our certificate chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities of those who may connect.
    pub client_ca: PathBuf,
}

/// `[witness]` of a config file.
#[derive(Debug, Default)]
pub(super) struct FileWitness {
    pub(super) path: Option<PathBuf>,
    anchor: Option<AnchorSetting>,
    anchor_interval: Option<f64>,
    first_use: Option<bool>,
    longest_jump: Option<u64>,
    accepts_rollback: Option<bool>,
    fork_hook: Option<PathBuf>,
    peers: Vec<PeerSettings>,
    quorum: Option<usize>,
    submitters: Vec<Submitter>,
    listen: Option<ListenSettings>,
    feed: Option<String>,
}

/// The published package's default.
const PATH: &str = "local-vault-witness.sqlite3";
/// A stream that is submitted each second has a number to spare for eleven days without us.
const LONGEST_JUMP: i64 = 1_000_000;
const MOST_WITNESSES: usize = 64;

/// Reads `[witness]`.
pub(super) fn read(mut section: Section<'_>, folder: &Path) -> FileWitness {
    let path = section.path("path", folder);
    let anchor = anchor(&mut section, folder);
    let anchor_interval = section.seconds("anchor_interval_seconds");
    let first_use = section.parsed("first_use", "\"accept\" or \"refuse\"", |text| match text {
        "accept" => Some(true),
        "refuse" => Some(false),
        _ => None,
    });
    let longest_jump = section.number("longest_jump", 1..=i64::MAX.unsigned_abs());
    let accepts_rollback =
        section.parsed("rollback", "\"accepted\", or left out", |text| (text == "accepted").then_some(true));
    let fork_hook = section.path("fork_hook", folder);
    let peers = section.sections("peers").unwrap_or_default();
    let peers: Vec<_> = peers.into_iter().filter_map(|section| peer(section, folder)).collect();
    let quorum = section.count("quorum", MOST_WITNESSES);
    if quorum.is_some_and(|quorum| quorum > peers.len() + 1) {
        section.problem("has a quorum of more witnesses than its peers and itself");
    }
    let submitters = section.sections("submitters").unwrap_or_default();
    let submitters: Vec<_> = submitters.into_iter().filter_map(submitter).collect();
    refuse_same(&section, &submitters);
    let listen = listen(section.section("listen"), folder);
    let mut follow = section.section("follow");
    let feed = follow.text("feed");
    follow.end();
    section.end();
    FileWitness {
        path,
        anchor,
        anchor_interval,
        first_use,
        longest_jump,
        accepts_rollback,
        fork_hook,
        peers,
        quorum,
        submitters,
        listen,
        feed,
    }
}

impl WitnessSettings {
    /// Whether a service witnesses: where somebody may submit, or there is a feed to follow.
    pub fn is_served(&self) -> bool {
        self.listen.is_some() || !self.submitters.is_empty() || self.feed.is_some()
    }
}

impl FileWitness {
    /// Where there is a config file, what it does not allow is not allowed. Without one it is as published.
    pub(super) fn settle(self, path: Option<PathBuf>, has_file: bool) -> WitnessSettings {
        let witnesses = self.peers.len() + 1;
        WitnessSettings {
            path: path.unwrap_or_else(|| PATH.into()),
            anchor: self.anchor.unwrap_or(AnchorSetting::None),
            anchor_interval: Duration::try_from_secs_f64(self.anchor_interval.unwrap_or(0.0)).unwrap_or_default(),
            first_use: self.first_use.unwrap_or(!has_file),
            longest_jump: match self.longest_jump {
                Some(longest) => i64::try_from(longest).ok(),
                None => has_file.then_some(LONGEST_JUMP),
            },
            accepts_rollback: self.accepts_rollback.unwrap_or(!has_file),
            fork_hook: self.fork_hook,
            quorum: self.quorum.unwrap_or(witnesses / 2 + 1),
            peers: self.peers,
            submitters: self.submitters,
            listen: self.listen,
            feed: self.feed,
        }
    }
}

fn anchor(section: &mut Section<'_>, folder: &Path) -> Option<AnchorSetting> {
    let kinds = "\"none\", \"rewritable\" or \"tpm\"";
    let kind =
        section.parsed("anchor", kinds, |text| matches!(text, "none" | "rewritable" | "tpm").then(|| text.to_owned()));
    let file = section.path("floor_file", folder);
    let object = section.text("floor_object");
    if kind.as_deref() != Some("rewritable") {
        if file.is_some() || object.is_some() {
            section.problem("names a floor, and its anchor is not \"rewritable\"");
        }
    } else if file.is_some() == object.is_some() {
        section.problem("needs one of floor_file and floor_object");
    }
    match kind?.as_str() {
        "none" => Some(AnchorSetting::None),
        #[cfg(feature = "tpm")]
        "tpm" => Some(AnchorSetting::Tpm),
        "rewritable" => match (file, object) {
            (Some(file), _) => Some(AnchorSetting::File(file)),
            #[cfg(feature = "pkcs11")]
            (None, Some(label)) => Some(AnchorSetting::Object(label)),
            _ => unsupported(section),
        },
        _ => unsupported(section),
    }
}

fn unsupported(section: &Section<'_>) -> Option<AnchorSetting> {
    section.problem("has an anchor that this build does not know");
    None
}

fn peer(mut section: Section<'_>, folder: &Path) -> Option<PeerSettings> {
    section.needs(&["name", "url", "public_keys"]);
    let name = section.text("name");
    let url = section.parsed("url", "an https URL that ends in /witness/v1", |text| {
        (text.starts_with("https://") && text.ends_with("/witness/v1")).then(|| text.to_owned())
    });
    let public_keys = section.list("public_keys", "a list of Ed25519 keys, 64 hex digits each", |text| {
        PublicKey::from_hex(text).ok().filter(|key| matches!(key, PublicKey::Ed25519(_)))
    });
    let ca_file = section.path("ca_file", folder);
    section.end();
    Some(PeerSettings { name: name?, url: url?, public_keys: public_keys?, ca_file })
}

fn submitter(mut section: Section<'_>) -> Option<Submitter> {
    section.needs(&["name", "tenants"]);
    let name = section.text("name");
    let tenants = section.list("tenants", "a list of tenants", |text| (!text.is_empty()).then(|| text.to_owned()));
    let uid = user(&mut section);
    let per_second = section.number("checkpoints_per_second", 1..=u64::from(u32::MAX));
    let spki_pin = section.parsed("spki_pin", "64 hex digits", |text| text.parse().ok());
    if uid.is_none() && spki_pin.is_none() {
        section.problem("needs one of user, uid and spki_pin");
    }
    section.end();
    Some(Submitter {
        name: name?,
        tenants: tenants.unwrap_or_default().into_iter().collect(),
        uid,
        spki_pin,
        checkpoints_per_second: per_second.and_then(|per_second| u32::try_from(per_second).ok()),
    })
}

/// Two of a name would share their pins, and two of a uid or a key could not be told apart.
fn refuse_same(section: &Section<'_>, submitters: &[Submitter]) {
    for (at, one) in submitters.iter().enumerate() {
        for other in &submitters[at + 1..] {
            let same = |a: bool, what| a.then(|| section.problem(&format!("has two submitters of one {what}")));
            same(one.name == other.name, "name");
            same(one.uid.is_some() && one.uid == other.uid, "user");
            same(one.spki_pin.is_some() && one.spki_pin == other.spki_pin, "spki_pin");
        }
    }
    // Whoever was called so would share the pins of the command line, or of the feed.
    if submitters.iter().any(|submitter| [OPERATOR, FEED].contains(&submitter.name.as_str())) {
        section.problem("has a submitter that is called like the operator or the feed");
    }
}

/// What an operator's own commands call themselves as submitters.
pub const OPERATOR: &str = "operator";

/// What streams are pinned to whose checkpoints come out of the feed.
pub const FEED: &str = "feed";

fn listen(mut section: Section<'_>, folder: &Path) -> Option<ListenSettings> {
    if section.is_empty() {
        return None;
    }
    section.needs(&["address", "certificate", "key", "client_ca"]);
    let address = section.parsed("address", "an address and a port", |text| text.parse().ok());
    let (certificate, key) = (section.path("certificate", folder), section.path("key", folder));
    let client_ca = section.path("client_ca", folder);
    section.end();
    Some(ListenSettings { address: address?, certificate: certificate?, key: key?, client_ca: client_ca? })
}
