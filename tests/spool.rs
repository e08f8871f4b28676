//! The spool, through its public face: what it keeps, in which order it gives it out, and what it refuses.
#![allow(clippy::unwrap_used)]

#[path = "spool/check.rs"]
mod check;
#[path = "support/custody.rs"]
mod custody;
#[path = "spool/disk_full.rs"]
mod disk_full;
#[path = "spool/enqueue.rs"]
mod enqueue;
#[path = "spool/epochs.rs"]
mod epochs;
#[path = "spool/files.rs"]
mod files;
#[path = "spool/group_commit.rs"]
mod group_commit;
#[path = "spool/import.rs"]
mod import;
#[path = "spool/limits.rs"]
mod limits;
#[path = "spool/metrics.rs"]
mod metrics;
#[path = "spool/model.rs"]
mod model;
#[path = "spool/order.rs"]
mod order;
#[path = "spool/outage.rs"]
mod outage;
#[path = "spool/retention.rs"]
mod retention;
#[path = "spool/retry.rs"]
mod retry;
#[path = "spool/several_processes.rs"]
mod several_processes;
#[path = "support/small_disk.rs"]
mod small_disk;
#[path = "spool/support.rs"]
mod support;
#[path = "spool/tamper.rs"]
mod tamper;
#[path = "spool/turn.rs"]
mod turn;
