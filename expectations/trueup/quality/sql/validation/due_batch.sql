-- Makes one of the copied days the batch under validation. Owner: quality.
CREATE OR REPLACE TEMP VIEW {batch} AS SELECT e.* FROM due AS e WHERE {condition}
