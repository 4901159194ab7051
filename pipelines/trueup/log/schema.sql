-- Tables of the event log. Grain and owner precede each; users read them through the views of the warehouse.
-- Append only: nothing here is ever updated or deleted. `snapshot_id` and `rowid` are virtual columns of each table.
CREATE SCHEMA lake.events;

-- Settings fixed at creation of the lake; one row. Owner: log.
CREATE TABLE lake.events.setting (
    content JSON                -- buckets and bucket_by
);

-- One row per position: an input commit. Its own snapshot_id is that of all rows committed with it. Owner: log.
CREATE TABLE lake.events.position (
    position BIGINT,            -- ordinal, 1 and up, without gaps
    kind VARCHAR,               -- unit, close, tick, policy, quality_policy, model or clock
    committed_at TIMESTAMPTZ    -- the injected clock when it was appended
);

-- One row per commit of a consumer: the position up to which its results are complete. Owner: log.
CREATE TABLE lake.events.consumer (
    consumer VARCHAR,           -- reconcile, …
    position BIGINT,            -- its results cover everything up to here
    configuration VARCHAR       -- of scores: the configuration that produced them; NULL for other consumers and older lakes
);

-- One configuration that rows of the log depend on, recorded once for all commits that refer to it. Owner: log.
CREATE TABLE lake.events.configuration (
    configuration VARCHAR,      -- the first 32 hex digits of sha256 over kind and content
    kind VARCHAR,               -- mapping: of control rows; scoring: of consumers
    content JSON
);

-- One network usage record (CDR/xDR). Owner: collect.
CREATE TABLE lake.events.usage (
    event_id BLOB,              -- 16 bytes of sha256 over the canonical form
    canonical_version SMALLINT, -- which canonical form
    source_id VARCHAR,          -- the source unit that contains it, see control
    source_row BIGINT,          -- record number in the unit, from 0
    source_offset BIGINT,       -- first byte (Parquet: row group) of the record in the decompressed unit
    source_length BIGINT,       -- bytes of the record (Parquet: NULL)
    bucket SMALLINT,            -- stable hash of the bucket key % buckets
    day DATE,                   -- UTC day of its own time: the partition
    key_scope VARCHAR,          -- the scope in which record_key is unique
    record_key VARCHAR,         -- the record's own identity
    session_key VARCHAR,        -- the key that partial records and their charge share
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
    record_version BIGINT,      -- the greatest of a record counts; NULL where its source has no versions
    attributes JSON             -- source columns without a mapping
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
    record_version BIGINT,
    item VARCHAR,               -- the recurring or one-off item that it charges; NULL for a charge of usage
    period_from TIMESTAMPTZ,    -- begin of the time that an item is charged for
    period_to TIMESTAMPTZ,      -- its end, exclusive
    corrects VARCHAR,           -- the finding or the record key that it corrects; NULL for most
    corrected_key VARCHAR,      -- the key of the record whose booking it joins, found when it was collected
    corrected_charge BOOLEAN,   -- whether that record is a charge; NULL: usage, else a charge
    attributes JSON
);
ALTER TABLE lake.events.charge SET PARTITIONED BY (day);
ALTER TABLE lake.events.charge SET SORTED BY (bucket);
-- Rows are appended in this order; merging preserves it.
CALL lake.set_option('sort_on_insert', false);

-- One record as a system between switch and bill passed it on. It is compared along a chain and never reconciled. Owner: collect.
CREATE TABLE lake.events.stage (
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
    amount_micros BIGINT,       -- millionths of the currency; NULL before the stage that rates
    currency VARCHAR,
    tariff_code VARCHAR,
    invoice_id VARCHAR,
    billed_at TIMESTAMPTZ,
    record_version BIGINT,
    stage VARCHAR,              -- the stage of a chain that passed it on
    attributes JSON
);
ALTER TABLE lake.events.stage SET PARTITIONED BY (day);
ALTER TABLE lake.events.stage SET SORTED BY (bucket);

-- One invoice or credit note, as billing issued it. Charges name it by its number. Owner: collect.
CREATE TABLE lake.events.invoice (
    event_id BLOB,
    canonical_version SMALLINT,
    source_id VARCHAR,
    source_row BIGINT,
    source_offset BIGINT,
    source_length BIGINT,
    bucket SMALLINT,
    day DATE,                   -- UTC day of billed_at
    key_scope VARCHAR,
    record_key VARCHAR,
    number VARCHAR,             -- as charges name it in invoice_id
    account VARCHAR,
    kind VARCHAR,               -- invoice or credit_note
    period_from TIMESTAMPTZ,
    period_to TIMESTAMPTZ,      -- the end of its period; [invoice] period_to decides whether it belongs to it
    net_micros BIGINT,          -- millionths of the currency; negative on a credit note
    tax_micros BIGINT,
    total_micros BIGINT,
    currency VARCHAR,
    due_at TIMESTAMPTZ,
    billed_at TIMESTAMPTZ,
    refers_to VARCHAR,          -- of a credit note: the number of the invoice that it credits
    replaces VARCHAR,           -- the number of the one that it was issued again for
    record_version BIGINT,
    attributes JSON
);
ALTER TABLE lake.events.invoice SET PARTITIONED BY (day);
ALTER TABLE lake.events.invoice SET SORTED BY (bucket);

-- One state of one subscription, as network or billing has it, from a time on. Owner: collect.
CREATE TABLE lake.events.subscriber (
    event_id BLOB,
    canonical_version SMALLINT,
    source_id VARCHAR,
    source_row BIGINT,
    source_offset BIGINT,
    source_length BIGINT,
    bucket SMALLINT,            -- of the bucket key; 0 where the bucket key is the session key
    key_scope VARCHAR,
    record_key VARCHAR,         -- the row's own identity, or derived from its content
    system VARCHAR,             -- network or billing
    subscriber VARCHAR,
    account VARCHAR,
    imsi VARCHAR,
    plan VARCHAR,
    segment VARCHAR,
    status VARCHAR,             -- active, suspended or ceased
    valid_from TIMESTAMPTZ,
    valid_to TIMESTAMPTZ,       -- exclusive; NULL: until further notice
    timezone VARCHAR,           -- the zone of its billing days; NULL: that of the item, else of the project
    cycle_day BIGINT,           -- the day of the month on which its billing cycle begins; NULL: the first
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
    bucket SMALLINT,            -- 0: the book applies to every bucket
    key_scope VARCHAR,
    record_key VARCHAR,         -- the row's own identity, or derived from its content
    item VARCHAR,               -- the kind of row: rate, recurring, discount, …
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
    price_per BIGINT,           -- number of units that cost the price
    first_increment_micros BIGINT, -- millionths of a unit
    next_increment_micros BIGINT,
    minimum_micros BIGINT,
    tier_from_micros BIGINT,    -- the quantity from which the price applies, in millionths of a unit
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
    origin VARCHAR,             -- the prefix of the subscribers it is for
    maximum_micros BIGINT,      -- the greatest price of a record
    chargeable_from_micros BIGINT,-- a record of a lesser quantity costs nothing
    free_first_micros BIGINT,   -- the quantity at the beginning of a record that is free
    priced_at VARCHAR,          -- increment or start: whose price holds
    rated_as VARCHAR,           -- of a ported number: the number whose price calls to it have
    due VARCHAR,                -- of a recurring item: advance or arrears
    proration VARCHAR,          -- of a recurring item: day, none or 30
    suspended VARCHAR,          -- of a recurring item: charged or free while the subscription is suspended
    event VARCHAR,              -- of a one-off item: activation, termination, plan_change or sim_change
    applies_to VARCHAR,         -- of a discount: the item that it lowers
    discount_micros BIGINT,     -- of a discount: the fraction in millionths: 0.25 is 250000
    months BIGINT,              -- of a discount: how long it lasts; of a termination: the commitment
    slots VARCHAR,              -- of a rate: later prices within a record, such as 60: 0.05/1; 300: 0.02/60
    attributes JSON
);

-- One statement about the log. Owner: log.
CREATE TABLE lake.events.declaration (
    event_id BLOB,
    kind VARCHAR,               -- close, tick, policy, quality_policy, model or clock
    source VARCHAR,             -- close: the source declared complete
    through TIMESTAMPTZ,        -- close: complete for every time before; tick, clock: the clock
    content JSON                -- policy, quality_policy or model: the content in force from here on; clock: the tick it supersedes, if any
);

-- One ingested source unit, or part of one. Owner: collect.
CREATE TABLE lake.events.control (
    source_id VARCHAR,
    source VARCHAR,             -- the feed's name in trueup.toml
    stream VARCHAR,             -- usage, charge, stage, invoice, subscriber or tariff
    path VARCHAR,               -- where it was read, relative to the project where it lies within
    sha256 VARCHAR,             -- of the unit's bytes
    bytes BIGINT,
    part_no BIGINT,             -- from 0
    last_part BOOLEAN,
    declared_records BIGINT,    -- number of records that the unit or its manifest declares; NULL without a declaration
    records BIGINT,             -- = accepted + duplicate + filtered + quarantined
    accepted BIGINT,
    duplicate BIGINT,
    filtered BIGINT,            -- left out by the source's `where`; NULL in rows of older versions, which counts as 0
    quarantined BIGINT,
    lost_digits BIGINT,         -- records whose decimals were rounded to millionths
    first_time TIMESTAMPTZ,     -- least own time of its accepted and duplicate records; of states, valid_from
    last_time TIMESTAMPTZ,      -- greatest own time
    last_started_at TIMESTAMPTZ, -- greatest started_at, from which the frontier derives; NULL for states
    taken_at TIMESTAMPTZ,       -- the injected clock
    mapping VARCHAR,            -- the configuration that mapped its records; NULL in rows of older versions
    recycles VARCHAR,           -- of records mapped again: the unit that delivered them; NULL for a unit
    sums VARCHAR,               -- JSON by column: the sum that the unit declares, and that of this part as read; NULL without one
    moved BIGINT,               -- rows of `moved` that were committed with it; NULL without any
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
    raw BLOB,                   -- the record's bytes as delivered
    reason VARCHAR,             -- reason code
    rule VARCHAR,               -- the rule and the column that refused it
    record_key VARCHAR,         -- this and the columns below: what its mapping could read of the record; NULL where it could not
    session_key VARCHAR,
    account VARCHAR,
    service VARCHAR,
    subscriber VARCHAR,
    peer VARCHAR,
    own_time TIMESTAMPTZ,       -- started_at, of a charge without it billed_at; of states, valid_from
    quantity_micros BIGINT,
    amount_micros BIGINT,
    currency VARCHAR
);

-- One record in quarantine that was mapped again. Owner: collect.
CREATE TABLE lake.events.recycling (
    event_id BLOB,              -- of the rejected record
    source_id VARCHAR,          -- the unit of records mapped again, as in control
    part_no BIGINT,             -- the part of that unit
    outcome VARCHAR             -- accepted, duplicate, filtered or quarantined
);

-- One content of a usage record or charge with versions, for another bucket key under which the record was delivered: there it
-- withdraws the record, or is outranked. Owner: collect.
CREATE TABLE lake.events.moved (
    event_id BLOB,              -- of the content: an event of the stream, from which the columns from source_id on are copied
    stream VARCHAR,             -- usage or charge
    bucket SMALLINT,            -- of the other bucket key
    bucket_key VARCHAR,         -- the other bucket key; empty where a record has none
    delivered_key VARCHAR,      -- the bucket key of the content
    delivered_at BIGINT,        -- the position of the content, where that is an earlier one; NULL: this commit
    source_id VARCHAR,
    key_scope VARCHAR,
    record_key VARCHAR,
    session_key VARCHAR,
    service VARCHAR,
    subscriber VARCHAR,
    started_at TIMESTAMPTZ,
    quantity_micros BIGINT,
    record_version BIGINT,
    amount_micros BIGINT,       -- this and the columns below: of a charge
    currency VARCHAR,
    billed_at TIMESTAMPTZ,
    item VARCHAR,
    period_from TIMESTAMPTZ,
    period_to TIMESTAMPTZ,
    corrected_key VARCHAR,
    corrected_charge BOOLEAN
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
    reason VARCHAR,             -- of misrated or unrated: why; of a plan mismatch: the two plans
    ended_at TIMESTAMPTZ,       -- of a subscription on which the systems disagree: when they agreed again; of a feed: the end
    stream VARCHAR,             -- of a finding on a feed (missing_records, …): its stream; NULL for other findings, as below
    source VARCHAR,             -- the feed
    control VARCHAR,            -- the control that raised it: files, records, volume, mix, schedule, expectations, …
    subject VARCHAR,            -- the part of the feed: the first missing number, the first hour, the expectation and day
    records_low BIGINT,         -- bounds of the records concerned
    records_high BIGINT,
    impact_low_micros DECIMAL(38, 0), -- bounds of the money at stake; NULL where the value of the records is unknown
    impact_high_micros DECIMAL(38, 0),
    booking_id BLOB,            -- 16 bytes of sha256 over the subject: findings of one booking share it; NULL of old lakes, conflicts and feeds, as below
    whole_expected_micros DECIMAL(38, 0), -- expected money of the whole booking (session, bill or period) at this position
    whole_billed_micros DECIMAL(38, 0), -- its billed money
    whole_tolerated_micros DECIMAL(38, 0), -- the part of their difference within tolerance; the rest is the impacts of its findings
    item VARCHAR,               -- the recurring or one-off item that it is about; NULL of other findings, as below
    period_from TIMESTAMPTZ,    -- the beginning of the item's period, or its event
    period_to TIMESTAMPTZ       -- the end of the item's period, exclusive; NULL of an event
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

-- Records booked by the kernel, by the position up to which it evaluated; an audit compares them with the events. Owner: reconcile.
CREATE TABLE lake.events.placement (
    position BIGINT,
    stream VARCHAR,
    source VARCHAR,
    currency VARCHAR,           -- of charges; empty for usage
    placed_records BIGINT,      -- counted, in exactly one booking
    outdone_records BIGINT,     -- superseded contents of a conflict, not counted
    quantity_micros DECIMAL(38, 0),
    amount_micros DECIMAL(38, 0)
);

-- One suspicious transaction, as one model or rule saw it. Owner: fraud.
CREATE TABLE lake.events.score (
    event_id BLOB,              -- of the usage record
    position BIGINT,            -- the position of its record; if a later model scored it again: the position of that run
    source VARCHAR,             -- model or rule
    name VARCHAR,               -- model id, or the rule's name
    role VARCHAR,               -- champion or challenger; of a rule: alert
    bucket SMALLINT,
    day DATE,                   -- UTC day of its own time
    started_at TIMESTAMPTZ,
    service VARCHAR,
    subscriber VARCHAR,
    peer VARCHAR,
    party VARCHAR,              -- the suspected party: the one whose behaviour the reasons describe
    margin DOUBLE,              -- of a model: the sum of the trees
    probability DOUBLE,         -- of a model: calibrated
    reasons JSON,               -- sentences, typology, action; of a model also each feature's contribution to the margin
    party_rank BIGINT,          -- 1: the party most suspected of this transaction; 2: its other end; NULL: of before there were two
    in_sample BOOLEAN,          -- of a model: whether its training covered the day of the transaction
    loss_micros BIGINT,         -- what the transaction costs if it is fraud; NULL without [[fraud.loss]] of its service
    currency VARCHAR            -- of the loss
);

-- Transactions scored in one run by one model or rule, by day: all are counted, only suspicious ones have a row in score. Owner: fraud.
CREATE TABLE lake.events.scoring (
    position BIGINT,            -- the last position of the run
    source VARCHAR,             -- model, rule, or none: no model was in force
    name VARCHAR,
    role VARCHAR,               -- champion, challenger, alert or shadow
    day DATE,
    transactions BIGINT,
    suspicious BIGINT,
    in_sample BIGINT            -- transactions of days that the model's training covered; NULL: not counted yet
);

-- Distribution of the features and margins that a model scored in one run, by day, feature and bin. Owner: fraud.
CREATE TABLE lake.events.drift (
    position BIGINT,
    name VARCHAR,               -- model id
    day DATE,
    feature VARCHAR,            -- or (margin): the model's output
    bin BIGINT,                 -- from 0; the last has the missing values
    transactions BIGINT,
    expected DOUBLE             -- the bin's share when the model was trained
);

-- One decision of a person on a finding, a case or a suspicious transaction. Owner: warehouse.
CREATE TABLE lake.events.decision (
    event_id BLOB,              -- 16 bytes of sha256 over the decision
    finding_id BLOB,            -- or the case's or the transaction's
    decision VARCHAR,           -- confirmed, dismissed, claimed, …: see trueup.reconcile.domain.decision_kinds
    note VARCHAR,
    decided_by VARCHAR,
    decided_at TIMESTAMPTZ,     -- the injected clock
    details JSON                -- amount_micros, whole, until, assignee, into, …; NULL for a decision without any, and of older lakes
);

-- One case of a root cause opened: its id is a hash of kind, currency and pattern, or of its parent and findings. Owner: investigation.
CREATE TABLE lake.events.case_opening (
    case_id BLOB,               -- 16 bytes of sha256
    kind VARCHAR,               -- of its findings
    currency VARCHAR,           -- of its money
    pattern JSON,               -- the values of dimensions that its findings share: an array of [dimension, value]
    parent BLOB,                -- the case that it was split from; NULL for a case that a search opened
    position BIGINT,            -- the position up to which the search read
    opened_at TIMESTAMPTZ,      -- the injected clock
    owner VARCHAR,              -- who is responsible, by the settings; a decision may assign another person
    due_on DATE,                -- the day by which it is due, by the settings
    evidence JSON               -- findings, money_micros and records that the search counted
);

-- One message about a case, sent to one channel: it is not sent there again. Owner: investigation.
CREATE TABLE lake.events.notice (
    event_id BLOB,              -- 16 bytes of sha256 over subject, content and channel
    subject BLOB,               -- the case
    channel VARCHAR,            -- file, or the kind of address and a hash of it; never the address, which may hold a password
    content JSON,               -- the message
    sent_at TIMESTAMPTZ         -- the injected clock
);

-- One finding filed in a case; the last filing of a finding counts. Owner: investigation.
CREATE TABLE lake.events.case_filing (
    finding_id BLOB,
    case_id BLOB,
    position BIGINT,            -- the position up to which the search read
    filed_at TIMESTAMPTZ        -- the injected clock
);
