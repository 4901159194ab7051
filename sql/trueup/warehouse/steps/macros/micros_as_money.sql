-- Money from millionths. The result is exact, because a multiplication of DECIMAL(38,0) by 0.000001 only moves the decimal point.
-- Owner: warehouse.
CREATE OR REPLACE MACRO steps.micros_as_money(micros) AS CAST(CAST(micros AS DECIMAL(38, 0)) * 0.000001 AS DECIMAL(38, 6));
