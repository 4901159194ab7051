-- Columns of charges that reconciliation does not read. Grain: one charge. Owner: simulate.
SELECT c.event_id, c.tariff_code, c.billed_at FROM lake.events.charge c SEMI JOIN ids i ON i.event_id = c.event_id
