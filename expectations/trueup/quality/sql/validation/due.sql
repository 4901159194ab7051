-- Copy the records of the days of a feed to validate, once for all queries about them. Owner: quality.
CREATE OR REPLACE TEMP TABLE due AS {query}
