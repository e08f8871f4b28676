use crate::store::Schema;

/// The witness's store.
pub const SCHEMA: Schema =
    Schema { name: "witness database", application_id: 0x4c56_5754, migrations: &[&[include_str!("schema.sql")]] };
