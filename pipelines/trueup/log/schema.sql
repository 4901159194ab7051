-- The tables of the event log. Grain and owner stand above each; a view of the warehouse is the way to read them.
-- Append only: nothing here is ever updated or deleted. `snapshot_id` and `rowid` are virtual columns of each table.
CREATE SCHEMA lake.events;

-- What was fixed when the lake was made; one row. Owner: log.
CREATE TABLE lake.events.setting (
    content JSON                -- buckets and bucket_by
);

-- One row per position: an input commit. Its own snapshot_id says which rows came with it. Owner: log.
CREATE TABLE lake.events.position (
    position BIGINT,            -- ordinal, 1 and up, without gaps
    kind VARCHAR,               -- unit, close, tick, policy, quality_policy, model or clock
    committed_at TIMESTAMPTZ    -- the injected clock when it was appended
);

-- One row per commit of a consumer: what it has read up to. Owner: log.
CREATE TABLE lake.events.consumer (
    consumer VARCHAR,           -- reconcile, …
    position BIGINT,            -- everything up to here is in its results
    configuration VARCHAR       -- of scores: the configuration that made them; NULL for other consumers and older lakes
);

-- One configuration that made rows of the log, once, however many commits refer to it. Owner: log.
CREATE TABLE lake.events.configuration (
    configuration VARCHAR,      -- the first 32 hex digits of sha256 over kind and content
    kind VARCHAR,               -- mapping: of control rows; scoring: of consumers
    content JSON
);

-- One network usage record (CDR/xDR). Owner: collect.
CREATE TABLE lake.events.usage (
    event_id BLOB,              -- 16 bytes of sha256 over the canonical form
    canonical_version SMALLINT, -- which canonical form
    source_id VARCHAR,          -- the source unit it came in, see control
    source_row BIGINT,          -- record number in the unit, from 0
    source_offset BIGINT,       -- first byte (Parquet: row group) of the record in the decompressed unit
    source_length BIGINT,       -- bytes of the record (Parquet: NULL)
    bucket SMALLINT,            -- stable hash of the bucket key % buckets
    day DATE,                   -- UTC day of its own time: the partition
    key_scope VARCHAR,          -- what record_key is unique within
    record_key VARCHAR,         -- the record's own identity
    session_key VARCHAR,        -- what ties partial records and their charge together
    account VARCHAR,
    service VARCHAR,
    subscriber VARCHAR,
    peer VARCHAR,
    direction VARCHAR,
    node VARCHAR,
    cell VARCHAR,
    started_at TIMESTAMPTZ,
    quantity_micros BIGINT,     -- millionths of the source's declared unit
    partial_no BIGINT,
    attributes JSON             -- what the mapping does not name
);
ALTER TABLE lake.events.usage SET PARTITIONED BY (day);
ALTER TABLE lake.events.usage SET SORTED BY (bucket);

-- One rated or billed record. Owner: collect.
CREATE TABLE lake.events.charge (
    event_id BLOB,
    canonical_version SMALLINT,
    source_id VARCHAR,
    source_row BIGINT,
    source_offset BIGINT,
    source_length BIGINT,
    bucket SMALLINT,
    day DATE,                   -- UTC day of started_at, else of billed_at, else NULL
    key_scope VARCHAR,
    record_key VARCHAR,
    session_key VARCHAR,
    account VARCHAR,
    service VARCHAR,
    subscriber VARCHAR,
    peer VARCHAR,
    direction VARCHAR,
    node VARCHAR,
    cell VARCHAR,
    started_at TIMESTAMPTZ,
    quantity_micros BIGINT,
    partial_no BIGINT,
    amount_micros BIGINT,       -- millionths of the currency
    currency VARCHAR,
    tariff_code VARCHAR,
    invoice_id VARCHAR,
    billed_at TIMESTAMPTZ,
    attributes JSON
);
ALTER TABLE lake.events.charge SET PARTITIONED BY (day);
ALTER TABLE lake.events.charge SET SORTED BY (bucket);
-- What is appended comes in this order already; merging keeps it.
CALL lake.set_option('sort_on_insert', false);

-- One state of one subscription, as network or billing has it, from a time on. Owner: collect.
CREATE TABLE lake.events.subscriber (
    event_id BLOB,
    canonical_version SMALLINT,
    source_id VARCHAR,
    source_row BIGINT,
    source_offset BIGINT,
    source_length BIGINT,
    bucket SMALLINT,            -- of the bucket key; 0 where sessions are it
    key_scope VARCHAR,
    record_key VARCHAR,         -- the row's own identity, or made of its content
    system VARCHAR,             -- network or billing
    subscriber VARCHAR,
    account VARCHAR,
    imsi VARCHAR,
    plan VARCHAR,
    segment VARCHAR,
    status VARCHAR,             -- active, suspended or ceased
    valid_from TIMESTAMPTZ,
    valid_to TIMESTAMPTZ,       -- exclusive; NULL: until further notice
    attributes JSON
);

-- One row of the tariff book. Owner: collect.
CREATE TABLE lake.events.tariff (
    event_id BLOB,
    canonical_version SMALLINT,
    source_id VARCHAR,
    source_row BIGINT,
    source_offset BIGINT,
    source_length BIGINT,
    bucket SMALLINT,            -- 0: the book is everybody's
    key_scope VARCHAR,
    record_key VARCHAR,         -- the row's own identity, or made of its content
    item VARCHAR,               -- rate, band, holiday, allowance or exchange: what the row says
    tariff_code VARCHAR,
    plan VARCHAR,
    service VARCHAR,
    direction VARCHAR,
    zone VARCHAR,
    trunk VARCHAR,
    destination VARCHAR,        -- the prefix of the peers it is for
    band VARCHAR,               -- a time band by name
    valid_from TIMESTAMPTZ,
    valid_to TIMESTAMPTZ,       -- exclusive; NULL: until further notice
    currency VARCHAR,
    setup_micros BIGINT,        -- millionths of the currency, like all money here
    price_micros BIGINT,
    price_per BIGINT,           -- so many units cost the price
    first_increment_micros BIGINT, -- millionths of a unit
    next_increment_micros BIGINT,
    minimum_micros BIGINT,
    tier_from_micros BIGINT,    -- the quantity from which on the price holds, in millionths of a unit
    rounding VARCHAR,
    decimals BIGINT,
    rounding_stage VARCHAR,
    tax_micros BIGINT,          -- the rate in millionths: 0.19 is 190000
    tax_included BOOLEAN,
    unit VARCHAR,               -- s: time passes; anything else is a volume
    weekdays VARCHAR,
    from_time VARCHAR,
    to_time VARCHAR,
    timezone VARCHAR,
    calendar VARCHAR,
    name VARCHAR,
    services VARCHAR,
    shared VARCHAR,
    period VARCHAR,
    to_currency VARCHAR,
    units_micros BIGINT,        -- of an allowance, in millionths of a unit
    attributes JSON
);

-- One statement about the log. Owner: log.
CREATE TABLE lake.events.declaration (
    event_id BLOB,
    kind VARCHAR,               -- close, tick, policy, quality_policy, model or clock
    source VARCHAR,             -- close: the source declared complete
    through TIMESTAMPTZ,        -- close: complete for every time before; tick, clock: the clock
    content JSON                -- policy, quality_policy or model: what is in force from here on; clock: the tick it supersedes, if any
);

-- One source unit (or part of one) taken in. Owner: collect.
CREATE TABLE lake.events.control (
    source_id VARCHAR,
    source VARCHAR,             -- the feed's name in trueup.toml
    stream VARCHAR,             -- usage, charge, subscriber or tariff
    path VARCHAR,               -- where it was read, relative to the project where it lies within
    sha256 VARCHAR,             -- of the unit's bytes
    bytes BIGINT,
    part_no BIGINT,             -- from 0
    last_part BOOLEAN,
    declared_records BIGINT,    -- what the unit itself says it holds; NULL where it says nothing
    records BIGINT,             -- = accepted + duplicate + quarantined
    accepted BIGINT,
    duplicate BIGINT,
    quarantined BIGINT,
    lost_digits BIGINT,         -- records whose decimals were rounded to millionths
    first_time TIMESTAMPTZ,     -- least own time of its accepted and duplicate records; of states, valid_from
    last_time TIMESTAMPTZ,      -- greatest own time
    last_started_at TIMESTAMPTZ, -- greatest started_at: what the frontier observes; NULL for states
    taken_at TIMESTAMPTZ,       -- the injected clock
    mapping VARCHAR,            -- the configuration that mapped its records; NULL in rows of older versions
    sequence_no BIGINT,         -- the ordinal of this row within its source
    previous_hash VARCHAR,      -- hash of the row before in the same source; empty for the first
    hash VARCHAR                -- sha256 over previous_hash and this row
);

-- One rejected record. Owner: collect.
CREATE TABLE lake.events.quarantine (
    event_id BLOB,              -- 16 bytes of sha256 over unit and record number
    source_id VARCHAR,
    source VARCHAR,
    stream VARCHAR,
    source_row BIGINT,
    source_offset BIGINT,
    source_length BIGINT,
    raw BLOB,                   -- the record's bytes as they came
    reason VARCHAR,             -- reason code
    rule VARCHAR                -- the rule and the column that refused it
);

-- One change of one finding: raised, revised, resolved or retracted. Owner: reconcile; of feeds: quality.
CREATE TABLE lake.events.finding (
    finding_id BLOB,            -- 16 bytes of sha256 over kind and subject
    position BIGINT,            -- the position it changed at
    action VARCHAR,             -- raised, revised, resolved or retracted
    cause VARCHAR,
    kind VARCHAR,
    bucket SMALLINT,
    service VARCHAR,
    subscriber VARCHAR,
    peer VARCHAR,
    node VARCHAR,
    day DATE,                   -- of the project's time zone
    started_at TIMESTAMPTZ,
    expected_micros DECIMAL(38, 0),
    billed_micros DECIMAL(38, 0),
    currency VARCHAR,
    usage_event_ids BLOB[],     -- all usage members, ascending
    charge_event_ids BLOB[],    -- all charge members, ascending
    content_event_ids BLOB[],   -- of a conflict: all contents seen
    reason VARCHAR,             -- of what is misrated or unrated: why; of a plan mismatch: the two plans
    ended_at TIMESTAMPTZ,       -- of a subscription the systems tell differently: when they agreed again; of a feed: the end
    stream VARCHAR,             -- of what is wrong with a feed (missing_records, …): its own; NULL for other findings, as below
    source VARCHAR,             -- the feed
    control VARCHAR,            -- what noticed it: files, records, volume, mix, schedule, expectations, …
    subject VARCHAR,            -- what of the feed it is about: the first missing number, the first hour, the expectation and day
    records_low BIGINT,         -- bounds of the records concerned
    records_high BIGINT,
    impact_low_micros DECIMAL(38, 0), -- bounds of the money at stake; NULL where nothing tells what the records are worth
    impact_high_micros DECIMAL(38, 0),
    booking_id BLOB,            -- 16 bytes of sha256 over the subject: findings of one booking share it; NULL of old lakes, conflicts and feeds, as below
    whole_expected_micros DECIMAL(38, 0), -- expected money of the whole booking (session, bill or period) at this position
    whole_billed_micros DECIMAL(38, 0), -- its billed money
    whole_tolerated_micros DECIMAL(38, 0) -- the part of their difference within tolerance; the rest is the impacts of its findings
);

-- Money moved in the conservation sum at one position: the differences, to be added up. Owner: reconcile.
CREATE TABLE lake.events.ledger (
    position BIGINT,
    service VARCHAR,
    day DATE,
    currency VARCHAR,
    expected_micros DECIMAL(38, 0),
    billed_micros DECIMAL(38, 0),
    impact_micros DECIMAL(38, 0),
    tolerated_micros DECIMAL(38, 0),
    pending_micros DECIMAL(38, 0),
    unrated_records BIGINT
);

-- Records the kernel placed, by the position it evaluated up to: the second audit's other side. Owner: reconcile.
CREATE TABLE lake.events.placement (
    position BIGINT,
    stream VARCHAR,
    source VARCHAR,
    currency VARCHAR,           -- of charges; empty for usage
    placed_records BIGINT,      -- counted, in exactly one place
    outdone_records BIGINT,     -- contents of a conflict that do not count
    quantity_micros DECIMAL(38, 0),
    amount_micros DECIMAL(38, 0)
);

-- One suspicious transaction, as one model or rule saw it. Owner: fraud.
CREATE TABLE lake.events.score (
    event_id BLOB,              -- of the usage record
    position BIGINT,            -- the position it came with; of what a later model judged again: the one it was judged at
    source VARCHAR,             -- model or rule
    name VARCHAR,               -- model id, or the rule's name
    role VARCHAR,               -- champion or challenger; of a rule: alert
    bucket SMALLINT,
    day DATE,                   -- UTC day of its own time
    started_at TIMESTAMPTZ,
    service VARCHAR,
    subscriber VARCHAR,
    peer VARCHAR,
    party VARCHAR,              -- who is suspected: the caller of what is received, else the subscriber
    margin DOUBLE,              -- of a model: what the trees add up to
    probability DOUBLE,         -- of a model: calibrated
    reasons JSON                -- sentences; of a model also what each feature adds to the margin
);

-- Transactions looked at in one run by one model or rule, by day: all are counted, only the suspicious are kept. Owner: fraud.
CREATE TABLE lake.events.scoring (
    position BIGINT,            -- the run went up to here
    source VARCHAR,             -- model, rule, or none: no model was in force
    name VARCHAR,
    role VARCHAR,               -- champion, challenger, alert or shadow
    day DATE,
    transactions BIGINT,
    suspicious BIGINT
);

-- How what a model looked at in one run is spread, by day, feature and bin. Owner: fraud.
CREATE TABLE lake.events.drift (
    position BIGINT,
    name VARCHAR,               -- model id
    day DATE,
    feature VARCHAR,            -- or (margin): what the model said
    bin BIGINT,                 -- from 0; the last is of missing values
    transactions BIGINT,
    expected DOUBLE             -- the bin's share when the model was trained
);

-- One human decision on a finding, a fraud case or a suspicious transaction. Owner: warehouse.
CREATE TABLE lake.events.decision (
    event_id BLOB,              -- 16 bytes of sha256 over the decision
    finding_id BLOB,            -- or the case's or the transaction's
    decision VARCHAR,           -- confirmed, recovered, dismissed or reopened
    note VARCHAR,
    decided_by VARCHAR,
    decided_at TIMESTAMPTZ      -- the injected clock
);
