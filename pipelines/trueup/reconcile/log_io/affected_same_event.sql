-- Records by their ids.
SELECT r.* EXCLUDE (own_time, scope) FROM ({records}) r
SEMI JOIN reached k ON r.event_id = k.event_id
