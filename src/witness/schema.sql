-- How far the records go, under a MAC that covers every row of `streams` too. There is one row.
CREATE TABLE state (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    state_id  TEXT NOT NULL,
    count     INTEGER NOT NULL,   -- the number of the last record
    root      BLOB NOT NULL,      -- what the records lead to
    behind    INTEGER NOT NULL,   -- the record that the last transaction began behind
    last_time INTEGER NOT NULL,   -- of the last statement or evidence, in milliseconds since 1970
    keys      TEXT NOT NULL,      -- our public keys in their order, as JSON; the last one signs
    stopped   TEXT,               -- the incident that stopped it, until an operator allows it to go on
    mac       BLOB NOT NULL,
    wrapped   BLOB,               -- the key that sealed the MAC's secret, wrapped in custody; NULL: nothing wraps
    nonce     BLOB,
    sealed    BLOB
) STRICT;

-- What happened, chained: nothing in it ever changes.
CREATE TABLE records (
    n    INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    body BLOB NOT NULL,           -- canonical JSON
    mac  BLOB NOT NULL
) STRICT;

CREATE INDEX incidents ON records (n) WHERE kind = 'incident';
CREATE INDEX words ON records (n) WHERE kind IN ('begun', 'reconciled');

CREATE TABLE streams (
    stream          INTEGER PRIMARY KEY,
    witness_id      TEXT NOT NULL,
    tenant_id       TEXT NOT NULL,
    stream_id       TEXT NOT NULL,
    submitter       TEXT,
    submitter_key   TEXT,
    origin          INTEGER NOT NULL,  -- how often it was begun anew
    begun_anew      INTEGER,           -- when that was last, in milliseconds since 1970
    checkpoint_id   TEXT,              -- the head; NULL where nothing was accepted yet
    seq_no          INTEGER,
    checkpoint_hash TEXT,
    is_floor        INTEGER NOT NULL,
    UNIQUE (witness_id, tenant_id, stream_id)
) STRICT;

CREATE TABLE receipts (
    n             INTEGER PRIMARY KEY REFERENCES records,
    stream        INTEGER NOT NULL REFERENCES streams,
    origin        INTEGER NOT NULL,
    seq_no        INTEGER NOT NULL,
    checkpoint_id TEXT NOT NULL,
    public_key    BLOB,                -- NULL until the signature is there
    signature     BLOB,
    UNIQUE (stream, origin, seq_no)
) STRICT;

CREATE INDEX receipts_by_checkpoint ON receipts (checkpoint_id);

CREATE TABLE forks (
    n             INTEGER PRIMARY KEY REFERENCES records,
    stream        INTEGER NOT NULL REFERENCES streams,
    shown         BLOB NOT NULL UNIQUE, -- the evidence's hash, without its time where it is the same evidence each time
    kid           TEXT,                -- NULL until the signature is there
    public_key    BLOB,
    signature     BLOB
) STRICT;

CREATE INDEX forks_by_stream ON forks (stream);
