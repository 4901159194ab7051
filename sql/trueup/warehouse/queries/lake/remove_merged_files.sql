-- Removes files that were merged into others before a given time, and returns their names.
CALL ducklake_cleanup_old_files('lake', older_than => CAST($before AS TIMESTAMPTZ))
