-- Times are milliseconds since 1970.

CREATE TABLE spool (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    spool_id     TEXT NOT NULL,      -- random; every epoch and every record is bound to it
    created_at   INTEGER NOT NULL,
    index_epoch  INTEGER NOT NULL,   -- the key of the tombstones, sealed like a record
    index_nonce  BLOB NOT NULL,
    index_sealed BLOB NOT NULL,
    feed_position INTEGER            -- of an outbox: up to where its feed was read; NULL: its events are for the relay
) STRICT;

CREATE TABLE streams (
    stream      INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    ready_at    INTEGER,             -- when its head may be sent; NULL: nothing to send, or its head is in flight
    stopped_at  INTEGER,             -- nothing of it is sent until the operator releases it
    stop_reason TEXT
) STRICT;
CREATE INDEX streams_ready ON streams (ready_at) WHERE ready_at IS NOT NULL;
CREATE INDEX streams_stopped ON streams (stopped_at) WHERE stopped_at IS NOT NULL;

-- The hot table: what is not settled. Leasing seeks its index; a long history costs it nothing.
-- AUTOINCREMENT: a place in the order is never given twice, also when the table is empty.
CREATE TABLE events (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of sending within a stream
    event_id       BLOB NOT NULL UNIQUE,
    stream         INTEGER NOT NULL REFERENCES streams,
    source_ref     TEXT NOT NULL,
    state          INTEGER NOT NULL,     -- 0 or 1; model.rs names the numbers
    attempt        INTEGER NOT NULL,     -- sends that were begun
    failures       INTEGER NOT NULL,     -- judgements against this event
    created_at     INTEGER NOT NULL,
    payload_sha256 BLOB NOT NULL,
    payload_size   INTEGER NOT NULL,
    epoch          INTEGER NOT NULL REFERENCES epochs,
    last_error     TEXT
) STRICT;
CREATE INDEX events_pending ON events (stream, seq);
CREATE INDEX events_in_flight ON events (stream) WHERE state = 1;

-- Evidence: what is settled, with the answer that settled it. Nothing here is ever deleted.
CREATE TABLE settled (
    seq             INTEGER PRIMARY KEY,
    event_id        BLOB NOT NULL UNIQUE,
    stream          INTEGER NOT NULL,
    source_ref      TEXT NOT NULL,
    state           INTEGER NOT NULL,    -- 2, 3 or 4
    attempt         INTEGER NOT NULL,
    failures        INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    payload_sha256  BLOB NOT NULL,
    payload_size    INTEGER NOT NULL,
    epoch           INTEGER NOT NULL,    -- as the row said: of a damaged one, perhaps none that there is
    last_error      TEXT,
    settled_at      INTEGER NOT NULL,
    has_content     INTEGER NOT NULL,    -- whether its row of contents is still there
    installation_id TEXT,                -- from here on: the answer, where there is one
    sent_attempt    INTEGER,             -- with the event's own columns: the envelope that was answered
    signed_at       INTEGER,
    signature       BLOB,
    public_key      BLOB,
    status          INTEGER,
    body            BLOB,                -- whole, as it came
    received_at     INTEGER
) STRICT;
CREATE INDEX settled_kept ON settled (state, settled_at) WHERE has_content = 1;
CREATE INDEX settled_refused ON settled (state, seq) WHERE state > 2;

-- Content: sealed payloads, of what is settled too until they are purged.
CREATE TABLE contents (
    seq    INTEGER PRIMARY KEY,
    nonce  BLOB NOT NULL,
    sealed BLOB NOT NULL
) STRICT;

-- Answers that settled nothing and carry a receipt for the event nevertheless. No other receipt is believed beside
-- them, until the operator has released the stream.
CREATE TABLE claims (
    id              INTEGER PRIMARY KEY,
    seq             INTEGER NOT NULL,
    stream          INTEGER NOT NULL,
    is_open         INTEGER NOT NULL,    -- 0 once the operator has seen it
    installation_id TEXT NOT NULL,
    sent_attempt    INTEGER NOT NULL,
    signed_at       INTEGER NOT NULL,
    signature       BLOB NOT NULL,
    public_key      BLOB NOT NULL,
    status          INTEGER NOT NULL,
    body            BLOB NOT NULL,
    received_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX claims_of ON claims (seq);
CREATE INDEX claims_open ON claims (stream) WHERE is_open = 1;

-- A signed record in the place of each event whose own was damaged.
CREATE TABLE gaps (
    seq       INTEGER PRIMARY KEY,
    record    BLOB NOT NULL,             -- canonical JSON
    signature BLOB NOT NULL              -- by the record key
) STRICT;

CREATE TABLE tombstones (
    ref_tag    BLOB NOT NULL,        -- keyed hashes: they outlive the event, the names do not
    stream_tag BLOB NOT NULL,
    content    BLOB NOT NULL,
    event_id   BLOB NOT NULL,
    PRIMARY KEY (ref_tag, stream_tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE totals (
    state    INTEGER PRIMARY KEY,
    events   INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    contents INTEGER NOT NULL        -- how many of these events have their content still
) STRICT;
INSERT INTO totals VALUES (0, 0, 0, 0), (1, 0, 0, 0), (2, 0, 0, 0), (3, 0, 0, 0), (4, 0, 0, 0);

CREATE TABLE destination (
    id                 INTEGER PRIMARY KEY CHECK (id = 1),
    installation_id    TEXT,            -- whom this spool relays for; set by the first relay
    paused_at          INTEGER,         -- by the operator
    revoked_at         INTEGER,         -- by the receiver, or by the operator
    parked_at          INTEGER,         -- by an outage
    park_reason        TEXT,
    park_failures      INTEGER NOT NULL,
    probe_at           INTEGER,         -- when one event may be sent while parked
    suspect_at         INTEGER,         -- the receiver knew what this spool had never sent
    suspect_reason     TEXT,
    accepted_seq       INTEGER NOT NULL, -- the operator knows; of what was spooled until then nothing is suspect
    receipted_at       INTEGER,         -- when the newest receipt came
    maintenance_at     INTEGER,         -- nothing new is taken
    maintenance_reason TEXT
) STRICT;
INSERT INTO destination VALUES (1, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 0, NULL, NULL, NULL);

CREATE TABLE revoked (
    installation_id TEXT PRIMARY KEY  -- for good: none of these is a new enrolment
) STRICT, WITHOUT ROWID;

CREATE TABLE imports (
    source TEXT PRIMARY KEY,         -- the file, as it was named
    size   INTEGER NOT NULL,         -- of it and its WAL when it was last read
    mtime  INTEGER NOT NULL
) STRICT;
