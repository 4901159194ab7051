-- Time zone by which a recorded name is computed, as `trueup.zones` computes it. Earlier versions recorded names that only a machine
-- knows: of the folders posix and right, and names of no place, which count in UTC. NULL for NULL. Owner: warehouse.
CREATE OR REPLACE MACRO steps.known_zone(name) AS CASE
    WHEN regexp_replace(name, '^(posix/)?(right/)?', '') IN ('Factory', 'localtime', 'posixrules') THEN 'UTC'
    ELSE regexp_replace(name, '^(posix/)?(right/)?', '')
END;
