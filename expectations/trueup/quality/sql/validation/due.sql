-- Copies the records of the days to validate, so that all queries read the log once. Owner: quality.
CREATE OR REPLACE TEMP TABLE due AS {query}
