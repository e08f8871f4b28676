use rusqlite::{Connection, OptionalExtension as _, params};

use super::WitnessError;
use super::record::{Kind, append};
use super::secret::{Secret, Tag};
use super::sum::Sum;
use crate::custody::Floor;
use crate::facts::{Framed, Timestamp};
use crate::protocol::PublicKey;
use crate::protocol::json::{self, Object, Value};

/// A key of ours, now or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnKey {
    /// The name under which verifiers know it.
    pub kid: String,
    /// Its public half.
    pub public_key: PublicKey,
    /// The record from which on it signs.
    pub since: u64,
}

/// How far the records go and what they amount to, as of the last commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) state_id: String,
    /// The last record and what all of them lead to.
    pub(super) floor: Floor,
    /// The record that the last transaction began behind: so far back an anchor may be that a crash kept from following.
    pub(super) behind: u64,
    /// No statement is dated before this.
    pub(super) last_time: Timestamp,
    /// In their order; the last one signs.
    pub(super) keys: Vec<OwnKey>,
    /// The incident that nobody has allowed to go on from.
    pub(super) stopped: Option<String>,
    /// Over all streams.
    pub(super) sum: Sum,
}

impl State {
    /// Appends a record.
    pub(super) fn append(
        &mut self,
        db: &Connection,
        secret: &Secret,
        kind: Kind,
        body: &Object,
    ) -> Result<u64, WitnessError> {
        self.append_at(db, secret, self.floor.count + 1, kind, body)
    }

    /// The same under a number that leaves some out.
    pub(super) fn append_at(
        &mut self,
        db: &Connection,
        secret: &Secret,
        n: u64,
        kind: Kind,
        body: &Object,
    ) -> Result<u64, WitnessError> {
        self.floor = append(db, secret, &self.floor, n, kind, body)?;
        Ok(n)
    }

    /// The key that signs.
    pub(super) fn key(&self) -> Result<&OwnKey, WitnessError> {
        self.keys.last().ok_or(WitnessError::Damaged("the state names no key"))
    }

    /// Whether a key is or was ours.
    pub(super) fn is_ours(&self, key: &PublicKey) -> bool {
        self.keys.iter().any(|own| own.public_key == *key)
    }

    /// Puts the first row there; [`keep`](Self::keep) follows.
    pub(super) fn begin(&self, db: &Connection) -> Result<(), WitnessError> {
        let sql = "INSERT INTO state (id, state_id, count, root, behind, last_time, keys, mac) VALUES (1, ?1, ?2, ?3, 0, 0, '', x'')";
        db.execute(sql, params![self.state_id, self.floor.count, self.floor.root.as_bytes()])?;
        Ok(())
    }

    /// Writes it down, where the file still is at `before`.
    ///
    /// The comparison stands in the statement that writes. What is decided upon was read from this row when the process
    /// opened the file, and has been in its memory since; that nobody else writes meanwhile rests on a lock file, which
    /// may be deleted, or lie on a file system that keeps no locks. Then two processes decide upon the same head, both
    /// commit, and both sign: two statements of one number. So the second one must find that the row has moved on. What
    /// it has decided is undone with its transaction, before anything is signed. A file that was put in its place
    /// meanwhile may have come to the same count by other records, so that the root is compared too.
    pub(super) fn keep(&mut self, db: &Connection, secret: &Secret, before: &Floor) -> Result<(), WitnessError> {
        if self.floor != *before {
            self.behind = before.count;
        }
        let Self { floor, behind, last_time, stopped, .. } = &*self;
        let sql =
            "UPDATE state SET count = ?1, root = ?2, last_time = ?3, keys = ?4, stopped = ?5, mac = ?6, behind = ?8
                   WHERE id = 1 AND count = ?7 AND root = ?9";
        let moved = db.prepare_cached(sql)?.execute(params![
            floor.count,
            floor.root.as_bytes(),
            last_time.as_millis(),
            self.keys_json(),
            stopped,
            self.mac(secret),
            before.count,
            behind,
            before.root.as_bytes()
        ])?;
        if moved == 1 { Ok(()) } else { Err(WitnessError::Raced) }
    }

    /// The file still is where this is, or another process wrote to it.
    pub(super) fn is_still(&self, db: &Connection) -> Result<(), WitnessError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM state WHERE id = 1 AND count = ?1 AND root = ?2)";
        let Floor { count, root } = &self.floor;
        let is_still: bool = db.prepare_cached(sql)?.query_row(params![count, root.as_bytes()], |row| row.get(0))?;
        if is_still { Ok(()) } else { Err(WitnessError::Raced) }
    }

    /// Reads the row, and not the sum: that is over what is in the file. `None` where nothing was begun.
    pub(super) fn read(db: &Connection) -> Result<Option<(Self, Tag)>, WitnessError> {
        let sql = "SELECT state_id, count, root, last_time, keys, stopped, mac, behind FROM state";
        let row = db.query_row(sql, [], |row| {
            let root: [u8; 32] = row.get(2)?;
            let floor = Floor { count: row.get(1)?, root: crate::facts::Digest::from_bytes(root) };
            let keys: String = row.get(4)?;
            let last_time = Timestamp::from_millis(row.get(3)?);
            let state = Self {
                state_id: row.get(0)?,
                floor,
                behind: row.get(7)?,
                last_time,
                keys: Vec::new(),
                stopped: row.get(5)?,
                sum: Sum::default(),
            };
            Ok((state, keys, row.get::<_, Tag>(6)?))
        });
        let Some((mut state, keys, mac)) = row.optional()? else { return Ok(None) };
        state.keys = keys_of(&keys).ok_or(WitnessError::Damaged("the state's keys do not read"))?;
        Ok(Some((state, mac)))
    }

    /// Over everything but the file's own identity, which the secret is bound to.
    pub(super) fn mac(&self, secret: &Secret) -> Tag {
        let Self { floor, behind, last_time, stopped, sum, .. } = self;
        let stopped =
            stopped.as_ref().map_or(Framed::new("goes-on"), |why| Framed::new("stopped").bytes(why.as_bytes()));
        let state = Framed::new("state")
            .number(floor.count)
            .bytes(floor.root.as_bytes())
            .number(*behind)
            .number(last_time.as_millis().unsigned_abs())
            .bytes(self.keys_json().as_bytes())
            .bytes(stopped.as_bytes())
            .bytes(&sum.to_bytes());
        secret.mac(&state)
    }

    fn keys_json(&self) -> String {
        let keys: Vec<Object> = self.keys.iter().map(OwnKey::to_object).collect();
        let text = Object::new().with("keys", keys).to_canonical();
        String::from_utf8(text).unwrap_or_default()
    }
}

impl OwnKey {
    /// As identities and records show it.
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("alg", "ed25519")
            .with("kid", self.kid.as_str())
            .with("public_key_hex", self.public_key.to_hex())
            .with("since", self.since)
    }

    fn from_object(object: &Object) -> Option<Self> {
        Some(Self {
            kid: object.get_str("kid")?.to_owned(),
            public_key: PublicKey::from_hex(object.get_str("public_key_hex")?).ok()?,
            since: object.get("since").and_then(Value::as_i64)?.try_into().ok()?,
        })
    }
}

fn keys_of(text: &str) -> Option<Vec<OwnKey>> {
    let object = json::parse(text.as_bytes()).ok()?;
    object.get("keys")?.as_array()?.iter().map(|key| OwnKey::from_object(key.as_object()?)).collect()
}
