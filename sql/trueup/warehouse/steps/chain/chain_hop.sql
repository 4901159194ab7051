-- The value of each unit before and after each hop of its chain.
-- Grain: one row per chain, hop and unit whose stages differ; one without a unit for all others of a service, day and currency. Owner: warehouse.
-- At the first stage a unit is worth its billed money plus the impacts of its findings. At a stage with amounts a unit is worth its
-- amount, and at any other stage a value in proportion to its quantity. So the losses of all hops of a unit add up to the impacts
-- of its findings, each counted once. If a stage lacks a unit that a later stage has, the unit keeps its value from the stage
-- before.
WITH units AS MATERIALIZED (
    FROM steps.chain_unit
),
stages AS (
    SELECT
        u.* EXCLUDE (present), s.stage_no, list_filter(u.present, lambda p: p.stage_no = s.stage_no)[1] AS own,
        u.last_present < u.last_no AND u.impact_micros = 0 AS is_open
    FROM units u
    JOIN steps.chain_stage s ON s.chain = u.chain
    WHERE NOT u.agrees
),
known AS (
    SELECT
        s.*,
        CASE
            WHEN s.stage_no = 0 THEN s.billed_micros + s.impact_micros
            WHEN s.stage_no = s.last_no THEN s.billed_micros
            WHEN s.own.currency = s.currency THEN s.own.amount_micros
        END AS known_micros
    FROM stages s
),
bases AS (
    SELECT
        k.*,
        last_value(if(
            k.own.quantity_micros > 0 AND k.known_micros IS NOT NULL,
            struct_pack(worth := k.known_micros, quantity := k.own.quantity_micros), NULL
        ) IGNORE NULLS) OVER before AS base,
        first_value(if(k.own IS NULL, NULL, k.known_micros) IGNORE NULLS) OVER after AS next_micros,
        first_value(k.known_micros) OVER whole AS first_micros
    FROM known k
    WINDOW
        whole AS (PARTITION BY k.chain, k.scope, k.unit ORDER BY k.stage_no ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING),
        before AS (PARTITION BY k.chain, k.scope, k.unit ORDER BY k.stage_no ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
        after AS (PARTITION BY k.chain, k.scope, k.unit ORDER BY k.stage_no ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
),
measured AS (
    SELECT
        b.*,
        CASE
            WHEN b.stage_no IN (0, b.last_no) THEN b.known_micros
            WHEN b.is_open OR b.stage_no > b.last_present THEN 0
            WHEN b.stage_no < b.first_present THEN b.first_micros
            WHEN b.own IS NULL THEN NULL
            WHEN b.known_micros IS NOT NULL THEN b.known_micros
            WHEN b.base IS NOT NULL AND b.own.quantity_micros IS NOT NULL
                THEN CAST(b.base.worth AS HUGEINT) * b.own.quantity_micros // b.base.quantity
            WHEN b.base IS NOT NULL THEN NULL
            ELSE coalesce(b.next_micros, b.first_micros)
        END AS measured_micros
    FROM bases b
),
worth AS (
    SELECT m.*, last_value(m.measured_micros IGNORE NULLS) OVER before AS worth_micros
    FROM measured m
    WINDOW before AS (PARTITION BY m.chain, m.scope, m.unit ORDER BY m.stage_no ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
),
hops AS (
    SELECT
        w.*, lead(w.worth_micros) OVER ascending AS next_worth_micros,
        w.stage_no BETWEEN w.first_present AND w.last_present AS is_in,
        w.stage_no + 1 BETWEEN w.first_present AND w.last_present AS is_out
    FROM worth w
    WINDOW ascending AS (PARTITION BY w.chain, w.scope, w.unit ORDER BY w.stage_no)
),
all_hops AS (
    SELECT
        h.chain, h.stage_no, h.scope, h.unit, h.service, h.subscriber, h.day, h.currency, h.started_at, h.finding_ids, 1 AS units,
        h.is_in, h.is_out, h.worth_micros, h.next_worth_micros,
        CASE
            WHEN h.is_in AND NOT h.is_out AND h.is_open THEN 'open'
            WHEN h.is_in AND NOT h.is_out AND (
                f.reached_time IS NULL OR h.started_at >= f.reached_time
                OR len(list_filter(f.gaps, lambda g: h.started_at BETWEEN g.from_time AND g.until_time)) > 0
            ) THEN 'late'
            WHEN h.is_in AND NOT h.is_out THEN 'lost'
            WHEN h.is_out AND NOT h.is_in THEN 'added'
            WHEN h.worth_micros <> h.next_worth_micros THEN 'changed'
            WHEN h.is_in THEN 'passed'
        END AS change
    FROM hops h
    JOIN steps.chain_feed f ON f.chain = h.chain AND f.stage_no = h.stage_no + 1
    WHERE h.stage_no < h.last_no
    UNION ALL
    SELECT
        u.chain, s.stage_no, NULL, NULL, u.service, NULL, u.day, u.currency, NULL, [], u.units, TRUE, TRUE, u.billed_micros,
        u.billed_micros, 'passed'
    FROM (
        SELECT a.chain, a.service, a.day, a.currency, count(*) AS units, sum(a.billed_micros) AS billed_micros
        FROM units a
        WHERE a.agrees
        GROUP BY a.chain, a.service, a.day, a.currency
    ) u
    JOIN steps.chain_stage s ON s.chain = u.chain AND s.stage_no < s.last_no
)
SELECT
    a.chain,                                      -- as in steps.chain_stage
    a.stage_no + 1 AS hop_no,                     -- number of the hop, from 1: the hop out of the usage
    source.stage AS from_stage,                   -- the stage before the hop
    target.stage AS to_stage,                     -- the stage after the hop
    a.scope,                                      -- as in steps.chain_unit; NULL where all stages agree
    a.unit,                                       -- as in steps.chain_unit; NULL where all stages agree
    a.service,                                    -- as in steps.chain_unit
    a.subscriber,                                 -- as in steps.chain_unit
    a.day,                                        -- as in steps.chain_unit
    a.currency,                                   -- as in steps.chain_unit
    a.started_at,                                 -- as in steps.chain_unit
    a.finding_ids,                                -- as in steps.chain_unit
    CAST(a.units AS BIGINT) AS units,             -- the number of units
    a.is_in,                                      -- whether the unit has reached the stage before the hop
    a.is_out,                                     -- whether the unit has reached the stage after the hop
    a.change,                                     -- passed, changed, lost, late, open or added; NULL where the hop has no part of the unit
    a.worth_micros,                               -- value of the unit before the hop
    a.next_worth_micros,                          -- value of the unit after the hop
    a.worth_micros - a.next_worth_micros AS loss_micros -- value that the hop lost; negative: added
FROM all_hops a
JOIN steps.chain_stage source ON source.chain = a.chain AND source.stage_no = a.stage_no
JOIN steps.chain_stage target ON target.chain = a.chain AND target.stage_no = a.stage_no + 1
