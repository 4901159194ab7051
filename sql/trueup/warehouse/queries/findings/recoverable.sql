-- Findings whose money is to be billed again (or, with $credits, credited), with the record that names their booking.
-- Grain: one row per finding. Owner: warehouse. A NULL parameter does not filter. A finding about an item (a rental, a fee) has the
-- item and its period, so that a new charge joins the booking. The record_key of such a finding is NULL where nothing was charged.
WITH owed AS MATERIALIZED (
    SELECT f.*, f.usage_event_ids[1] AS usage_id, f.charge_event_ids[1] AS charge_id
    FROM steps.finding_now f
    SEMI JOIN steps.finding_owed o ON o.finding_id = f.finding_id
    WHERE ($kinds IS NULL OR list_contains($kinds::VARCHAR[], f.kind)) AND ($service IS NULL OR f.service = $service)
        AND ($from_day IS NULL OR f.day >= CAST($from_day AS DATE)) AND ($to_day IS NULL OR f.day <= CAST($to_day AS DATE))
        AND if($credits, f.impact_micros < 0, f.impact_micros > 0)
),
records AS (
    SELECT o.finding_id, e.record_key, e.session_key, e.account, e.subscriber, e.peer, e.started_at
    FROM lake.events.usage e
    JOIN owed o ON o.usage_id = e.event_id
    UNION ALL
    SELECT o.finding_id, e.record_key, e.session_key, e.account, e.subscriber, e.peer, coalesce(e.started_at, e.billed_at)
    FROM lake.events.charge e
    JOIN owed o ON o.usage_id IS NULL AND o.charge_id = e.event_id
)
SELECT
    lower(hex(o.finding_id)) AS finding_id, o.kind, o.service, o.day, o.currency, o.changed_position,
    steps.micros_as_money(o.impact_micros) AS amount, o.impact_micros AS amount_micros,
    r.record_key, r.session_key, r.account, coalesce(r.subscriber, o.subscriber) AS subscriber, r.peer,
    timezone(getvariable('project_timezone'), r.started_at) AS started_at, o.item,
    timezone(getvariable('project_timezone'), o.period_from) AS period_from,
    timezone(getvariable('project_timezone'), o.period_to) AS period_to
FROM owed o
LEFT JOIN (SELECT DISTINCT ON (c.finding_id) * FROM records c ORDER BY c.finding_id, c.record_key) r ON r.finding_id = o.finding_id
ORDER BY o.day, o.finding_id
