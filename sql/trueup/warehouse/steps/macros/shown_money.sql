-- Money as text: rounded to two decimals, with commas between thousands, and with the currency. Owner: warehouse.
CREATE OR REPLACE MACRO steps.shown_money(amount, currency) AS
    if(amount < 0, '-', '')
    || ltrim(reverse(regexp_replace(reverse(split_part(CAST(abs(CAST(amount AS DECIMAL(38, 2))) AS VARCHAR), '.', 1)), '(\d{3})', '\1,', 'g')), ',')
    || '.' || split_part(CAST(abs(CAST(amount AS DECIMAL(38, 2))) AS VARCHAR), '.', 2)
    || coalesce(' ' || currency, '');
