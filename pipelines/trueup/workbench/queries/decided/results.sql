-- Rows that decisions since the copy have changed, in place of the rows of the copy. `findings` and `suspicious_transactions` have
-- a row number of the copy and the new status. `concerned` has the cases with rows in `money_by_account`. Owner: workbench.
CREATE SCHEMA decided;
CREATE TABLE decided.decisions AS FROM copy.kept.decisions LIMIT 0;
CREATE TABLE decided.concerned (case_id VARCHAR);
CREATE TABLE decided.findings (row BIGINT, status VARCHAR);
CREATE TABLE decided.suspicious_transactions (row BIGINT, status VARCHAR);
CREATE TABLE decided.case_sums AS FROM copy.kept.case_sums LIMIT 0;
CREATE TABLE decided.money_by_account AS FROM copy.main.money_by_account LIMIT 0;
CREATE TABLE decided.cases AS FROM copy.main.cases LIMIT 0;
