-- Number of events of the batch under validation. Owner: quality.
SELECT count(*) FROM {batch}
