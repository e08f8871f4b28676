-- Not to be touched, not even its white space: a store is compared with it word for word.

    CREATE TABLE spool (
        id           INTEGER PRIMARY KEY CHECK (id = 1),
        spool_id     TEXT NOT NULL,      -- random; every epoch and every record is bound to it
        created_at   INTEGER NOT NULL,   -- this and all other times: milliseconds since 1970
        index_epoch  INTEGER NOT NULL,   -- the key of the tombstones, sealed like a record
        index_nonce  BLOB NOT NULL,
        index_sealed BLOB NOT NULL
    ) STRICT;

    CREATE TABLE streams (
        stream   INTEGER PRIMARY KEY,
        name     TEXT NOT NULL UNIQUE,
        ready_at INTEGER                 -- when its head may be sent; NULL: nothing to send, or its head is in flight
    ) STRICT;
    CREATE INDEX streams_ready ON streams (ready_at) WHERE ready_at IS NOT NULL;

    CREATE TABLE events (
        seq            INTEGER PRIMARY KEY,  -- the order of sending within a stream
        event_id       BLOB NOT NULL UNIQUE,
        stream         INTEGER NOT NULL REFERENCES streams,
        source_ref     TEXT NOT NULL,
        state          INTEGER NOT NULL,     -- model.rs names the numbers
        attempt        INTEGER NOT NULL,     -- sends that were begun
        failures       INTEGER NOT NULL,     -- judgements against this event
        created_at     INTEGER NOT NULL,
        payload_sha256 BLOB NOT NULL,
        payload_size   INTEGER NOT NULL,
        epoch          INTEGER NOT NULL REFERENCES epochs,
        nonce          BLOB NOT NULL,
        sealed         BLOB NOT NULL,
        last_error     TEXT
    ) STRICT;
    CREATE INDEX events_pending ON events (stream, seq) WHERE state < 2;
    CREATE INDEX events_refused ON events (state, seq) WHERE state > 2;

    CREATE TABLE tombstones (
        ref_tag    BLOB NOT NULL,        -- keyed hashes: they outlive the event, the names do not
        stream_tag BLOB NOT NULL,
        content    BLOB NOT NULL,
        event_id   BLOB NOT NULL,
        PRIMARY KEY (ref_tag, stream_tag)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE answers (
        seq             INTEGER PRIMARY KEY REFERENCES events,
        installation_id TEXT NOT NULL,   -- with the event's own columns: the envelope that was answered
        attempt         INTEGER NOT NULL,
        signed_at       INTEGER NOT NULL,
        signature       BLOB NOT NULL,
        public_key      BLOB NOT NULL,
        status          INTEGER NOT NULL,
        body            BLOB NOT NULL,   -- whole, as it came
        received_at     INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE totals (
        state  INTEGER PRIMARY KEY,
        events INTEGER NOT NULL,
        bytes  INTEGER NOT NULL
    ) STRICT;
    INSERT INTO totals VALUES (0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0);

    CREATE TABLE destination (
        id              INTEGER PRIMARY KEY CHECK (id = 1),
        installation_id TEXT,            -- whom this spool relays for; set by the first relay
        paused_at       INTEGER,         -- by the operator
        revoked_at      INTEGER,         -- by the receiver
        parked_at       INTEGER,         -- by an outage
        park_reason     TEXT,
        park_failures   INTEGER NOT NULL,
        probe_at        INTEGER          -- when one event may be sent while parked
    ) STRICT;
    INSERT INTO destination VALUES (1, NULL, NULL, NULL, NULL, NULL, 0, NULL);

    CREATE TABLE revoked (
        installation_id TEXT PRIMARY KEY  -- for good: none of these is a new enrolment
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE imports (
        source TEXT PRIMARY KEY,         -- the file, as it was named
        size   INTEGER NOT NULL,         -- of it and its WAL when it was last read
        mtime  INTEGER NOT NULL
    ) STRICT;
