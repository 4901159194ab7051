-- Merges adjacent small files of every table; returns for each the number of files before and after.
CALL ducklake_merge_adjacent_files('lake')
