-- Records by their ids. Grain: one row per accepted record. Owner: reconcile.
SELECT r.* EXCLUDE (own_time, scope) FROM ({records}) r
SEMI JOIN reached k ON r.event_id = k.event_id
