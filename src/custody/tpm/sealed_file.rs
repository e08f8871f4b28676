use std::path::{Path, PathBuf};

use super::anchor::Indices;
use super::fault::Fault;
use super::link::Link;
use super::nv::Half;
use super::nv_index::NvIndex;
use super::policy::Reference;
use super::sealed::SealedSecret;
use super::{durable, error};
use crate::custody::{CustodyError, ErrorKind};
use crate::protocol::PublicKey;
use crate::protocol::json::{self, Object};

/// A sealed secret with its name, as it lies in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SealedFile {
    pub(super) content: Content,
    pub(super) secret: SealedSecret,
    /// Halves of what was sealed before with the generation of each, until they are destroyed: copies of earlier files
    /// would open with them.
    pub(super) replaced: Vec<(u32, Half)>,
}

/// What a secret is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// What writes to the indices of an anchor. They are named before they are made.
    Anchor { indices: Indices, is_made: bool },
    /// The seed of the Ed25519 key with this public half.
    Seed(PublicKey),
    /// What data keys are wrapped with, besides the half of each epoch.
    Wrapping,
}

const EXTENSION: &str = "sealed.json";

impl SealedFile {
    pub(super) fn path(folder: &Path, label: &str) -> PathBuf {
        folder.join(format!("{label}.{EXTENSION}"))
    }

    pub(super) fn read(folder: &Path, label: &str) -> Result<Self, CustodyError> {
        let path = Self::path(folder, label);
        let bytes = durable::read(&path)?;
        let file = json::parse(&bytes).ok().and_then(|object| Self::from_object(&object));
        file.ok_or_else(|| {
            let message = format!("{} does not read", path.display());
            error(ErrorKind::Broken, "read", message, "It was changed or damaged. Restore it; nothing was made anew.")
        })
    }

    /// A new secret, which takes the place of nothing.
    pub(super) const fn new(content: Content, secret: SealedSecret) -> Self {
        Self { content, secret, replaced: Vec::new() }
    }

    /// Destroys the halves of what was sealed before.
    pub(super) fn destroy_replaced(&self, link: &mut Link) -> Result<(), Fault> {
        let destroy = |(generation, half): &(u32, Half)| {
            half.destroy(link, &[Reference::Sealed { generation: *generation }]).map(drop)
        };
        self.replaced.iter().try_for_each(destroy)
    }

    /// The labels of all sealed secrets in the folder, in order.
    pub(super) fn labels(folder: &Path) -> Result<Vec<String>, CustodyError> {
        let paths = durable::list(folder)?;
        let label =
            |path: &PathBuf| Some(path.file_name()?.to_str()?.strip_suffix(EXTENSION)?.strip_suffix('.')?.to_owned());
        let mut labels: Vec<String> = paths.iter().filter_map(label).collect();
        labels.sort();
        Ok(labels)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.to_object().to_canonical()
    }

    fn to_object(&self) -> Object {
        let object = Object::new().with("version", 1u32).with("secret", self.secret.to_object());
        let named = |(generation, half): &(u32, Half)| {
            Object::new().with("generation", *generation).with("nv_index", half.to_string()).into()
        };
        let replaced: Vec<json::Value> = self.replaced.iter().map(named).collect();
        let object = if replaced.is_empty() { object } else { object.with("replaced", replaced) };
        match &self.content {
            Content::Anchor { indices, is_made } => object
                .with("kind", "anchor")
                .with("counter_nv_index", indices.counter.to_string())
                .with("floor_nv_index", indices.floor.to_string())
                .with("made", *is_made),
            Content::Seed(public) => object.with("kind", "ed25519-seed").with("public_key", public.to_hex()),
            Content::Wrapping => object.with("kind", "wrapping"),
        }
    }

    fn from_object(object: &Object) -> Option<Self> {
        let content = match object.get_str("kind")? {
            "anchor" => Content::Anchor { indices: indices(object)?, is_made: object.get("made")?.as_bool()? },
            "ed25519-seed" => Content::Seed(PublicKey::from_hex(object.get_str("public_key")?).ok()?),
            "wrapping" => Content::Wrapping,
            _ => return None,
        };
        let replaced = match object.get("replaced") {
            None => Vec::new(),
            Some(halves) => halves.as_array()?.iter().map(replaced_half).collect::<Option<_>>()?,
        };
        let file = Self { content, secret: SealedSecret::from_object(object.get_object("secret")?)?, replaced };
        (file.to_object() == *object).then_some(file)
    }
}

fn indices(object: &Object) -> Option<Indices> {
    let index = |name| NvIndex::from_name(object.get_str(name)?);
    Some(Indices { counter: index("counter_nv_index")?, floor: index("floor_nv_index")? })
}

fn replaced_half(half: &json::Value) -> Option<(u32, Half)> {
    let half = half.as_object()?;
    Some((half.get("generation")?.as_i64()?.try_into().ok()?, Half::from_name(half.get_str("nv_index")?)?))
}
