-- Tables of the event log. A comment before each table names its grain and owner. Users read the tables through the views of the
-- warehouse.
-- The log is append-only: no row is ever updated or deleted. `snapshot_id` and `rowid` are virtual columns of each table.
CREATE SCHEMA lake.events;

-- Settings fixed at creation of the lake; one row. Owner: log.
CREATE TABLE lake.events.setting (
    content JSON                -- buckets and bucket_by
);

-- One row per position: an input commit. The row has the same snapshot_id as all rows committed with it. Owner: log.
CREATE TABLE lake.events.position (
    position BIGINT,            -- ordinal, 1 and up, without gaps
    kind VARCHAR,               -- unit, close, tick, policy, quality_policy, model or clock
    committed_at TIMESTAMPTZ    -- the time of the injected clock when the commit was appended
);

-- One row per commit of a consumer: the position up to which its results are complete. Owner: log.
CREATE TABLE lake.events.consumer (
    consumer VARCHAR,           -- name of the consumer: reconcile, …
    position BIGINT,            -- the position up to which the consumer's results are complete
    configuration VARCHAR,      -- of scores: the configuration that produced them; NULL for other consumers and older lakes
    read_snapshot BIGINT        -- of a search for cases: the commit of the newest finding that it read; NULL for other consumers and older lakes
);

-- One configuration that rows of the log depend on, recorded once for all commits that refer to it. Owner: log.
CREATE TABLE lake.events.configuration (
    configuration VARCHAR,      -- the first 32 hex digits of sha256 over kind and content
    kind VARCHAR,               -- mapping: a configuration of control rows; scoring: a configuration of consumers
    content JSON
);

-- One network usage record (CDR/xDR). Owner: collect.
CREATE TABLE lake.events.usage (
    event_id BLOB,              -- 16 bytes of sha256 over the canonical form
    canonical_version SMALLINT, -- version of the canonical form
    source_id VARCHAR,          -- the source unit that contains the record, as in control
    source_row BIGINT,          -- record number in the unit, from 0
    source_offset BIGINT,       -- first byte (Parquet: row group) of the record in the decompressed unit
    source_length BIGINT,       -- bytes of the record (Parquet: NULL)
    bucket SMALLINT,            -- stable hash of the bucket key % buckets
    day DATE,                   -- UTC day of the record's own time: the partition
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
    record_version BIGINT,      -- version of the record: the greatest counts; NULL where the source has no versions
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
    period_from TIMESTAMPTZ,    -- begin of the time that the item is charged for
    period_to TIMESTAMPTZ,      -- end of the time that the item is charged for, exclusive
    corrects VARCHAR,           -- the finding or the record key that the charge corrects; NULL for most charges
    corrected_key VARCHAR,      -- the key of the record whose booking the charge joins, looked up when the charge was collected
    corrected_charge BOOLEAN,   -- whether the record of corrected_key is a charge; NULL: usage if there is any, else a charge
    attributes JSON
);
ALTER TABLE lake.events.charge SET PARTITIONED BY (day);
ALTER TABLE lake.events.charge SET SORTED BY (bucket);
-- Rows are appended in this order, and merging preserves the order.
CALL lake.set_option('sort_on_insert', false);

-- One record that a system between switch and bill passed on. Records of stages are compared along a chain and never reconciled.
-- Owner: collect.
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
    stage VARCHAR,              -- the stage of the chain that passed the record on
    attributes JSON
);
ALTER TABLE lake.events.stage SET PARTITIONED BY (day);
ALTER TABLE lake.events.stage SET SORTED BY (bucket);

-- One invoice or credit note, as billing issued it. Charges refer to an invoice by its number. Owner: collect.
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
    number VARCHAR,             -- number of the document, as charges name it in invoice_id
    account VARCHAR,
    kind VARCHAR,               -- invoice or credit_note
    period_from TIMESTAMPTZ,
    period_to TIMESTAMPTZ,      -- end of the billed period; the setting period_to of [invoice] decides whether the period includes this time
    net_micros BIGINT,          -- millionths of the currency; negative on a credit note
    tax_micros BIGINT,
    total_micros BIGINT,
    currency VARCHAR,
    due_at TIMESTAMPTZ,
    billed_at TIMESTAMPTZ,
    refers_to VARCHAR,          -- of a credit note: the number of the credited invoice
    replaces VARCHAR,           -- the number of the invoice that this invoice replaces
    record_version BIGINT,
    attributes JSON
);
ALTER TABLE lake.events.invoice SET PARTITIONED BY (day);
ALTER TABLE lake.events.invoice SET SORTED BY (bucket);

-- One state of one subscription in the network or in billing, from a time on. Owner: collect.
CREATE TABLE lake.events.subscriber (
    event_id BLOB,
    canonical_version SMALLINT,
    source_id VARCHAR,
    source_row BIGINT,
    source_offset BIGINT,
    source_length BIGINT,
    bucket SMALLINT,            -- bucket of the bucket key; 0 where the bucket key is the session key
    key_scope VARCHAR,
    record_key VARCHAR,         -- the row's own identity, or a hash of its content
    system VARCHAR,             -- network or billing
    subscriber VARCHAR,
    account VARCHAR,
    imsi VARCHAR,
    plan VARCHAR,
    segment VARCHAR,
    status VARCHAR,             -- active, suspended or ceased
    valid_from TIMESTAMPTZ,
    valid_to TIMESTAMPTZ,       -- end, exclusive; NULL: until further notice
    timezone VARCHAR,           -- time zone of the billing days of the subscription; NULL: the zone of the item, else of the project
    cycle_day BIGINT,           -- day of the month on which the billing cycle begins; NULL: the first
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
    bucket SMALLINT,            -- 0: the tariff book applies to every bucket
    key_scope VARCHAR,
    record_key VARCHAR,         -- the row's own identity, or a hash of its content
    item VARCHAR,               -- the kind of row: rate, recurring, discount, …
    tariff_code VARCHAR,
    plan VARCHAR,
    service VARCHAR,
    direction VARCHAR,
    zone VARCHAR,
    trunk VARCHAR,
    destination VARCHAR,        -- the prefix of the peers that the row applies to
    band VARCHAR,               -- name of a time band
    valid_from TIMESTAMPTZ,
    valid_to TIMESTAMPTZ,       -- end, exclusive; NULL: until further notice
    currency VARCHAR,
    setup_micros BIGINT,        -- fee for each use, in millionths of the currency, like all money of this table
    price_micros BIGINT,
    price_per BIGINT,           -- number of units for which price_micros is charged
    first_increment_micros BIGINT, -- millionths of a unit
    next_increment_micros BIGINT,
    minimum_micros BIGINT,
    tier_from_micros BIGINT,    -- the quantity from which on the price applies, in millionths of a unit
    rounding VARCHAR,
    decimals BIGINT,
    rounding_stage VARCHAR,
    tax_micros BIGINT,          -- rate of the tax in millionths: 0.19 is 190000
    tax_included BOOLEAN,
    unit VARCHAR,               -- s: the price is for time; any other unit is a volume
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
    units_micros BIGINT,        -- size of an allowance, in millionths of a unit
    origin VARCHAR,             -- the prefix of the subscribers that the row applies to
    maximum_micros BIGINT,      -- greatest price of one record
    chargeable_from_micros BIGINT,-- least quantity of a record that is charged; a smaller record costs nothing
    free_first_micros BIGINT,   -- the free quantity at the beginning of each record
    priced_at VARCHAR,          -- increment: each increment has the price in force at its time; start: the price at the start of the record
    rated_as VARCHAR,           -- of a ported number: the number whose price applies to calls to the ported number
    due VARCHAR,                -- of a recurring item: whether it is due in advance or in arrears
    proration VARCHAR,          -- of a recurring item: how part of a period is charged: day, none or 30
    suspended VARCHAR,          -- of a recurring item: whether it is charged or free while the subscription is suspended
    event VARCHAR,              -- of a one-off item: the event that is charged: activation, termination, plan_change or sim_change
    applies_to VARCHAR,         -- of a discount: the item that the discount lowers
    discount_micros BIGINT,     -- of a discount: the fraction in millionths; 0.25 is 250000
    months BIGINT,              -- of a discount: its duration in months; of a termination fee: the months of the commitment
    slots VARCHAR,              -- of a rate: later prices within a record, such as 60: 0.05/1; 300: 0.02/60
    attributes JSON
);

-- One declaration about the log itself. Owner: log.
CREATE TABLE lake.events.declaration (
    event_id BLOB,
    kind VARCHAR,               -- close, tick, policy, quality_policy, model or clock
    source VARCHAR,             -- of a close: the source that is declared complete
    through TIMESTAMPTZ,        -- of a close: the source is complete for all times before; of a tick or clock: the time of the clock
    content JSON                -- of a policy, quality_policy or model: the content in force from this position on; of a clock: the tick that it supersedes, if any
);

-- One ingested source unit, or one part of it. Owner: collect.
CREATE TABLE lake.events.control (
    source_id VARCHAR,
    source VARCHAR,             -- the feed's name in trueup.toml
    stream VARCHAR,             -- usage, charge, stage, invoice, subscriber or tariff
    path VARCHAR,               -- path of the file, relative to the project where the file lies within the project
    sha256 VARCHAR,             -- sha256 of the bytes of the unit
    bytes BIGINT,
    part_no BIGINT,             -- number of the part, from 0
    last_part BOOLEAN,
    declared_records BIGINT,    -- number of records that the unit or its manifest declares; NULL without a declaration
    records BIGINT,             -- = accepted + duplicate + filtered + quarantined
    accepted BIGINT,
    duplicate BIGINT,
    filtered BIGINT,            -- records that the source's `where` left out; NULL in rows of older versions, which counts as 0
    quarantined BIGINT,
    lost_digits BIGINT,         -- records whose decimals were rounded to millionths
    first_time TIMESTAMPTZ,     -- least own time of the accepted and duplicate records; of subscriptions, valid_from
    last_time TIMESTAMPTZ,      -- greatest own time of the accepted and duplicate records
    last_started_at TIMESTAMPTZ, -- greatest started_at, from which the frontier follows; NULL for subscriptions
    taken_at TIMESTAMPTZ,       -- the injected clock
    mapping VARCHAR,            -- the configuration that mapped the records; NULL in rows of older versions
    recycles VARCHAR,           -- of records mapped again: the unit that delivered them; NULL for a delivered unit
    sums VARCHAR,               -- JSON by column: the sum that the unit declares, and the sum of this part as read; NULL without a declared sum
    moved BIGINT,               -- number of rows of `moved` in the same commit; NULL without any
    sequence_no BIGINT,         -- the ordinal of this row within its source
    previous_hash VARCHAR,      -- hash of the preceding row of the same source; empty for the first row
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
    reason VARCHAR,             -- code of the reason
    rule VARCHAR,               -- the rule that refused the record, and the column
    record_key VARCHAR,         -- this column and those below: the value that the mapping read from the record; NULL where it could read none
    session_key VARCHAR,
    account VARCHAR,
    service VARCHAR,
    subscriber VARCHAR,
    peer VARCHAR,
    own_time TIMESTAMPTZ,       -- started_at; of a charge without it, billed_at; of subscriptions, valid_from
    quantity_micros BIGINT,
    amount_micros BIGINT,
    currency VARCHAR
);

-- One record in quarantine that was mapped again. Owner: collect.
CREATE TABLE lake.events.recycling (
    event_id BLOB,              -- id of the rejected record
    source_id VARCHAR,          -- the unit of records mapped again, as in control
    part_no BIGINT,             -- the part of the unit
    outcome VARCHAR             -- accepted, duplicate, filtered or quarantined
);

-- One content of a usage record or charge with versions, for another bucket key under which the record was delivered. Under that
-- key the content withdraws the record, or is itself outranked. Owner: collect.
CREATE TABLE lake.events.moved (
    event_id BLOB,              -- id of the content: an event of the stream, from which the columns from source_id on are copied
    stream VARCHAR,             -- usage or charge
    bucket SMALLINT,            -- bucket of the other bucket key
    bucket_key VARCHAR,         -- the other bucket key; empty where the record has none
    delivered_key VARCHAR,      -- the bucket key under which the content was delivered
    delivered_at BIGINT,        -- the position of the content, where it is earlier than this commit; NULL: this commit
    source_id VARCHAR,
    key_scope VARCHAR,
    record_key VARCHAR,
    session_key VARCHAR,
    service VARCHAR,
    subscriber VARCHAR,
    started_at TIMESTAMPTZ,
    quantity_micros BIGINT,
    record_version BIGINT,
    amount_micros BIGINT,       -- this column and those below: only of a charge
    currency VARCHAR,
    billed_at TIMESTAMPTZ,
    item VARCHAR,
    period_from TIMESTAMPTZ,
    period_to TIMESTAMPTZ,
    corrected_key VARCHAR,
    corrected_charge BOOLEAN
);

-- One change of one finding: raised, revised, resolved or retracted. Owner: reconcile; of findings about feeds: quality.
CREATE TABLE lake.events.finding (
    finding_id BLOB,            -- 16 bytes of sha256 over kind and subject
    position BIGINT,            -- the position at which the finding changed
    action VARCHAR,             -- raised, revised, resolved or retracted
    cause VARCHAR,
    kind VARCHAR,
    bucket SMALLINT,
    service VARCHAR,
    subscriber VARCHAR,
    peer VARCHAR,
    node VARCHAR,
    day DATE,                   -- day of the money, in the project's time zone
    started_at TIMESTAMPTZ,
    expected_micros DECIMAL(38, 0),
    billed_micros DECIMAL(38, 0),
    currency VARCHAR,
    usage_event_ids BLOB[],     -- ids of all usage records of the finding, ascending
    charge_event_ids BLOB[],    -- ids of all charges of the finding, ascending
    content_event_ids BLOB[],   -- of a conflict: ids of all delivered contents
    reason VARCHAR,             -- of misrated and unrated findings: the reason; of a plan mismatch: the two plans
    ended_at TIMESTAMPTZ,       -- of a difference between systems on a subscription: when they agreed again; of a feed: the end of the affected time
    stream VARCHAR,             -- of a finding about a feed (missing_records, …): its stream; NULL for other findings, as are the columns below
    source VARCHAR,             -- name of the feed
    control VARCHAR,            -- the control that raised the finding: files, records, volume, mix, schedule, expectations, …
    subject VARCHAR,            -- the affected part of the feed: the first missing number, the first hour, or the expectation and day
    records_low BIGINT,         -- least number of the records concerned
    records_high BIGINT,
    impact_low_micros DECIMAL(38, 0), -- least money at stake; NULL where the value of the records is unknown
    impact_high_micros DECIMAL(38, 0),
    booking_id BLOB,            -- 16 bytes of sha256 over the subject: one booking has one id; NULL in old lakes, for conflicts and for feeds, as are the columns below
    whole_expected_micros DECIMAL(38, 0), -- expected money of the whole booking (session, bill or period) at this position
    whole_billed_micros DECIMAL(38, 0), -- billed money of the whole booking
    whole_tolerated_micros DECIMAL(38, 0), -- the part of whole expected - billed that is within tolerance; the rest is the sum of the impacts of the findings
    item VARCHAR,               -- the recurring or one-off item that the finding is about; NULL for other findings, as are the columns below
    period_from TIMESTAMPTZ,    -- begin of the item's period, or the time of its event
    period_to TIMESTAMPTZ       -- end of the item's period, exclusive; NULL for an event
);

-- Changes of the conservation sums at one position; adding them up gives the sums. Owner: reconcile.
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

-- Records that the kernel booked, by the position up to which it evaluated. An audit compares them with the events.
-- Owner: reconcile.
CREATE TABLE lake.events.placement (
    position BIGINT,
    stream VARCHAR,
    source VARCHAR,
    currency VARCHAR,           -- currency of charges; empty for usage
    placed_records BIGINT,      -- records that count, each in exactly one booking
    outdone_records BIGINT,     -- outranked contents of a conflict, which do not count
    quantity_micros DECIMAL(38, 0),
    amount_micros DECIMAL(38, 0)
);

-- One suspicious transaction, as scored by one model or rule. Owner: fraud.
CREATE TABLE lake.events.score (
    event_id BLOB,              -- id of the usage record
    position BIGINT,            -- the position of the record; if a later model scored the record again, the position of that run
    source VARCHAR,             -- model or rule
    name VARCHAR,               -- model id, or the rule's name
    role VARCHAR,               -- of a model: champion or challenger; of a rule: alert
    bucket SMALLINT,
    day DATE,                   -- UTC day of the record's own time
    started_at TIMESTAMPTZ,
    service VARCHAR,
    subscriber VARCHAR,
    peer VARCHAR,
    party VARCHAR,              -- the suspected party, whose behaviour the reasons describe
    margin DOUBLE,              -- of a model: the sum of the outputs of its trees
    probability DOUBLE,         -- of a model: the calibrated probability of fraud
    reasons JSON,               -- sentences, typology and action; of a model also the contribution of each feature to the margin
    party_rank BIGINT,          -- 1: the most suspected party of the transaction; 2: the other end; NULL: from a version with one party per transaction
    in_sample BOOLEAN,          -- of a model: whether its training covered the day of the transaction
    loss_micros BIGINT,         -- the loss if the transaction is fraud; NULL where [[fraud.loss]] has no price of the service
    currency VARCHAR            -- currency of the loss
);

-- Number of transactions that one model or rule scored in one run, by day. Only suspicious transactions have a row in score.
-- Owner: fraud.
CREATE TABLE lake.events.scoring (
    position BIGINT,            -- the last position of the run
    source VARCHAR,             -- model, rule, or none where no model was in force
    name VARCHAR,
    role VARCHAR,               -- champion, challenger, alert or shadow
    day DATE,
    transactions BIGINT,
    suspicious BIGINT,
    in_sample BIGINT            -- transactions of days that the model's training covered; NULL where an older version did not count them
);

-- Distribution of the features and margins that a model computed in one run, by day, feature and bin. Owner: fraud.
CREATE TABLE lake.events.drift (
    position BIGINT,
    name VARCHAR,               -- id of the model
    day DATE,
    feature VARCHAR,            -- name of the feature, or (margin) for the output of the model
    bin BIGINT,                 -- number of the bin, from 0; the last bin has the missing values
    transactions BIGINT,
    expected DOUBLE             -- share of the bin in the training data
);

-- One decision of a person on a finding, a case or a suspicious transaction. Owner: warehouse.
CREATE TABLE lake.events.decision (
    event_id BLOB,              -- 16 bytes of sha256 over the decision
    finding_id BLOB,            -- id of the finding, case or suspicious transaction
    decision VARCHAR,           -- confirmed, dismissed, claimed, …, as in trueup.reconcile.domain.decision_kinds
    note VARCHAR,
    decided_by VARCHAR,
    decided_at TIMESTAMPTZ,     -- the injected clock
    details JSON                -- amount_micros, whole, until, assignee, into, …; NULL for a decision without details, and in older lakes
);

-- One opened case of a root cause. Its id is a hash of kind, currency and pattern, or of the parent case and its findings.
-- Owner: investigation.
CREATE TABLE lake.events.case_opening (
    case_id BLOB,               -- 16 bytes of sha256
    kind VARCHAR,               -- kind of the findings
    currency VARCHAR,           -- currency of the money
    pattern JSON,               -- the values of dimensions that the findings share: an array of [dimension, value]
    parent BLOB,                -- the case from which a person split this case; NULL for a case that a search opened
    position BIGINT,            -- the position up to which the search had read the log
    opened_at TIMESTAMPTZ,      -- the injected clock
    owner VARCHAR,              -- the responsible person by the settings; a decision may assign another person
    due_on DATE,                -- the day by which the case is due, by the settings
    evidence JSON               -- findings, money_micros and records that the search counted
);

-- One message about a case that was sent to one channel and will not be sent there again. Owner: investigation.
CREATE TABLE lake.events.notice (
    event_id BLOB,              -- 16 bytes of sha256 over subject, content and channel
    subject BLOB,               -- id of the case
    channel VARCHAR,            -- file, or the kind of address and a hash of it; an address may hold a password and is never stored
    content JSON,               -- content of the message
    sent_at TIMESTAMPTZ         -- the injected clock
);

-- One filing of a finding in a case. The last filing of a finding counts. Owner: investigation.
CREATE TABLE lake.events.case_filing (
    finding_id BLOB,
    case_id BLOB,
    position BIGINT,            -- the position up to which the search had read the log
    filed_at TIMESTAMPTZ        -- the injected clock
);
