"""The ledger's tables, and its statements over the rows of whole batches.

Their parameters are columns in single values: n digests of 16 bytes are one blob of ``16 n`` bytes,
n positions one JSON array.
"""

from __future__ import annotations

#: Version of the tables.
VERSION = 3
#: Version -> what makes the next one of it, in one transaction with the new number.
CHANGES = {
    1: "ALTER TABLE runs ADD COLUMN building INTEGER NOT NULL DEFAULT 0;",
    2: "ALTER TABLE runs ADD COLUMN totals TEXT; ALTER TABLE runs ADD COLUMN removed TEXT;",
}

#: Points that stay although no input has them. A table of its own: ledgers without it are of the
#: same version.
KEPT = "CREATE TABLE IF NOT EXISTS kept (id BLOB PRIMARY KEY) WITHOUT ROWID"

TABLES = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
INSERT INTO meta VALUES ('version', '{VERSION}');
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL,
    started TEXT NOT NULL,
    finished TEXT,
    attempts INTEGER NOT NULL DEFAULT 1,
    identity TEXT NOT NULL,            -- JSON: what must agree for the run to be continued
    points_before INTEGER,
    points_after INTEGER,
    deleted INTEGER NOT NULL DEFAULT 0,
    complete INTEGER NOT NULL DEFAULT 0,  -- the ledger knew every point of the collection before
    rejects TEXT,                      -- the rejects file
    rejects_bytes INTEGER NOT NULL DEFAULT 0,
    versions TEXT NOT NULL,            -- JSON: of this package, the engine, Python
    building INTEGER NOT NULL DEFAULT 0, -- its rows lie in a local folder, not in the collection
    totals TEXT,                       -- JSON: its sum, once its batches are forgotten
    removed TEXT                       -- JSON: names of its files that were removed since
);
CREATE TABLE files (
    run INTEGER NOT NULL, number INTEGER NOT NULL, path TEXT NOT NULL, fingerprint TEXT NOT NULL,
    PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE TABLE batches (
    run INTEGER NOT NULL, file INTEGER NOT NULL,
    start INTEGER NOT NULL, stop INTEGER NOT NULL,  -- rows or lines of the file, half open
    state TEXT NOT NULL,               -- sent; built: in the local folder alone; stored
    read INTEGER NOT NULL DEFAULT 0,   -- = stored + payload_updated + ... + rejected
    stored INTEGER NOT NULL DEFAULT 0,
    payload_updated INTEGER NOT NULL DEFAULT 0,
    unchanged INTEGER NOT NULL DEFAULT 0,
    superseded INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0,
    new INTEGER NOT NULL DEFAULT 0,    -- points that were not in the collection
    points INTEGER NOT NULL DEFAULT 0, -- points that were written
    reasons TEXT NOT NULL DEFAULT '{{}}',  -- JSON: reason -> rejected rows
    PRIMARY KEY (run, file, start)
) WITHOUT ROWID;
CREATE TABLE broken (
    run INTEGER NOT NULL, path TEXT NOT NULL, message TEXT NOT NULL,
    PRIMARY KEY (run, path, message)
) WITHOUT ROWID;
CREATE TABLE rows (
    id BLOB PRIMARY KEY,               -- 'integer:' and 8 bytes, or the 16 bytes of a UUID
    text BLOB NOT NULL,                -- digest of text, encoder and spec; empty: unknown
    payload BLOB NOT NULL,             -- digest of the payload; empty: unknown
    run INTEGER NOT NULL, file INTEGER NOT NULL, position INTEGER NOT NULL,
    state TEXT NOT NULL                -- stored, payload, unchanged, refused; known: found there
) WITHOUT ROWID;
CREATE TABLE pending (                 -- n rows of one batch in one row
    number INTEGER PRIMARY KEY, run INTEGER NOT NULL, file INTEGER NOT NULL, state TEXT NOT NULL,
    ids BLOB NOT NULL, texts BLOB NOT NULL, payloads BLOB NOT NULL,
    positions TEXT NOT NULL            -- JSON
);
"""

CLASSIFY = """
SELECT kind, group_concat(number) FROM (
    SELECT each.key AS number, CASE
        WHEN rows.run = :run THEN 'seen'
        WHEN rows.id IS NULL OR rows.state = 'refused' THEN 'new'
        WHEN rows.text <> substr(:texts, each.key * 16 + 1, 16) THEN 'changed'
        WHEN rows.payload <> substr(:payloads, each.key * 16 + 1, 16) THEN 'payload'
        ELSE 'same' END AS kind
    FROM json_each(:positions) AS each
    LEFT JOIN rows ON rows.id = substr(:ids, each.key * 16 + 1, 16)
) GROUP BY kind
"""
WRITE = """
INSERT INTO rows (id, text, payload, run, file, position, state)
SELECT substr(:ids, each.key * 16 + 1, 16), substr(:texts, each.key * 16 + 1, 16),
       substr(:payloads, each.key * 16 + 1, 16), :run, :file, each.value, :state
FROM json_each(:positions) AS each WHERE true ORDER BY 1
ON CONFLICT (id) DO UPDATE SET
    text = excluded.text, payload = excluded.payload, run = excluded.run, file = excluded.file,
    position = excluded.position, state = excluded.state
"""
#: An unchanged row is there: what is inserted always meets it.
SEEN = """
INSERT INTO rows (id, text, payload, run, file, position, state)
SELECT substr(:ids, each.key * 16 + 1, 16), x'', x'', :run, :file, each.value, :state
FROM json_each(:positions) AS each WHERE true ORDER BY 1
ON CONFLICT (id) DO UPDATE SET
    run = excluded.run, file = excluded.file, position = excluded.position, state = excluded.state
"""
#: A refused row takes its key. What was there under it stays there, but is no longer what the row
#: says, so that its digests are forgotten.
REFUSED = """
INSERT INTO rows (id, text, payload, run, file, position, state)
SELECT substr(:ids, each.key * 16 + 1, 16), x'', x'', :run, :file, each.value, :state
FROM json_each(:positions) AS each WHERE true ORDER BY 1
ON CONFLICT (id) DO UPDATE SET
    text = x'', payload = x'', run = excluded.run, file = excluded.file,
    position = excluded.position,
    state = CASE WHEN rows.state = 'refused' THEN 'refused' ELSE 'known' END
"""
MERGE = {"stored": WRITE, "payload": WRITE, "unchanged": SEEN, "refused": REFUSED}
PENDING = """
INSERT INTO pending (run, file, state, ids, texts, payloads, positions)
VALUES (:run, :file, :state, :ids, :texts, :payloads, :positions)
"""
