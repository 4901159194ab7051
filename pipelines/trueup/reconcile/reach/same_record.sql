-- Other contents of a record reached already.
SELECT r.* EXCLUDE (own_time, scope) FROM ({records}) r
SEMI JOIN (SELECT * FROM reached WHERE charge = $charge) k
ON r.bucket = k.bucket AND r.scope = k.scope AND r.key_scope = k.key_scope AND r.record_key = k.record_key
