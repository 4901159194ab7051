-- How many events a validation looks at. Owner: quality.
SELECT count(*) FROM lake.events.{stream} AS e WHERE {condition}
