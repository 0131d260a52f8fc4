-- One row: the oldest program that understands these tables.
CREATE TABLE schema (min_reader INTEGER NOT NULL) STRICT;
INSERT INTO schema (min_reader) VALUES (1);

-- Small sealed values by name.
CREATE TABLE meta (key TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- Names of feeds and destinations as small numbers, never reused.
CREATE TABLE name (id INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 65535), name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE destination (id INTEGER PRIMARY KEY, required INTEGER NOT NULL, changed INTEGER NOT NULL) STRICT;

-- Segments and the cursor: refined_to is the last row whose effects are in this file.
CREATE TABLE segment (
    no          INTEGER PRIMARY KEY,
    state       INTEGER NOT NULL,           -- 0 open, 1 closed, 2 leaving, 3 dropped
    day         INTEGER NOT NULL,           -- days since 1970-01-01 UTC
    opened      INTEGER NOT NULL,           -- times are microseconds since 1970 UTC
    closed      INTEGER,
    last        INTEGER NOT NULL,           -- rows, counted from 1; 0 while open
    bytes       INTEGER NOT NULL,
    digest      BLOB,
    refined_to  INTEGER NOT NULL,
    survived_to INTEGER NOT NULL,           -- rows up to here that are open have been sealed again as survivors
    swept_to    INTEGER NOT NULL            -- rows up to here have left nothing behind
) STRICT;

-- Open references: unsettled deliveries per destination, quarantined captures under destination 0.
CREATE TABLE open_ref (
    segment     INTEGER NOT NULL,
    destination INTEGER NOT NULL,
    open        INTEGER NOT NULL,
    settled     INTEGER NOT NULL,           -- when it last changed
    PRIMARY KEY (segment, destination)
) STRICT, WITHOUT ROWID;

-- Captures that outlive their segment, sealed again in parts.
CREATE TABLE survivor (capture INTEGER NOT NULL, part INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (capture, part)) STRICT;

-- Only captures that are not normal.
CREATE TABLE exception (
    capture INTEGER PRIMARY KEY,
    feed    INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    of      INTEGER,                        -- of a duplicate: the first
    reason  TEXT NOT NULL,
    detail  BLOB NOT NULL,                  -- sealed
    at      INTEGER NOT NULL
) STRICT;
CREATE INDEX exception_kind ON exception (outcome, reason, feed, capture);

-- Control ids: the tables seen_DAY, one for each row.
CREATE TABLE seen_day (day INTEGER PRIMARY KEY) STRICT;

-- Business identifiers in scope: the tables binding_PERIOD, one for each row; a period is a quarter, 0 is for ever.
CREATE TABLE binding_period (period INTEGER PRIMARY KEY) STRICT;

-- The person index. Persons that were found to be another one: each link leads to who stands for the person now.
CREATE TABLE link (
    person   BLOB PRIMARY KEY,
    into_    BLOB NOT NULL,                 -- whom it was merged into when that was said
    survivor BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX link_survivor ON link (survivor);

-- What was decided about who is who; kept as long as the persons.
CREATE TABLE decision (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    person  BLOB NOT NULL,
    other   BLOB NOT NULL,
    what    TEXT NOT NULL,                  -- merge, unmerge, link, unlink, reject
    capture INTEGER,                        -- the capture that said so; none where somebody did
    at      INTEGER NOT NULL,
    sealed  BLOB NOT NULL                   -- who and why
) STRICT;
CREATE INDEX decision_person ON decision (person, id);
CREATE INDEX decision_other ON decision (other, id);

-- Persons whose merge was taken back: what is theirs goes on in the other one's lane until what waits there has gone.
CREATE TABLE detour (
    person      BLOB NOT NULL,
    destination INTEGER NOT NULL,
    lane        BLOB NOT NULL,
    last        INTEGER NOT NULL,           -- the last delivery of theirs in that lane
    PRIMARY KEY (person, destination)
) STRICT, WITHOUT ROWID;

CREATE TABLE ident (
    blind  BLOB NOT NULL,
    person BLOB NOT NULL,
    trust  INTEGER NOT NULL,
    ends   INTEGER,                         -- until when the identifier is the person's
    PRIMARY KEY (blind, person)
) STRICT, WITHOUT ROWID;

-- The current state of each record. Rows are fat, so that the key has an index of its own.
CREATE TABLE record (
    no       INTEGER PRIMARY KEY,
    id       BLOB NOT NULL UNIQUE,
    kind     INTEGER NOT NULL,
    person   BLOB,
    event    INTEGER NOT NULL,              -- position: event, capture, revision
    capture  INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    made     INTEGER NOT NULL,              -- what it was made with
    status   INTEGER NOT NULL,
    keep     INTEGER NOT NULL,              -- 1: content stays for as long as it is current
    expires  INTEGER,                       -- when the position may go too
    sealed   BLOB                           -- content; gone with delivered data
) STRICT;
CREATE INDEX record_person ON record (person, kind, event) WHERE person IS NOT NULL;
CREATE INDEX record_made ON record (made, no);
CREATE INDEX record_fading ON record (capture) WHERE keep = 0 AND sealed IS NOT NULL;
CREATE INDEX record_expiry ON record (expires) WHERE expires IS NOT NULL AND sealed IS NULL;

-- Mapping revisions: the program and the code maps that were in force.
CREATE TABLE mapping (
    revision INTEGER PRIMARY KEY,
    program  INTEGER NOT NULL,
    maps     TEXT NOT NULL,                 -- names and versions, by feed and destination
    since    INTEGER NOT NULL
) STRICT;

-- What records were made with: a mapping revision and the code maps that something in them comes from.
CREATE TABLE made (
    id       INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL,
    maps     TEXT NOT NULL,
    UNIQUE (revision, maps)
) STRICT;

-- Codes that came without a mapping; an empty blind is all beyond the bound of their kind and feed.
CREATE TABLE unmapped (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    feed   INTEGER NOT NULL,
    kind   INTEGER NOT NULL,
    blind  BLOB NOT NULL,                   -- code and system
    sealed BLOB NOT NULL,
    seen   INTEGER NOT NULL,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL,
    UNIQUE (feed, kind, blind)
) STRICT;

-- What went where, in order of id.
CREATE TABLE delivery (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    destination INTEGER NOT NULL,
    class       INTEGER NOT NULL,
    lane        BLOB NOT NULL,
    capture     INTEGER NOT NULL,
    event       INTEGER NOT NULL,
    at_capture  INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    state       INTEGER NOT NULL,           -- 0 waiting, 1 delivered, 2 superseded, 3 dead, 4 withheld
    reason      TEXT NOT NULL,
    refs        BLOB NOT NULL,
    queued      INTEGER NOT NULL,
    settled     INTEGER
) STRICT;
CREATE INDEX delivery_lane ON delivery (destination, class, lane, id) WHERE state = 0;
CREATE INDEX delivery_state ON delivery (destination, state, id);
CREATE INDEX delivery_capture ON delivery (capture, id);

-- A lane exists while something waits in it or while it is held.
CREATE TABLE lane (
    destination INTEGER NOT NULL,
    class       INTEGER NOT NULL,
    lane        BLOB NOT NULL,
    head        INTEGER,                    -- the lowest waiting delivery; none in an empty held lane
    waiting     INTEGER NOT NULL,
    since       INTEGER NOT NULL,           -- since when head is the head
    held        TEXT,                       -- why
    PRIMARY KEY (destination, class, lane)
) STRICT, WITHOUT ROWID;
CREATE INDEX lane_ready ON lane (destination, class, head) WHERE held IS NULL;
CREATE INDEX lane_held ON lane (destination, class, head) WHERE held IS NOT NULL;
CREATE INDEX lane_since ON lane (destination, since) WHERE head IS NOT NULL;

CREATE TABLE receipt (
    delivery  INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    digest    BLOB NOT NULL,
    bytes     INTEGER NOT NULL,
    resources INTEGER NOT NULL,
    answer    TEXT NOT NULL
) STRICT;

-- The highest position of each record that a destination has taken.
CREATE TABLE sent (
    record      BLOB NOT NULL,
    destination INTEGER NOT NULL,
    event       INTEGER NOT NULL,
    capture     INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    made        INTEGER,                    -- where maps of the destination touched it
    PRIMARY KEY (record, destination)
) STRICT, WITHOUT ROWID;
CREATE INDEX sent_made ON sent (made, record) WHERE made IS NOT NULL;

-- Parts of records that a destination has refused.
CREATE TABLE dead_resource (
    record      BLOB NOT NULL,
    destination INTEGER NOT NULL,
    resource    BLOB NOT NULL,
    reason      TEXT NOT NULL,
    stage       INTEGER NOT NULL,
    PRIMARY KEY (record, destination, resource)
) STRICT, WITHOUT ROWID;

-- Sums, so that nothing is ever counted by reading rows. Name 0 is the whole gateway.
CREATE TABLE counter (
    name  TEXT NOT NULL,
    of    INTEGER NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (name, of)
) STRICT, WITHOUT ROWID;

CREATE TABLE alarm (
    key    TEXT PRIMARY KEY,
    code   TEXT NOT NULL,
    detail BLOB NOT NULL,                   -- sealed
    since  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who saw what and why, chained by keyed hashes.
CREATE TABLE audit (
    seq    INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,
    who    TEXT NOT NULL,
    what   TEXT NOT NULL,
    reason BLOB NOT NULL,                   -- sealed
    object BLOB NOT NULL,                   -- sealed
    hash   BLOB NOT NULL                    -- over this row and the hash before it
) STRICT;

-- Doubts about who is who, for somebody to look at. One that was decided stays, so that it is not listed again.
CREATE TABLE conflict (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    blind   BLOB NOT NULL UNIQUE,           -- person, doubt and number; or doubt and pair of persons
    person  BLOB NOT NULL,
    doubt   TEXT NOT NULL,
    number  BLOB NOT NULL,                  -- sealed
    other   BLOB,
    capture INTEGER NOT NULL,
    since   INTEGER NOT NULL,
    decided TEXT                            -- how: accept, dismiss, reject, merge
) STRICT;
CREATE INDEX conflict_open ON conflict (id) WHERE decided IS NULL;
CREATE INDEX conflict_person ON conflict (person);
