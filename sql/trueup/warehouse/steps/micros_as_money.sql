-- Money of a number of millionths: exact, because multiplying a DECIMAL(38,0) by 0.000001 only moves its point.
-- Owner: warehouse.
CREATE OR REPLACE MACRO steps.micros_as_money(micros) AS CAST(CAST(micros AS DECIMAL(38, 0)) * 0.000001 AS DECIMAL(38, 6));
