use crate::store::Schema;

/// The witness's store.
pub const SCHEMA: Schema = Schema { name: "witness database", application_id: 0x4c56_5754, migrations: &[&[V1]] };

const V1: &str = "
    CREATE TABLE heads (
        witness_id      TEXT NOT NULL,
        tenant_id       TEXT NOT NULL,
        stream_id       TEXT NOT NULL,
        checkpoint_id   TEXT NOT NULL,
        seq_no          INTEGER NOT NULL,
        checkpoint_hash TEXT NOT NULL,
        PRIMARY KEY (witness_id, tenant_id, stream_id)
    ) STRICT;

    CREATE TABLE receipts (
        receipt_id      TEXT PRIMARY KEY,
        witness_id      TEXT NOT NULL,
        tenant_id       TEXT NOT NULL,
        stream_id       TEXT NOT NULL,
        seq_no          INTEGER NOT NULL,
        checkpoint_hash TEXT NOT NULL,
        statement       BLOB NOT NULL,   -- canonical JSON, committed before it is signed
        receipt         BLOB,            -- canonical JSON; NULL until the signature is there
        UNIQUE (witness_id, tenant_id, stream_id, seq_no)
    ) STRICT;

    CREATE TABLE forks (
        evidence_id   TEXT PRIMARY KEY,
        evidence_hash BLOB NOT NULL UNIQUE,
        evidence      BLOB NOT NULL,     -- canonical JSON, committed before it is signed
        sealed        BLOB               -- canonical JSON; NULL until the signature is there
    ) STRICT;
";
