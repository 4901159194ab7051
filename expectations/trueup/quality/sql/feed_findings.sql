-- Changes of findings about feeds up to a position. Grain: one change of one finding. Owner: quality.
SELECT f.* FROM lake.events.finding AS f WHERE f.control IS NOT NULL AND f.stream IS NOT NULL AND f.position <= $upto
