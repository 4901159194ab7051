-- How many events the batch under validation holds. Owner: quality.
SELECT count(*) FROM {batch}
