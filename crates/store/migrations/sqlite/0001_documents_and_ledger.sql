-- One row for each aggregate; `body` is its JSON, the other columns are there to find it by.
CREATE TABLE documents (
    kind    TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    parent  TEXT    NOT NULL,
    state   TEXT    NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    body    TEXT    NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT;

CREATE INDEX documents_by_parent ON documents (kind, parent, id);
CREATE INDEX documents_by_state ON documents (kind, state, id);

-- The ledger: numbered without gaps, chained by hash, only ever appended to.
CREATE TABLE events (
    seq     INTEGER PRIMARY KEY CHECK (seq > 0),
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    project TEXT,
    subject TEXT    NOT NULL,
    key     TEXT    UNIQUE,
    data    TEXT    NOT NULL,
    hash    TEXT    NOT NULL
) STRICT;

CREATE INDEX events_by_project ON events (project, seq);

CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'the ledger is only ever appended to');
END;

CREATE TRIGGER events_are_not_removed BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'the ledger is only ever appended to');
END;

-- How far each reader of the ledger has come.
CREATE TABLE cursors (
    reader TEXT    PRIMARY KEY,
    seq    INTEGER NOT NULL
) STRICT;

CREATE TABLE counters (
    name  TEXT    PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
