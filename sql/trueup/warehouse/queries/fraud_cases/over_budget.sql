-- How many cases of days with a transaction scored after position $after are over the budget, and on how many days.
-- Grain: one row. `rules` names the rules of the cases over the budget, the one with most cases first; NULL where none has one.
WITH days AS (
    SELECT DISTINCT t.day FROM main.suspicious_transactions t WHERE t.position > $after
),
over_it AS (
    SELECT c.case_id, c.day, c.rules FROM steps.fraud_case c SEMI JOIN days d ON d.day = c.day WHERE c.over_budget
),
of_rules AS (
    SELECT r.rule, count(*) AS cases FROM (SELECT unnest(string_split(o.rules, ', ')) AS rule FROM over_it o) r GROUP BY r.rule
)
SELECT
    (SELECT count(*) FROM over_it) AS cases, (SELECT count(DISTINCT o.day) FROM over_it o) AS days,
    (SELECT string_agg(r.rule || ' ' || r.cases, ', ' ORDER BY r.cases DESC, r.rule) FROM of_rules r) AS rules
