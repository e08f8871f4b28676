//! Local Vault: signs source attestations with keys held in custody, keeps them in an encrypted spool through
//! outages, relays them outbound only, and believes nothing but a matching receipt.
//!
//! The rooms lie in layers and import downwards only; `tests/architecture.rs` holds the table.
//! `docs/architecture.md` tells why.

// ---- 0 facts: ids, digests, the clock, secret bytes
pub mod facts;

// ---- 1 protocol: bytes on the wire, as pure functions
pub mod protocol;

// ---- 2 custody: keys that sign and wrap, and never leave
pub mod custody;

// ---- 3 durable: what must outlive a crash; and how the services are asked
pub mod audit;
pub mod epochs;
pub mod http;
pub mod spool;
pub mod store;

// ---- 4 services: what is handed keys and stores, and moves events
pub mod ingest;
pub mod relay;
pub mod sandbox;
pub mod witness;

// ---- 5 shell: the only part that prints
pub mod cli;
pub mod config;
