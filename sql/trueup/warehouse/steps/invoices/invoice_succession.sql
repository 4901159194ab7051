-- For each number the numbers in whose place it was issued, itself included: what charges and credit notes of those numbers refer to.
-- Grain: one row per number and number that it stands for. Owner: warehouse.
-- An invoice replaces an invoice of its account, and a credit note a credit note. A number may be replaced by several (a split).
WITH RECURSIVE documents AS MATERIALIZED (
    FROM steps.invoice_document
),
replacements AS MATERIALIZED (
    SELECT DISTINCT n.number, n.replaces AS former
    FROM documents n
    JOIN documents d ON d.number = n.replaces AND d.is_credit = n.is_credit AND d.account = n.account
),
-- UNION keeps each row once, so the rows of numbers that replace each other end.
back AS (
    SELECT DISTINCT d.number, d.number AS former FROM documents d
    UNION
    SELECT b.number, r.former FROM back b JOIN replacements r ON r.number = b.former
),
standing AS MATERIALIZED (
    SELECT DISTINCT d.number FROM documents d WHERE NOT d.is_replaced
),
families AS (
    SELECT
        b.number,
        coalesce(
            min(b.former) FILTER (b.former NOT IN (SELECT r.number FROM replacements r)),
            min(b.former) FILTER (b.former IN (SELECT r.former FROM replacements r)), b.number
        ) AS family
    FROM back b
    GROUP BY b.number
)
SELECT
    b.number,                                     -- the number
    b.former,                                     -- a number that it replaces, at once or by way of others, or the number itself
    b.number IN (SELECT s.number FROM standing s) AS is_standing, -- whether a document with the number is not replaced
    f.family                                      -- the first replaced number, by which the parts of a split are known; the number itself if it replaces none
FROM back b
JOIN families f ON f.number = b.number
