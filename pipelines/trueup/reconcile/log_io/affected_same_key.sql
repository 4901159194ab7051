-- Records that share a session key with one of `reached`. Grain: one row per accepted record. Owner: reconcile.
SELECT r.* EXCLUDE (own_time, scope) FROM ({records} AND e.session_key IS NOT NULL) r
SEMI JOIN reached k ON r.bucket = k.bucket AND r.scope = k.scope AND r.session_key = k.session_key
