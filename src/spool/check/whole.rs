//! What a spool must agree on as a whole.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};

use crate::spool::{SpoolError, State};

/// Looks at all of it, in the transaction of `db`: one picture, whatever others write meanwhile.
pub(super) fn look(db: &Connection) -> Result<Vec<String>, SpoolError> {
    let counted = count(db)?;
    let mut found = totals(db, &counted)?;
    found.extend(holes(db, counted.values().map(|counted| counted.events).sum())?);
    for (sql, what) in STRAYS {
        let strays: i64 = db.query_row(sql, [], |row| row.get(0))?;
        if strays > 0 {
            found.push(format!("{strays} {what}"));
        }
    }
    Ok(found)
}

/// What lies in one state.
#[derive(Default)]
struct Counted {
    events: i64,
    /// Wide enough for any sum of sizes that somebody wrote.
    bytes: i128,
    contents: i64,
}

/// Counts by number of the state, which may be none of ours.
fn count(db: &Connection) -> Result<BTreeMap<i64, Counted>, SpoolError> {
    let mut statement = db.prepare(
        "SELECT state, payload_size, has_content = 1 FROM settled
         UNION ALL SELECT state, payload_size, EXISTS (SELECT 1 FROM contents c WHERE c.seq = e.seq) FROM events e",
    )?;
    let mut rows = statement.query([])?;
    let mut counted = BTreeMap::<i64, Counted>::new();
    while let Some(row) = rows.next()? {
        // What does not read is damaged, and a finding of its own.
        let counted = counted.entry(row.get(0).unwrap_or(-1)).or_default();
        counted.events += 1;
        counted.bytes += i128::from(row.get(1).unwrap_or(0_i64));
        counted.contents += row.get(2).unwrap_or(0_i64);
    }
    Ok(counted)
}

fn totals(db: &Connection, counted: &BTreeMap<i64, Counted>) -> Result<Vec<String>, SpoolError> {
    // A damaged event that was set aside weighs what was left of it, and its content may be gone.
    let is_exact: bool = db.query_row("SELECT NOT EXISTS (SELECT 1 FROM gaps)", [], |row| row.get(0))?;
    let mut found = Vec::new();
    for state in State::ALL {
        let sql = "SELECT events, bytes, contents FROM totals WHERE state = ?1";
        let kept: Option<(i64, i64, i64)> =
            db.query_row(sql, [state as i64], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
        let none = Counted::default();
        let (Counted { events, bytes, contents }, name) = (counted.get(&(state as i64)).unwrap_or(&none), state.name());
        let Some(kept) = kept else {
            found.push(format!("{events} events are {name}, and the total says nothing"));
            continue;
        };
        if kept.0 != *events {
            found.push(format!("{events} events are {name}, and the total says {}", kept.0));
        }
        if is_exact && i128::from(kept.1) != *bytes {
            found.push(format!("{bytes} bytes of payload are {name}, and the total says {}", kept.1));
        }
        if is_exact && kept.2 != *contents {
            found.push(format!(
                "the content of {contents} events is kept that are {name}, and the total says {}",
                kept.2
            ));
        }
    }
    Ok(found)
}

/// No event is ever deleted, and each place in the order is given once: as many events are there as places were given.
fn holes(db: &Connection, events: i64) -> Result<Vec<String>, SpoolError> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'events'";
    let given: i64 = db.query_row(sql, [], |row| row.get(0)).optional()?.unwrap_or(0);
    let sql = "SELECT (SELECT count(*) FROM events WHERE seq NOT BETWEEN 1 AND ?1)
                    + (SELECT count(*) FROM settled WHERE seq NOT BETWEEN 1 AND ?1)";
    let beside: i64 = db.query_row(sql, [given], |row| row.get(0))?;
    let mut found = Vec::new();
    if beside > 0 {
        found.push(format!("{beside} events have a place in the order that was never given"));
    }
    let gone = given.saturating_sub(events - beside);
    if gone > 0 {
        found.push(format!("{gone} events are gone: their places in the order were given, and nothing lies there"));
    }
    Ok(found)
}

const STRAYS: [(&str, &str); 4] = [
    (
        "SELECT count(*) FROM contents c
         WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.seq = c.seq)
           AND NOT EXISTS (SELECT 1 FROM settled s WHERE s.seq = c.seq AND s.has_content = 1)",
        "sealed payloads belong to no event",
    ),
    (
        "SELECT count(*) FROM events e WHERE EXISTS (SELECT 1 FROM settled s WHERE s.seq = e.seq)",
        "events are settled and wait too",
    ),
    (
        "SELECT count(*) FROM streams s
         WHERE ready_at IS NULL AND stopped_at IS NULL
           AND EXISTS (SELECT 1 FROM events e WHERE e.stream = s.stream)
           AND NOT EXISTS (SELECT 1 FROM events e WHERE e.stream = s.stream AND e.state = 1)",
        "streams have events to send, and nothing wakes them",
    ),
    (
        "SELECT count(*) FROM streams s
         WHERE ready_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM events e WHERE e.stream = s.stream)",
        "streams are to be sent from, and have no event",
    ),
];
