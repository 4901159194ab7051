-- Merges adjacent small files of every table; says for each how many files became how many.
CALL ducklake_merge_adjacent_files('lake')
