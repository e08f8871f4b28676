use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use local_vault::custody::{Anchor, Purpose, PurposeKey, SharedSigningKey, Signer, WrappingKey};
use local_vault::protocol::json::Object;
use local_vault::protocol::witness::{Rules, Submission, verify_receipt};
use local_vault::witness::{
    Closing, Desk, FloorFile, Request, Setup, SignedFloor, Verdict, What, Witness, WitnessError,
};
use tempfile::TempDir;

use super::custody;
use super::witness::{self, AS_PUBLISHED};

/// A witness's folder, and another disk beside it.
pub(crate) struct Place {
    folder: PathBuf,
    /// None where it is another process's.
    _gone_with_it: Option<TempDir>,
    pub(crate) key: SharedSigningKey,
    signer: Signer,
    wrapping: Option<Arc<dyn WrappingKey>>,
    has_floor: bool,
    device: Option<Arc<dyn Anchor>>,
}

impl Place {
    /// Without anchor, and authenticated where there is a key to wrap with.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        fs::create_dir(folder.path().join("disk")).unwrap();
        let place = Self::at(folder.path());
        Self { _gone_with_it: Some(folder), ..place }
    }

    /// Another process's.
    pub(crate) fn at(folder: &Path) -> Self {
        let key = custody::signing_key(7);
        Self {
            folder: folder.to_owned(),
            _gone_with_it: None,
            signer: witness::signer("k", key.clone()),
            key,
            wrapping: Some(custody::spool_keys(7).wrapping),
            has_floor: false,
            device: None,
        }
    }

    /// The same of another key.
    pub(crate) fn with_key(self, number: u8) -> Self {
        let key = custody::signing_key(number);
        Self { signer: witness::signer("k", key.clone()), key, ..self }
    }

    /// With its floor on the other disk.
    pub(crate) fn with_floor() -> Self {
        Self::new().floored()
    }

    pub(crate) fn floored(self) -> Self {
        Self { has_floor: true, ..self }
    }

    /// With an anchor of its own.
    pub(crate) fn anchored(self, device: Arc<dyn Anchor>) -> Self {
        Self { device: Some(device), ..self }
    }

    /// What was written down is not authenticated.
    pub(crate) fn unsealed(self) -> Self {
        Self { wrapping: None, ..self }
    }

    /// The folder of the state.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The other disk.
    pub(crate) fn disk(&self) -> PathBuf {
        self.folder.join("disk")
    }

    /// Somewhere else, for copies.
    pub(crate) fn aside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.state().join("witness.sqlite3")
    }

    pub(crate) fn floor(&self) -> FloorFile {
        FloorFile(self.disk().join("floor.json"))
    }

    /// The floor's anchor, over a place of the test's choice.
    pub(crate) fn anchor(&self, place: impl local_vault::custody::FloorPlace + 'static) -> Arc<dyn Anchor> {
        let key = PurposeKey::bind(Purpose::Witness, "k", self.key.clone()).unwrap();
        Arc::new(SignedFloor::new(Box::new(place), "ins_1", vec![key]))
    }

    pub(crate) fn setup(&self) -> Setup {
        let anchor = self.has_floor.then(|| self.anchor(self.floor())).or_else(|| self.device.clone());
        // As with a config file.
        let rules = Rules { evidence_each_time: false, ..AS_PUBLISHED };
        Setup { anchor, wrapping: self.wrapping.clone(), rules, ..witness::setup(self.signer.clone()) }
    }

    pub(crate) fn open(&self) -> Result<(Desk, Closing), WitnessError> {
        Desk::start(Witness::open(&self.path(), self.setup())?)
    }

    /// What a command does: opens, submits, closes.
    pub(crate) async fn submit(&self, submission: &Submission) -> Result<Verdict, WitnessError> {
        witness::submit(&self.path(), self.setup(), submission).await
    }

    /// Accepts all of these.
    pub(crate) async fn accept(&self, submissions: &[Submission]) -> Vec<Object> {
        let (desk, closing) = self.open().unwrap();
        let receipts = accept(&desk, submissions).await;
        closing.close(desk).await;
        receipts
    }
}

/// Accepts all of these at one desk, and gives the receipts.
pub(crate) async fn accept(desk: &Desk, submissions: &[Submission]) -> Vec<Object> {
    let mut receipts = Vec::new();
    for submission in submissions {
        receipts.push(accepted(desk.submit(Request::new(submission.clone(), "operator")).await));
    }
    receipts
}

pub(crate) fn accepted(verdict: Result<Verdict, WitnessError>) -> Object {
    match verdict {
        Ok(Verdict::Accepted(receipt)) => receipt,
        other => panic!("not accepted: {other:?}"),
    }
}

pub(crate) fn replayed(verdict: Result<Verdict, WitnessError>) -> Object {
    match verdict {
        Ok(Verdict::Replayed(receipt)) => receipt,
        other => panic!("not replayed: {other:?}"),
    }
}

/// What an operator is told of.
pub(crate) fn incident<T: std::fmt::Debug>(refused: Result<T, WitnessError>) -> What {
    match refused {
        Err(WitnessError::Incident(incident)) => incident.what,
        other => panic!("no incident: {other:?}"),
    }
}

/// All that was ever signed, by stream and number: the hashes. Whatever happens to a state, there is one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signed(BTreeMap<(String, i64), BTreeSet<String>>);

impl Signed {
    pub(crate) fn see(&mut self, receipt: &Object, key: &SharedSigningKey) {
        let submission = verify_receipt(receipt, key.public_key()).unwrap().submission;
        let number = (submission.stream_id, submission.checkpoint_seq_no);
        self.0.entry(number).or_default().insert(submission.checkpoint_hash);
    }

    /// Numbers for which two histories were signed.
    pub(crate) fn forks(&self) -> usize {
        self.0.values().filter(|hashes| hashes.len() > 1).count()
    }
}

/// Makes `to` what `from` is, without what else is there.
pub(crate) fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
