-- Number of events on the days of a feed that are to be validated. Owner: quality.
SELECT count(*) FROM lake.events.{stream} AS e WHERE {condition}
