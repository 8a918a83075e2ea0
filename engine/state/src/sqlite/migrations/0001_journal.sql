-- Rotations with their cached state, their journals, and the leases. Released: never edited, see migrations.rs.
-- Instants are microseconds since 1970 (UTC). `format` says how the JSON of its row is to be read.

CREATE TABLE rotations (
    number     INTEGER PRIMARY KEY AUTOINCREMENT, -- order of creation, whatever the clock said
    id         BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    secret     TEXT    NOT NULL,
    policy     TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    replaces   TEXT,
    format     INTEGER NOT NULL,
    shape      TEXT    NOT NULL,                  -- JSON
    target     TEXT    NOT NULL,
    cause      TEXT    NOT NULL,                  -- JSON
    state      TEXT    NOT NULL,                  -- JSON; the fold of the events
    seq        INTEGER NOT NULL,                  -- the number of the last event, 0 without
    open       INTEGER NOT NULL CHECK (open IN (0, 1)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX rotations_of_secret ON rotations (secret, number);
CREATE UNIQUE INDEX one_open_rotation ON rotations (secret) WHERE open = 1;

CREATE TABLE events (
    rotation INTEGER NOT NULL REFERENCES rotations (number),
    seq      INTEGER NOT NULL,                    -- from 1, without holes
    at       INTEGER NOT NULL,
    fence    INTEGER NOT NULL,                    -- of the lease under which it was written
    format   INTEGER NOT NULL,
    event    TEXT    NOT NULL,                    -- JSON
    PRIMARY KEY (rotation, seq)
) STRICT, WITHOUT ROWID;

-- Rows stay when a lease is given back, since fences must grow.
CREATE TABLE leases (
    secret     TEXT    NOT NULL PRIMARY KEY,
    fence      INTEGER NOT NULL,
    holder     TEXT,                              -- NULL once given back
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;

-- Also what stops INSERT OR REPLACE, for which SQLite does not fire the delete trigger.
CREATE TRIGGER events_have_no_holes BEFORE INSERT ON events
WHEN NEW.seq <> coalesce((SELECT max(seq) FROM events WHERE rotation = NEW.rotation), 0) + 1
BEGIN
    SELECT RAISE(ABORT, 'events are appended in order');
END;

CREATE TRIGGER rotations_are_never_deleted BEFORE DELETE ON rotations
BEGIN
    SELECT RAISE(ABORT, 'rotations are kept');
END;

CREATE TRIGGER rotations_keep_their_origin
BEFORE UPDATE OF number, id, secret, policy, digest, replaces, shape, target, cause, created_at ON rotations
BEGIN
    SELECT RAISE(ABORT, 'the origin of a rotation is fixed');
END;

CREATE TRIGGER fences_grow BEFORE UPDATE OF fence ON leases WHEN NEW.fence <= OLD.fence
BEGIN
    SELECT RAISE(ABORT, 'fences grow');
END;

CREATE TRIGGER leases_are_never_deleted BEFORE DELETE ON leases
BEGIN
    SELECT RAISE(ABORT, 'leases are kept, since fences must grow');
END;
