//! The encrypted spool: events in order per stream, from enqueue to receipt.
//!
//! [`Spool`] writes, with the keys; [`SpoolReader`] looks, without them.

mod destination;
mod enqueue;
mod lease;
mod metrics;
mod model;
mod open;
mod reader;
mod record;
mod recover;
mod schema;
mod settle;
mod tombstone;

pub mod import;

#[cfg(test)]
mod plans;

pub use destination::{Destination, Gate, Parked};
pub use enqueue::{Enqueued, NewEvent};
pub use lease::{Lease, Leased};
pub use model::{Answer, ContentId, Event, SignedEnvelope, SpoolError, State, Totals};
pub use open::{Spool, SpoolKeys};
pub use reader::{Filter, SpoolReader};
pub use schema::SCHEMA;
pub use settle::{PAYLOAD_DRIFT, Park, Settlement};
