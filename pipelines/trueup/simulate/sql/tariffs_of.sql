-- What the kernel does not read of charges. Grain: one charge. Owner: simulate.
SELECT c.event_id, c.tariff_code, c.billed_at FROM lake.events.charge c SEMI JOIN wanted w ON w.event_id = c.event_id
