-- What is to be told, and how far each notifier is with it. Released: never edited, see migrations.rs.

CREATE TABLE notices (
    number INTEGER NOT NULL PRIMARY KEY,          -- grows by order of commit
    id     TEXT    NOT NULL UNIQUE,               -- the occasion's, told once
    format INTEGER NOT NULL,
    notice TEXT    NOT NULL                       -- JSON
) STRICT, WITHOUT ROWID;                          -- the row id of a new rotation is read after its notices were added

CREATE TABLE deliveries (
    notifier TEXT    NOT NULL PRIMARY KEY,
    format   INTEGER NOT NULL,
    delivery TEXT    NOT NULL                     -- JSON
) STRICT, WITHOUT ROWID;

CREATE TRIGGER notices_are_never_changed BEFORE UPDATE ON notices
BEGIN
    SELECT RAISE(ABORT, 'notices are append-only');
END;

CREATE TRIGGER notices_are_never_deleted BEFORE DELETE ON notices
BEGIN
    SELECT RAISE(ABORT, 'notices are append-only');
END;
