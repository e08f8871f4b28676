use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::custody::{Anchor, AnchorKind, CustodyError, ErrorKind, Floor, FloorPlace, PurposeKey};
use crate::facts::{folder_of, with_suffix};
use crate::protocol::json::{self, Object, Value};
use crate::protocol::witness::{document_preimage, signed_document, verify_document};

/// A floor that the witness's key signs, kept in a second place: on another disk, or in a token's data object. Whoever
/// can write there can set it back to an earlier one, which is signed too; so it finds a restored disk or file, and not
/// somebody who restores both.
pub struct SignedFloor {
    place: Box<dyn FloorPlace>,
    witness_id: String,
    /// The last one signs, so that the one before it can be taken away once it was followed by that; a floor of any of
    /// them is believed.
    keys: Vec<PurposeKey>,
}

impl SignedFloor {
    /// A floor of this witness, signed with the last of its keys.
    pub fn new(place: Box<dyn FloorPlace>, witness_id: &str, keys: Vec<PurposeKey>) -> Self {
        Self { place, witness_id: witness_id.to_owned(), keys }
    }

    fn write(&self, floor: &Floor) -> Result<(), CustodyError> {
        let key = self.keys.last().ok_or_else(|| odd("no key signs the floor"))?;
        let document = Object::new()
            .with("kind", KIND)
            .with("witness_id", self.witness_id.as_str())
            .with("count", floor.count)
            .with("root", floor.root.to_string());
        let signature = key.sign(&document_preimage(&document))?;
        self.place.write(&signed_document(&document, key.kid(), key.public_key(), &signature).to_canonical())
    }
}

impl Anchor for SignedFloor {
    fn kind(&self) -> Result<AnchorKind, CustodyError> {
        Ok(AnchorKind::Rewritable)
    }

    fn read(&self) -> Result<Option<Floor>, CustodyError> {
        let Some(bytes) = self.place.read()? else { return Ok(None) };
        let object = json::parse(&bytes).map_err(|_| odd("the witness's floor does not read"))?;
        let verified = self.keys.iter().find_map(|key| verify_document(&object, KIND, key.public_key()).ok());
        let document = verified.ok_or_else(|| odd("the witness's floor is not signed with its key"))?;
        if document.get_str("witness_id") != Some(&self.witness_id) {
            return Err(odd("the floor is that of another witness"));
        }
        let count = document.get("count").and_then(Value::as_i64).and_then(|count| count.try_into().ok());
        let root = document.get_str("root").and_then(|root| root.parse().ok());
        let read = count.zip(root).map(|(count, root)| Floor { count, root });
        read.map(Some).ok_or_else(|| odd("the witness's floor does not read"))
    }

    fn begin(&self, floor: &Floor) -> Result<(), CustodyError> {
        if self.read()?.is_some() {
            return Err(odd("there is a floor already"));
        }
        self.write(floor)
    }

    fn advance(&self, floor: &Floor) -> Result<(), CustodyError> {
        match self.read()? {
            None => Err(odd("the witness's floor is gone")),
            Some(there) if there == *floor => Ok(()),
            Some(there) if there.count >= floor.count => Err(odd("the witness's floor is further on")),
            Some(_) => self.write(floor),
        }
    }
}

impl fmt::Debug for SignedFloor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedFloor({:?})", self.place)
    }
}

/// A floor in a file.
#[derive(Debug)]
pub struct FloorFile(pub PathBuf);

impl FloorPlace for FloorFile {
    fn read(&self) -> Result<Option<Vec<u8>>, CustodyError> {
        match fs::read(&self.0) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.refuse_a_missing_disk(),
            Err(e) => Err(self.failed(&e)),
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), CustodyError> {
        let draft = with_suffix(&self.0, ".draft");
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&draft, &self.0)?;
            File::open(folder_of(&self.0))?.sync_all()
        })();
        written.map_err(|e| self.failed(&e))
    }
}

impl FloorFile {
    /// A folder that is gone is a disk that is not mounted, and no floor that was never there.
    fn refuse_a_missing_disk(&self) -> Result<Option<Vec<u8>>, CustodyError> {
        match fs::metadata(folder_of(&self.0)) {
            Ok(_) => Ok(None),
            Err(e) => Err(self.failed(&e)),
        }
    }

    fn failed(&self, error: &io::Error) -> CustodyError {
        let message = format!("the witness's floor at {}: {error}", self.0.display());
        CustodyError::new(ErrorKind::Away, "floor", "file", message, "Nothing was signed. Is its disk there?")
    }
}

const KIND: &str = "floor";

fn odd(message: &str) -> CustodyError {
    let advice = "Nothing was signed. Look at what became of the place where the floor is kept.";
    CustodyError::new(ErrorKind::Broken, "floor", "read", message, advice)
}
