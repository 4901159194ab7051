-- What decisions since the copy have changed: rows in place of those of the copy. `findings` and `suspicious_transactions` have the
-- status of a row of the copy, `concerned` the cases whose accounts are those of `money_by_account`. Owner: workbench.
CREATE SCHEMA decided;
CREATE TABLE decided.decisions AS FROM copy.kept.decisions LIMIT 0;
CREATE TABLE decided.concerned (case_id VARCHAR);
CREATE TABLE decided.findings (row BIGINT, status VARCHAR);
CREATE TABLE decided.suspicious_transactions (row BIGINT, status VARCHAR);
CREATE TABLE decided.case_sums AS FROM copy.kept.case_sums LIMIT 0;
CREATE TABLE decided.money_by_account AS FROM copy.main.money_by_account LIMIT 0;
CREATE TABLE decided.cases AS FROM copy.main.cases LIMIT 0;
