use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use local_vault::custody::{
    Anchor, AnchorKind, CustodyError, ErrorKind, Floor, Protection, SharedSigningKey, SigningKey,
};
use local_vault::protocol::{Preimage, PublicKey, Signature};

/// How a device fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does what it is asked for.
    None,
    /// It does nothing and says so.
    Away,
    /// It does what it is asked for, and says that it did not.
    Late,
}

/// An anchor in memory that fails as it is told: what no file does on demand.
#[derive(Default)]
pub(crate) struct Device {
    floor: Mutex<Option<Floor>>,
    fault: Mutex<Option<Fault>>,
    steps: AtomicUsize,
}

impl Device {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn fails(&self, fault: Fault) {
        *self.fault.lock().unwrap() = Some(fault);
    }

    pub(crate) fn count(&self) -> u64 {
        self.floor.lock().unwrap().map_or(0, |floor| floor.count)
    }

    /// Calls to raise it, whatever came of them.
    pub(crate) fn steps(&self) -> usize {
        self.steps.load(Ordering::SeqCst)
    }

    fn keep(&self, floor: &Floor) -> Result<(), CustodyError> {
        self.steps.fetch_add(1, Ordering::SeqCst);
        let fault = self.fault.lock().unwrap().unwrap_or(Fault::None);
        if fault == Fault::Away {
            return Err(away());
        }
        let mut there = self.floor.lock().unwrap();
        // As the trait has it.
        assert!(there.is_none_or(|there| there.count < floor.count || there == *floor), "{there:?}, {floor:?}");
        *there = Some(*floor);
        if fault == Fault::Late { Err(away()) } else { Ok(()) }
    }
}

impl Anchor for Device {
    fn kind(&self) -> Result<AnchorKind, CustodyError> {
        Ok(AnchorKind::Tpm)
    }

    fn read(&self) -> Result<Option<Floor>, CustodyError> {
        match *self.fault.lock().unwrap() {
            Some(Fault::Away) => Err(away()),
            _ => Ok(*self.floor.lock().unwrap()),
        }
    }

    fn begin(&self, floor: &Floor) -> Result<(), CustodyError> {
        assert_eq!(self.count(), 0);
        self.keep(floor)
    }

    fn advance(&self, floor: &Floor) -> Result<(), CustodyError> {
        assert_ne!(self.count(), 0);
        self.keep(floor)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Device")
    }
}

/// A key that counts what it signed, and whose device may be away.
#[derive(Debug)]
pub(crate) struct CountingKey {
    key: SharedSigningKey,
    is_away: Mutex<bool>,
    signed: AtomicUsize,
}

impl CountingKey {
    pub(crate) fn new(key: SharedSigningKey) -> Arc<Self> {
        Arc::new(Self { key, is_away: Mutex::new(false), signed: AtomicUsize::new(0) })
    }

    pub(crate) fn goes_away(&self, is_away: bool) {
        *self.is_away.lock().unwrap() = is_away;
    }

    pub(crate) fn signed(&self) -> usize {
        self.signed.load(Ordering::SeqCst)
    }
}

impl SigningKey for CountingKey {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn protection(&self) -> Protection {
        self.key.protection()
    }

    fn sign(&self, preimage: &Preimage) -> Result<Signature, CustodyError> {
        if *self.is_away.lock().unwrap() {
            return Err(away());
        }
        self.signed.fetch_add(1, Ordering::SeqCst);
        self.key.sign(preimage)
    }
}

fn away() -> CustodyError {
    CustodyError::new(ErrorKind::Away, "test", "step", "away", "")
}
