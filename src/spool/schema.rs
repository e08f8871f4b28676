use crate::epochs;
use crate::store::Schema;

/// The spool's store.
///
/// Rowid tables with narrow indices: an event table WITHOUT ROWID writes five times as much.
pub const SCHEMA: Schema =
    Schema { name: "spool", application_id: 0x4c56_5350, migrations: &[&[epochs::TABLE, include_str!("schema.sql")]] };
