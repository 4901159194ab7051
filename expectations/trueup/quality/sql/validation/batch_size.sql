-- How many events the days of a feed to validate hold. Owner: quality.
SELECT count(*) FROM lake.events.{stream} AS e WHERE {condition}
