use rusqlite::{Connection, OptionalExtension as _, params};

use super::WitnessError;
use super::secret::{Secret, Tag};
use crate::custody::Floor;
use crate::facts::{Digest, Framed};
use crate::protocol::json::{self, Object};

/// What a record tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A checkpoint was accepted: its statement.
    Accepted,
    /// The state was begun.
    Begun,
    /// A checkpoint contradicts its stream: the evidence.
    Forked,
    /// A database of the published package was taken over.
    Imported,
    /// Something is wrong; nothing is signed until an operator allows it.
    Incident,
    /// Peers had witnessed more of some streams: their heads are our floors.
    Raised,
    /// An operator allowed it to go on.
    Reconciled,
    /// An operator began a stream anew.
    Reoriginated,
    /// Another key signs from now on.
    Rotated,
    /// An operator added a stream.
    StreamAdded,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Begun => "begun",
            Self::Forked => "forked",
            Self::Imported => "imported",
            Self::Incident => "incident",
            Self::Raised => "raised",
            Self::Reconciled => "reconciled",
            Self::Reoriginated => "reoriginated",
            Self::Rotated => "rotated",
            Self::StreamAdded => "stream-added",
        }
    }
}

/// Where the chain begins: before any record.
pub(super) const START: Floor = Floor { count: 0, root: Digest::from_bytes([0; 32]) };

/// The chain with one more record.
pub(super) fn link(before: &Floor, n: u64, kind: &str, body: &[u8]) -> Floor {
    let record = Framed::new("local-vault.witness-record.v1").bytes(before.root.as_bytes()).number(n);
    let record = record.bytes(kind.as_bytes()).bytes(body);
    Floor { count: n, root: Digest::of(record.as_bytes()) }
}

/// Appends a record and gives the chain that it leads to.
pub(super) fn append(
    db: &Connection,
    secret: &Secret,
    before: &Floor,
    n: u64,
    kind: Kind,
    body: &Object,
) -> Result<Floor, WitnessError> {
    let body = body.to_canonical();
    let mac = mac(secret, n, kind.name(), &body);
    let sql = "INSERT INTO records (n, kind, body, mac) VALUES (?1, ?2, ?3, ?4)";
    db.prepare_cached(sql)?.execute(params![n, kind.name(), body, mac])?;
    Ok(link(before, n, kind.name(), &body))
}

/// Reads a record that must be there, of that kind, and as it was written.
pub(super) fn read(db: &Connection, secret: &Secret, n: u64, kind: Kind) -> Result<Object, WitnessError> {
    let sql = "SELECT kind, body, mac FROM records WHERE n = ?1";
    let row =
        |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Tag>(2)?));
    let found = db.prepare_cached(sql)?.query_row([n], row).optional()?;
    let (found, body, tag) = found.ok_or(WitnessError::Damaged("a record is gone"))?;
    if found != kind.name() || tag != mac(secret, n, &found, &body) {
        return Err(WitnessError::Damaged("a record was changed"));
    }
    json::parse(&body).map_err(|_| WitnessError::Damaged("a record does not read"))
}

/// Follows the records behind `from` up to `to`, each authenticated, and gives the chain that they lead to.
pub(super) fn follow(db: &Connection, secret: &Secret, from: &Floor, to: u64) -> Result<Floor, WitnessError> {
    let sql = "SELECT n, kind, body, mac FROM records WHERE n > ?1 AND n <= ?2 ORDER BY n";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params![from.count, to])?;
    let mut chain = *from;
    while let Some(row) = rows.next()? {
        let (n, kind, body): (u64, String, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if row.get::<_, Tag>(3)? != mac(secret, n, &kind, &body) {
            return Err(WitnessError::Damaged("a record was changed"));
        }
        chain = link(&chain, n, &kind, &body);
    }
    Ok(chain)
}

pub(super) fn mac(secret: &Secret, n: u64, kind: &str, body: &[u8]) -> Tag {
    secret.mac(&Framed::new("record").number(n).bytes(kind.as_bytes()).bytes(body))
}
