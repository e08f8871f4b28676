use rusqlite::{Connection, OptionalExtension as _, params};

use super::WitnessError;
use super::change::learn;
use super::incident::{Incident, What};
use super::record::{self, Kind};
use super::request::Checked;
use super::secret::Secret;
use super::stream::{Stream, StreamName};
use super::turn::{Turn, UNREADABLE, read_receipt};
use crate::facts::Timestamp;
use crate::protocol::json::Object;
use crate::protocol::witness::Statement;

impl Turn<'_> {
    /// Looks whether the submitter holds a statement of ours that is not among the records. Then the state was rolled
    /// back, or somebody signs with a copy of the key: nothing more is signed, and both are kept.
    ///
    /// Once an operator has let it go on behind what was lost, what was signed before that is no news. There may be a
    /// statement for each number that was lost, and whoever shows one would stop everybody once more. So each becomes a
    /// floor, as the one that the operator was told of.
    pub(super) fn look_back(&mut self, checked: &Checked) -> Result<Option<Incident>, WitnessError> {
        for known in &checked.known {
            let statement = &known.statement;
            if !self.state.is_ours(&known.key) || self.has(statement)? {
                continue;
            }
            let stream = Stream::find(self.db, &StreamName::from(&statement.submission))?;
            if self.was_lost(statement)? && self.fits(stream.as_ref(), statement)? {
                learn(self, statement)?;
                continue;
            }
            let what = What::OwnSignatureAhead;
            let head = stream.and_then(|stream| stream.head);
            let body = Object::new()
                .with("what", what.name())
                .with("statement", statement.to_object())
                .with("receipt", known.receipt.clone())
                .with("head_seq_no", head.as_ref().map(|head| head.checkpoint_seq_no))
                .with("head_hash", head.map(|head| head.checkpoint_hash));
            self.state.append(self.db, self.secret, Kind::Incident, &body)?;
            self.state.stopped = Some(what.name().to_owned());
            return Ok(Some(Incident::new(what, Some(self.state.floor), None)));
        }
        Ok(None)
    }

    /// Whether a statement is among the records: receipted in any origin of its stream, or shown to us before, when
    /// somebody allowed us to go on from that.
    fn has(&self, statement: &Statement) -> Result<bool, WitnessError> {
        Ok(self.has_receipted(statement)? || shown(self.db, self.secret)?.contains(statement))
    }

    fn has_receipted(&self, statement: &Statement) -> Result<bool, WitnessError> {
        let Some(stream) = Stream::find(self.db, &StreamName::from(&statement.submission))? else { return Ok(false) };
        let sql = "SELECT n FROM receipts WHERE stream = ?1 AND seq_no = ?2";
        let mut rows = self.db.prepare_cached(sql)?;
        let rows = rows.query_map(params![stream.row, statement.submission.checkpoint_seq_no], |row| row.get(0))?;
        for n in rows {
            if read_receipt(self.db, self.secret, n?)?.content == *statement {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a statement is from before an operator last let the witness go on.
    fn was_lost(&self, statement: &Statement) -> Result<bool, WitnessError> {
        let sql = "SELECT n, kind FROM records WHERE kind IN ('begun', 'reconciled') ORDER BY n DESC LIMIT 1";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?));
        let last = self.db.prepare_cached(sql)?.query_row([], row).optional()?;
        let (n, kind) = last.ok_or(UNREADABLE)?;
        let word = match kind == Kind::Begun.name() {
            true => record::read(self.db, self.secret, n, Kind::Begun)?.get_object("allowed").cloned(),
            false => Some(record::read(self.db, self.secret, n, Kind::Reconciled)?),
        };
        // A state that was begun without a word has lost nothing that anybody knows of.
        let Some(word) = word else { return Ok(false) };
        let at = word.get_str("at").and_then(|at| Timestamp::parse(at).ok()).ok_or(UNREADABLE)?;
        Ok(statement.accepted_at <= at)
    }

    /// Whether a statement may stand beside what was witnessed since. Of a stream that was begun anew it is not known on
    /// which side of that it belongs.
    fn fits(&self, stream: Option<&Stream>, statement: &Statement) -> Result<bool, WitnessError> {
        let Some(stream) = stream else { return Ok(true) };
        let (number, hash) = (statement.submission.checkpoint_seq_no, &statement.submission.checkpoint_hash);
        let is_rival =
            stream.head.as_ref().is_some_and(|head| head.checkpoint_seq_no == number && head.checkpoint_hash != *hash);
        let receipted = self.receipted(stream, number)?;
        let is_receipted = receipted.is_none_or(|ours| ours.content.submission.checkpoint_hash == *hash);
        Ok(stream.origin == 0 && !is_rival && is_receipted)
    }
}

/// The statement of ours that stopped the witness last, as somebody showed it.
pub(super) fn shown_last(db: &Connection, secret: &Secret) -> Result<Option<Statement>, WitnessError> {
    Ok(shown(db, secret)?.pop())
}

/// Statements of ours that somebody has shown to us and that we did not know.
fn shown(db: &Connection, secret: &Secret) -> Result<Vec<Statement>, WitnessError> {
    let mut rows = db.prepare_cached("SELECT n FROM records WHERE kind = 'incident' ORDER BY n")?;
    let incidents = rows.query_map([], |row| row.get(0))?;
    let statement = |n: rusqlite::Result<u64>| {
        let body = record::read(db, secret, n?, Kind::Incident)?;
        let statement = body.get_object("statement").and_then(|statement| Statement::from_object(statement).ok());
        statement.ok_or(UNREADABLE)
    };
    incidents.map(statement).collect()
}
