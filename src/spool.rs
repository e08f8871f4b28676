//! The encrypted spool: events in order per stream, from enqueue to receipt.
//!
//! [`Spool`] writes, with the keys; [`SpoolReader`] looks and [`SpoolControl`] steers, without them.

mod aside;
mod check;
mod claims;
mod control;
mod destination;
mod enqueue;
mod gap;
mod history;
mod lease;
mod limits;
mod metrics;
mod model;
mod open;
mod outbox;
mod reader;
mod record;
mod recover;
mod retention;
mod retry;
mod row;
mod schema;
mod settle;
mod stream;
mod tombstone;

pub mod import;

#[cfg(test)]
mod plans;

pub use check::{Check, Checked, Damaged};
pub use control::{Purged, SpoolControl};
pub use destination::{Destination, Gate, Parked};
pub use enqueue::{Enqueued, NewEvent};
pub use history::History;
pub use lease::{Alarm, Lease, Leased};
pub use limits::{Limit, Limits, Usage};
pub use model::{Answer, ContentId, Event, SignedEnvelope, SpoolError, State, Totals};
pub use open::{Spool, SpoolKeys};
pub use reader::{Filter, SpoolReader, Stopped};
pub use retention::Retention;
pub use schema::SCHEMA;
pub use settle::{Became, CONTRADICTION, PAYLOAD_DRIFT, Park, Settlement};
