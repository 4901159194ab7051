-- The nodes seen on days before one. Owner: quality.
SELECT DISTINCT u.node FROM lake.events.usage AS u WHERE u.day >= $first AND u.day < $before AND u.node IS NOT NULL ORDER BY u.node
