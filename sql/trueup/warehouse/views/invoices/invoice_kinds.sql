-- The kinds of invoice findings, and the next step of an analyst for each.
-- Grain: one row per kind of invoice finding. Owner: warehouse.
-- The registry of kinds in trueup.reconcile.domain.invoice_kinds is the source; this view only shows it.
SELECT
    k.name AS kind,                               -- name of the kind, as in invoice_findings.kind
    k.meaning,                                    -- one sentence: what is wrong
    k.money,                                      -- whether the impact is known: exact, sometimes or none
    k.next_step                                   -- the next step of an analyst
FROM (
    SELECT unnest(from_json(
        getvariable('invoice_kinds'), '[{"name": "VARCHAR", "meaning": "VARCHAR", "money": "VARCHAR", "next_step": "VARCHAR"}]'
    )) AS k
)
