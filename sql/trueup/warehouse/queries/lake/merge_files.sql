-- Merges adjacent small files of every table, and returns the number of files before and after for each table.
CALL ducklake_merge_adjacent_files('lake')
