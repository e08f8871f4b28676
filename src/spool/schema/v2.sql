-- From version 1, where one table held events of every state with their content.

ALTER TABLE events RENAME TO events_v1;
ALTER TABLE destination RENAME TO destination_v1;
DROP INDEX events_pending;
DROP INDEX events_refused;

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
CREATE INDEX events_in_flight ON events (seq) WHERE state = 1;

-- Evidence: what is settled, with the answer that settled it. Nothing here is ever deleted.
CREATE TABLE settled (
    seq             INTEGER PRIMARY KEY,
    event_id        BLOB NOT NULL UNIQUE,
    stream          INTEGER NOT NULL REFERENCES streams,
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

ALTER TABLE streams ADD COLUMN stopped_at INTEGER;  -- nothing of it is sent until the operator releases it
ALTER TABLE streams ADD COLUMN stop_reason TEXT;

ALTER TABLE totals ADD COLUMN contents INTEGER NOT NULL DEFAULT 0;  -- how many events have their content still

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
    accepted_at        INTEGER,         -- the operator knows; of what was spooled until then nothing is suspect
    maintenance_at     INTEGER,         -- nothing new is taken
    maintenance_reason TEXT
) STRICT;

INSERT INTO destination
SELECT id, installation_id, paused_at, revoked_at, parked_at, park_reason, park_failures, probe_at,
       NULL, NULL, NULL, NULL, NULL
FROM destination_v1;
INSERT INTO contents SELECT seq, nonce, sealed FROM events_v1 ORDER BY seq;
INSERT INTO events
SELECT seq, event_id, stream, source_ref, state, attempt, failures, created_at, payload_sha256, payload_size, epoch,
       last_error
FROM events_v1 WHERE state < 2 ORDER BY seq;
INSERT INTO settled
SELECT seq, event_id, stream, source_ref, state, e.attempt, failures, created_at, payload_sha256, payload_size, epoch,
       last_error, coalesce(received_at, created_at), 1, installation_id, a.attempt, signed_at, signature, public_key,
       status, body, received_at
FROM events_v1 e LEFT JOIN answers a USING (seq) WHERE state > 1 ORDER BY seq;
UPDATE totals SET contents = events;
INSERT INTO sqlite_sequence SELECT 'events', 0 WHERE NOT EXISTS (SELECT 1 FROM events);
UPDATE sqlite_sequence SET seq = (SELECT coalesce(max(seq), 0) FROM contents) WHERE name = 'events';

DROP TABLE answers;
DROP TABLE events_v1;
DROP TABLE destination_v1;
