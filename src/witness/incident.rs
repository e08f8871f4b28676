use std::fmt;

use crate::custody::Floor;
use crate::facts::Timestamp;
use crate::protocol::json::{Object, Value};

/// What keeps a witness from signing until an operator has looked (I7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// What is wrong.
    pub what: What,
    /// Where the state stands, as far as it can be read.
    pub state: Option<Floor>,
    /// Where the anchor stands.
    pub anchor: Option<Floor>,
    /// More of it, in words.
    pub detail: Option<String>,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// The state has records, and its anchor is gone.
    AnchorMissing,
    /// The state is further ahead of its anchor than a crash leaves it.
    AnchorSetBack,
    /// The state and its anchor speak of different records.
    OtherHistory,
    /// Somebody holds a statement of ours that the state does not know.
    OwnSignatureAhead,
    /// The state ends before its anchor.
    RolledBack,
    /// What was written down is not as it was written.
    StateDamaged,
    /// There is an anchor, and no state.
    StateLost,
}

impl What {
    /// Each of them.
    pub const ALL: [Self; 7] = [
        Self::AnchorMissing,
        Self::AnchorSetBack,
        Self::OtherHistory,
        Self::OwnSignatureAhead,
        Self::RolledBack,
        Self::StateDamaged,
        Self::StateLost,
    ];

    /// The name as incidents carry it, and as an operator gives it to allow going on.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AnchorMissing => "anchor-missing",
            Self::AnchorSetBack => "anchor-set-back",
            Self::OtherHistory => "other-history",
            Self::OwnSignatureAhead => "own-signature-ahead",
            Self::RolledBack => "rollback-detected",
            Self::StateDamaged => "state-damaged",
            Self::StateLost => "state-lost",
        }
    }

    /// Reads the name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.name() == name)
    }

    const fn in_words(self) -> &'static str {
        match self {
            Self::AnchorMissing => "the witness's anchor is gone",
            Self::AnchorSetBack => "the witness's anchor was set back",
            Self::OtherHistory => "the witness's state and its anchor speak of different records",
            Self::OwnSignatureAhead => "somebody holds a statement of this witness that its state does not know",
            Self::RolledBack => "rollback detected: the witness's state ends before its anchor",
            Self::StateDamaged => "the witness's state is not as it was written",
            Self::StateLost => "the witness's state is gone, and its anchor is there",
        }
    }
}

impl Incident {
    /// What is wrong with a state, compared with its anchor.
    pub const fn new(what: What, state: Option<Floor>, anchor: Option<Floor>) -> Self {
        Self { what, state, anchor, detail: None }
    }

    /// What was written down is not as it was written.
    pub fn damaged(detail: &str, anchor: Option<Floor>) -> Self {
        Self { detail: Some(detail.to_owned()), ..Self::new(What::StateDamaged, None, anchor) }
    }

    /// What the witness signs of it.
    pub fn to_object(&self, witness_id: &str, found_at: Timestamp) -> Object {
        Object::new()
            .with("kind", "incident")
            .with("what", self.what.name())
            .with("witness_id", witness_id)
            .with("state", floor(self.state))
            .with("anchor", floor(self.anchor))
            .with("detail", self.detail.clone())
            .with("found_at", found_at.to_string())
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what.in_words())?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        let count = |floor: Option<Floor>| floor.map_or_else(|| "none".to_owned(), |floor| floor.count.to_string());
        if self.state.is_some() || self.anchor.is_some() {
            write!(f, " (state {}, anchor {})", count(self.state), count(self.anchor))?;
        }
        Ok(())
    }
}

fn floor(floor: Option<Floor>) -> Value {
    match floor {
        Some(floor) => Object::new().with("count", floor.count).with("root", floor.root.to_string()).into(),
        None => Value::Null,
    }
}
