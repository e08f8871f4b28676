//! A look at everything that lies in a spool: what is damaged, and what does not agree.

mod whole;

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::open::Inner;
use super::{
    Event, Filter, PAYLOAD_DRIFT, SCHEMA, Spool, SpoolError, SpoolReader, State, aside, outbox, reader, record, row,
};
use crate::protocol::bundle::{BundleError, TrustedKeys};
use crate::protocol::gap::GapRecord;
use crate::protocol::json;
use crate::store::{self, Access};

/// A look at every record, over a connection of its own. It holds nobody up, and sees what others write meanwhile.
#[derive(Debug)]
pub struct Check {
    reader: SpoolReader,
    inner: Arc<Inner>,
    after: i64,
}

/// What a part of the look showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Events that were looked at.
    pub events: u64,
    /// Those that are damaged.
    pub damaged: Vec<Damaged>,
}

/// A damaged event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// What its row says; any of it may be what was changed.
    pub event: Event,
    /// What does not hold.
    pub what: &'static str,
}

impl Spool {
    /// Begins a look at every record. Blocks.
    pub fn start_check(&self) -> Result<Check, SpoolError> {
        let db = store::open(&self.inner.path, &SCHEMA, Access::Read)?;
        let reader = SpoolReader { db, path: self.inner.path.clone() };
        Ok(Check { reader, inner: self.inner.clone(), after: 0 })
    }

    /// Sets the pending event at this place in the order aside, where its record does not open, with a signed record in
    /// its place. False where there is no such event, where it is in flight, or where it opens: nothing is changed then.
    /// By its place, since its id may be what is damaged.
    pub async fn quarantine(&self, seq: i64) -> Result<bool, SpoolError> {
        let inner = self.inner.clone();
        self.writer
            .run(move |db| {
                let sql = format!("{} WHERE e.seq = ?1 AND state <> 1", row::SELECT_PENDING_SEALED);
                let found = db.prepare_cached(&sql)?.query_row([seq], row::sealed_row).optional()?;
                let Some((mut event, sealed)) = found else { return Ok(false) };
                match record::open(db, &inner.epochs, &inner.spool_id, &event, &sealed) {
                    Ok(_) => Ok(false),
                    Err(SpoolError::Tampered { .. }) => {
                        aside::set_aside(db, &inner, &mut event, sealed.ciphertext.len(), inner.clock.now())?;
                        Ok(true)
                    }
                    Err(e) => Err(e),
                }
            })
            .await
    }
}

impl Check {
    /// Looks at the next `limit` events, in order: the seal and the hash of each, its tombstone, and the answer that
    /// settled it with the signature of what was sent. `None` where all were looked at. Blocks.
    pub fn next(&mut self, limit: usize) -> Result<Option<Checked>, SpoolError> {
        let events = self.reader.list(&Filter { after: self.after, limit, ..Filter::default() })?;
        let Some(last) = events.last() else { return Ok(None) };
        self.after = last.seq;
        let mut checked = Checked { events: events.len() as u64, damaged: Vec::new() };
        for event in events {
            if let Some(what) = self.fault(&event)? {
                // It may have been sent or purged while it was looked at, so what it is now decides.
                let now = self.reader.event(event.event_id)?.unwrap_or(event);
                if self.fault(&now)?.is_some() {
                    checked.damaged.push(Damaged { event: now, what });
                }
            }
        }
        Ok(Some(checked))
    }

    /// What the whole must agree on: the totals, that no event is gone, and that nothing lies there that belongs to
    /// nothing. With `pages`, every page of the file too, which takes seconds for each gigabyte. What others write
    /// meanwhile stays in the write-ahead log. Blocks.
    pub fn finish(self, pages: bool) -> Result<Vec<String>, SpoolError> {
        let db = &self.reader.db;
        let tx = db.unchecked_transaction()?;
        let mut found = whole::look(&tx)?;
        drop(tx);
        if pages {
            let mut statement = db.prepare("PRAGMA integrity_check")?;
            let lines = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
            found.extend(lines.into_iter().filter(|line| line != "ok"));
        }
        Ok(found)
    }

    /// What does not hold of an event.
    fn fault(&self, event: &Event) -> Result<Option<&'static str>, SpoolError> {
        Ok(match self.content_fault(event)? {
            Some(what) => Some(what),
            None if !event.state.is_settled() => None,
            None if event.state == State::Dead && event.last_error.as_deref() == Some(PAYLOAD_DRIFT) => {
                self.gap_fault(event)?
            }
            None => self.answer_fault(event)?,
        })
    }

    fn content_fault(&self, event: &Event) -> Result<Option<&'static str>, SpoolError> {
        let (db, inner) = (&self.reader.db, &self.inner);
        match reader::sealed(db, event.seq)? {
            Some(sealed) => match record::open(db, &inner.epochs, &inner.spool_id, event, &sealed) {
                Ok(_) => {}
                // Set aside for this very reason, and told of then.
                Err(SpoolError::Tampered { .. }) if self.is_set_aside(event)? => return self.gap_fault(event),
                Err(SpoolError::Tampered { .. }) => {
                    return Ok(Some("its record does not open, or its row was changed"));
                }
                Err(e) => return Err(e),
            },
            None if event.state.is_settled() && !has_content(db, event.seq)? => {}
            None if self.is_set_aside(event)? => return self.gap_fault(event),
            None => return Ok(Some("its record is gone")),
        }
        let tombstone = inner.index.find(db, &event.stream_id, &event.source_ref)?;
        let is_its = tombstone.is_some_and(|tombstone| tombstone.event_id == event.event_id);
        Ok((!is_its).then_some("its reference is not kept: the same one could be spooled again"))
    }

    fn answer_fault(&self, event: &Event) -> Result<Option<&'static str>, SpoolError> {
        let answer = match self.reader.answer(event) {
            Ok(answer) => answer,
            Err(SpoolError::Tampered { .. }) => return Ok(Some("the key in its answer is none")),
            Err(e) => return Err(e),
        };
        let Some(answer) = answer else {
            // A dead event may have had none; what the receiver took or holds otherwise is only known by one.
            let needs_one = event.state != State::Dead && !self.is_imported(event)?;
            return Ok(needs_one.then_some("its answer is gone"));
        };
        let Some(bundle) = answer.bundle(event, None) else {
            let is_outbox = outbox::position(&self.reader.db)?.is_some();
            return Ok((!is_outbox).then_some("the signature of what was sent is gone"));
        };
        // Under the key that lies beside it: keys rotate, and which are the right ones is not known here.
        let keys = TrustedKeys { relay: vec![bundle.public_key.clone()], ..TrustedKeys::default() };
        Ok(match bundle.verify(&keys) {
            Err(BundleError::Envelope) => Some("the signature of what was sent does not verify"),
            Err(_) if event.state == State::Receipted => Some("its answer is no receipt for it"),
            _ => None,
        })
    }

    /// Whether the published package had delivered it, which kept no receipts. Such an event was settled, as far as is
    /// known, when it was spooled.
    fn is_imported(&self, event: &Event) -> Result<bool, SpoolError> {
        let settled_at = self.reader.history(event)?.map(|history| history.settled_at);
        let sql = "SELECT EXISTS (SELECT 1 FROM imports)";
        let any: bool = self.reader.db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(any && event.state == State::Receipted && settled_at == Some(event.created_at))
    }

    /// Whether a record stands in its place. One that waits nevertheless is to be set aside again.
    fn is_set_aside(&self, event: &Event) -> Result<bool, SpoolError> {
        Ok(event.state.is_settled() && self.reader.gap(event)?.is_some())
    }

    fn gap_fault(&self, event: &Event) -> Result<Option<&'static str>, SpoolError> {
        let Some((record, signature)) = self.reader.gap(event)? else { return Ok(None) };
        let record = json::parse(&record).ok().and_then(|object| GapRecord::from_object(&object).ok());
        let Some(record) = record else { return Ok(Some("the record in its place does not read")) };
        if self.inner.record.public_key().verify(&record.preimage(), &signature).is_err() {
            return Ok(Some("the record in its place is not signed by the record key"));
        }
        let is_its = record.spool_id == self.inner.spool_id
            && record.seq == event.seq
            && record.event_id == event.event_id.to_string()
            && record.stream_id == event.stream_id
            && record.source_ref == event.source_ref
            && record.payload_sha256 == event.payload_sha256
            && record.attempt == event.attempt
            && record.reason == PAYLOAD_DRIFT;
        Ok((!is_its).then_some("the record in its place says something else than its row"))
    }
}

fn has_content(db: &Connection, seq: i64) -> Result<bool, SpoolError> {
    let mut statement = db.prepare_cached("SELECT has_content FROM settled WHERE seq = ?1")?;
    Ok(statement.query_row([seq], |row| row.get(0)).optional()?.unwrap_or(false))
}
