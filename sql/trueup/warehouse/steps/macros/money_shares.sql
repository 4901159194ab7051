-- The share of each item in a decision about a part of the money. `items` and `decisions` name tables or views: items have the
-- columns of `money_item`, decisions those of `decision_event`. A query may pass the name of its own common table expression.
-- Owner: investigation.
-- A decision on an item takes from the money of the item. A decision on a case takes from what the decisions on the items leave, one
-- item after another: by filing, then by descending money. Money that the reopening of an item frees is taken last. A reopening
-- returns the amounts of its subject taken before it. So the shares of an item never exceed its money.
CREATE OR REPLACE MACRO steps.money_shares(items, decisions) AS TABLE (
    WITH amounts AS MATERIALIZED (
        SELECT
            d.event_id, d.finding_id AS subject, d.decision, d.decided_by, d.account, d.amount_micros, d.snapshot,
            count(*) FILTER (d.status = 'open') OVER (
                PARTITION BY d.finding_id ORDER BY d.snapshot RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS times_reopened,
            min(d.snapshot) FILTER (d.status = 'open') OVER (
                PARTITION BY d.finding_id ORDER BY d.snapshot RANGE BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
            ) AS until_snapshot
        FROM query_table(decisions) d
        QUALIFY d.amount_micros IS NOT NULL AND d.account IS NOT NULL
    ),
    stretches AS MATERIALIZED (
        SELECT
            a.*, coalesce(a.until_snapshot, 9223372036854775807) AS end_snapshot,
            sum(a.amount_micros) OVER (PARTITION BY a.subject, a.times_reopened ORDER BY a.snapshot, a.event_id) AS to_micros,
            to_micros - a.amount_micros AS from_micros
        FROM amounts a
    ),
    affected AS MATERIALIZED (
        SELECT i.item_id, i.case_id, i.filed_snapshot, sign(i.micros) AS direction, abs(i.micros) AS micros
        FROM query_table(items) i
        WHERE i.item_id IN (SELECT a.subject FROM amounts a) OR i.case_id IN (SELECT a.subject FROM amounts a)
    ),
    -- Decisions on the items themselves; with each, the money of the item taken so far.
    own AS MATERIALIZED (
        SELECT i.item_id, s.event_id, s.snapshot, s.end_snapshot, s.from_micros, least(s.to_micros, i.micros) AS to_micros
        FROM stretches s
        JOIN affected i ON i.item_id = s.subject
        WHERE s.from_micros < i.micros
    ),
    -- The money that each decision on a case may take from an item: what the decisions on the item leave while this one is in force.
    free AS (
        SELECT
            s.subject, s.times_reopened, s.snapshot, i.item_id, i.filed_snapshot, i.micros,
            min(i.micros - coalesce(o.to_micros, 0)) AS free_micros
        FROM (SELECT DISTINCT s.subject, s.times_reopened, s.snapshot, s.end_snapshot FROM stretches s) s
        JOIN affected i ON i.case_id = s.subject
        LEFT JOIN own o ON o.item_id = i.item_id AND o.snapshot < s.end_snapshot AND s.snapshot < o.end_snapshot
        GROUP BY ALL
    ),
    -- The line of a case, cut into pieces: the free money of each item at the first decision, and what later decisions find freed.
    pieces AS (
        SELECT
            f.*,
            f.free_micros - lag(f.free_micros, 1, 0) OVER (PARTITION BY f.subject, f.times_reopened, f.item_id ORDER BY f.snapshot) AS piece_micros
        FROM free f
    ),
    line AS (
        SELECT
            p.subject, p.times_reopened, p.snapshot, p.item_id,
            sum(p.piece_micros) OVER (
                PARTITION BY p.subject, p.times_reopened
                ORDER BY greatest(p.snapshot, p.filed_snapshot), p.filed_snapshot, p.micros DESC, p.item_id, p.snapshot
            ) AS to_micros,
            to_micros - p.piece_micros AS from_micros
        FROM pieces p
        WHERE p.piece_micros > 0
    ),
    shares AS (
        SELECT o.item_id, o.event_id, o.snapshot, o.to_micros - o.from_micros AS micros FROM own o
        UNION ALL
        SELECT l.item_id, s.event_id, s.snapshot, sum(least(s.to_micros, l.to_micros) - greatest(s.from_micros, l.from_micros))
        FROM stretches s
        JOIN line l
            ON l.subject = s.subject AND l.times_reopened = s.times_reopened AND l.snapshot <= s.snapshot
            AND l.from_micros < s.to_micros AND s.from_micros < l.to_micros
        GROUP BY l.item_id, s.event_id, s.snapshot
    )
    SELECT
        h.item_id, s.event_id, s.decision, s.decided_by, s.account, s.snapshot, s.until_snapshot,
        CAST(i.direction * h.micros AS DECIMAL(38, 0)) AS micros
    FROM shares h
    -- The same words at the same time have the same id, in two commits.
    JOIN stretches s ON s.event_id = h.event_id AND s.snapshot = h.snapshot
    JOIN affected i ON i.item_id = h.item_id
);
