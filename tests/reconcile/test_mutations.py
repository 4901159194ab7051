"""Each mutant of the reconciliation code makes some of the tests fail."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mutants import Mutant, Select, apply, compared_by, part, source, with_source, without

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path("pipelines/trueup/reconcile")
TESTS = "tests/reconcile"
CASES, FAST_PATH, LAWS = ((f"{TESTS}/kernel/test_{name}.py",) for name in ("cases", "fast_path", "laws"))
AFFECTED, PARTITIONS = ((f"{TESTS}/log_io/test_{name}.py",) for name in ("affected", "partitions"))
EPOCHS = (f"{TESTS}/incremental/test_pending_records.py", f"{TESTS}/incremental/test_epoch.py")
FOLDED = (f"{TESTS}/incremental/test_folded_sums.py",)
TERMS = (f"{TESTS}/pricing/test_term_cases.py",)
POOL_TESTS = (f"{TESTS}/pricing/test_allowance_cases.py", f"{TESTS}/pricing/test_allowance_pools.py")

INCREMENTAL: dict[str, Mutant] = {
    "pending records are not evaluated when a watermark passes": Mutant("incremental/epoch.py", "_find_affected_components", Select("Call", 1), source("[]"), EPOCHS),
    "neighbours of new records are not evaluated": Mutant("incremental/epoch.py", "_find_affected_components", Select("List", 4), without("elts", 2), EPOCHS),
    "a closing affects no component": Mutant("incremental/epoch.py", "_find_affected_components", Select("Name", 49), source("[]"), EPOCHS),
    "components that were read again stay in the state": Mutant("incremental/epoch.py", "_select_affected", Select("Call", 12), part("args", 0), EPOCHS),
    "a blocking key covers its own time block only": Mutant("blocking/keys.py", "blocking_keys", Select("IfExp", 0), part("orelse"), EPOCHS),
    "each record of a component has a component key of its own": Mutant("incremental/pending_records.py", "_build_segment", Select("Call", 0), part("func", "value"), EPOCHS),
    "retained rows keep the text of all rows in memory": Mutant("incremental/retention.py", "split_retained", Select("IfExp", 0), part("test", "left", "right", "value"), EPOCHS),
    "settled keys in files are not looked up": Mutant("incremental/settled_keys.py", "SettledKeyIndex.contains", Select("Attribute", 4), source("()"), EPOCHS),
    "a bill with lines is settled at once": Mutant("incremental/retention.py", "split_retained", Select("BitAnd", 2), part("left"), EPOCHS),
    "a session of counters is settled at once": Mutant("incremental/retention.py", "split_retained", Select("BitAnd", 11), part("left"), EPOCHS),
    "settled keys are not looked up": Mutant("incremental/epoch.py", "_needs_reread", Select("BitOr", 1), source("False"), EPOCHS),
}  # fmt: skip
FOLDS: dict[str, Mutant] = {
    "sums judge a period without its newest records": Mutant("incremental/epoch.py", "_reopen_periods", Select("BitOr", 0), part("left"), FOLDED),
    "records of a judged period are not read again": Mutant("incremental/epoch.py", "_with_affected_history", Select("BitOr", 0), part("left"), FOLDED),
    "a period that was read stays folded": Mutant("incremental/epoch.py", "_select_affected", Select("Call", 9), part("func", "value"), FOLDED),
    "new records replace the sums of a period": Mutant("incremental/folded_sums.py", "FoldedSums.add", Select("List", 0), without("elts", 0), FOLDED),
    "records in parts are folded": Mutant("incremental/folded_sums.py", "fold_periods", Select("Call", 5), source("pl.lit(True)"), FOLDED),
}  # fmt: skip
POOLS: dict[str, Mutant] = {
    "late usage takes no allowance from later usage": Mutant("pricing/pool_snapshots.py", "_find_price_changes", Select("Gt", 0), source("pl.lit(False)"), POOL_TESTS),
    "every position has the final price": Mutant("pricing/pool_snapshots.py", "pool_prices", Select("Call", 11), with_source("pl.lit(never)", never=("func", "value", "args", 0)), POOL_TESTS),
    "another quantity is priced outside its pool": Mutant("pricing/session_price.py", "price_sessions", Select("Call", 22), with_source("same if q == 'quantity_micros' else f(rows.clear(), q)", same=(), f=("func",), rows=("args", 0), q=("args", 1)), POOL_TESTS),
    "each pair is judged without its pool": Mutant("kernel/pool_netting.py", "net_by_pool", Select("Call", 17), source("True"), POOL_TESTS),
    "a pool does not wait for the end of its period": Mutant("kernel/pool_netting.py", "net_by_pool", Select("BitOr", 0), part("right"), POOL_TESTS),
    "a pool has no next check position": Mutant("kernel/evaluate.py", "_evaluate_spans", Select("IfExp", 0), part("orelse"), POOL_TESTS),
    "components of one pool are evaluated separately": Mutant("kernel/evaluate.py", "_evaluate_components", Select("Call", 6), with_source("frame.clear()", frame=()), POOL_TESTS),
    "pairs of one pool do not cause each other's changes": Mutant("kernel/lifecycle.py", "_find_causes", Select("List", 4), without("elts", 2), POOL_TESTS),
    "a changed price has no cause of its own": Mutant("kernel/lifecycle.py", "diff_findings", Select("Call", 33), without("args", 2), POOL_TESTS),
    "repriced sessions take the fast path": Mutant("pricing/allowance_pools.py", "Pools.has_stable_price", Select("Call", 5), part("func", "value"), POOL_TESTS),
    "billing periods follow UTC days": Mutant("pricing/allowance_pools.py", "_number_period", Select("Name", 12), source("'UTC'"), POOL_TESTS),
    "a misrated finding has no reason": Mutant("pricing/billing_error.py", "add_misrating_reason", Select("Call", 17), with_source("pl.col(name)", name=("args", 0)), POOL_TESTS),
    "records of the same pool are not read": Mutant("log_io/affected.py", "AffectedReader.neighbours", Select("List", 0), without("elts", 3), POOL_TESTS),
    "reading does not look back over a billing period": Mutant("blocking/lookback.py", "open_from", Select("IfExp", 0), part("body"), POOL_TESTS),
}  # fmt: skip
MATCHING: dict[str, Mutant] = {
    "a watermark passes an instant equal to it": Mutant("domain/frontier.py", "RunningMax.position_passing", Select("Constant", 1), source("'left'"), CASES),
    "one source of a stream is enough": Mutant("domain/frontier.py", "Frontier._find_stream_passing", Select("Attribute", 6), source("np.minimum"), CASES),
    "a closing waits for grace": Mutant("domain/frontier.py", "Frontier.passed_at", Select("Tuple", 2), with_source("(waited, waited)", waited=("elts", 0)), CASES),
    "a silent source holds its stream back despite idle_after": Mutant("domain/frontier.py", "Frontier._find_source_passing", Select("IsNot", 1), source("False"), CASES),
    "keyed records wait for the start tolerance only": Mutant("kernel/priced_sessions.py", "_with_watermark_positions", Select("Call", 10), part("args", 2), CASES),
    "undecided edges do not block": Mutant("kernel/matching.py", "_settle_stable_edges", Select("Lt", 0), with_source("position < 0", position=("left",)), CASES),
    "an edge settles when it is first at one end": Mutant("kernel/matching.py", "_settle_stable_edges", Select("BitAnd", 4), part("left"), CASES),
    "settled pairs are not carried over": Mutant("kernel/matching.py", "_settle_stable_edges", Select("Call", 5), with_source("edge >= 0", edge=("args", 0, "slice")), CASES),
    "settled pairs are not carried over to another batch": Mutant("kernel/evaluate.py", "_evaluate_spans", Select("Call", 26), with_source("f(a, b, spans, s.none(len(s.session_of)))", f=("func",), a=("args", 0), b=("args", 1), spans=("args", 2), s=("args", 3)), LAWS),
    "settled sessions are matched by key again": Mutant("kernel/booking.py", "_join_matches_to_units", Select("Gt", 0), source("pl.lit(True)"), CASES),
    "a charge group behind the horizon has neighbours": Mutant("blocking/components.py", "assign_components", Select("Invert", 0), source("pl.lit(True)"), CASES),
    "a charge without a start has neighbours": Mutant("kernel/matching.py", "_find_candidate_edges", Select("BitAnd", 3), part("right"), CASES),
    "records without a peer never match": Mutant("kernel/matching.py", "_find_candidate_edges", Select("Call", 35), without("keywords", 2), CASES),
    "charges of two currencies form one charge group": Mutant("blocking/components.py", "", Select("List", 1), without("elts", 4), LAWS),
    "a record key is unique across key scopes": Mutant("sessions/admission.py", "", Select("List", 0), without("elts", 2), CASES),
    "neighbours are found by one record of a session only": Mutant("blocking/components.py", "_list_candidate_entries", Select("Call", 9), part("args", 0), CASES),
}  # fmt: skip
RECORDS: dict[str, Mutant] = {
    "the least content of a record counts": Mutant("sessions/admission.py", "_derive_version_contents", Select("Constant", 2), source("False"), LAWS),
    "the first content of a record counts": Mutant("sessions/admission.py", "_is_greater_in_time", Select("BitAnd", 1), with_source("both & False", both=()), CASES),
    "a late content replaces the first": Mutant("sessions/admission.py", "_is_greater_in_time", Select("BitAnd", 3), part("left"), CASES),
    "a complete content may still change": Mutant("sessions/admission.py", "_is_greater_in_time", Select("BitAnd", 2), part("left"), LAWS),
    "a record is judged by the policy at its arrival only": Mutant("sessions/admission.py", "_find_frozen_positions", Select("Call", 8), with_source("[never] * len(starts)", never=("args", 1), starts=("args", 0, "value")), CASES),
    "lateness counts the record's own commit": Mutant("sessions/admission.py", "_with_lateness", Select("Lt", 0), compared_by(ast.LtE()), CASES),
    "no record is behind the horizon": Mutant("sessions/admission.py", "_is_behind_horizon", Select("Lt", 0), with_source("position < 0", position=("left",)), CASES),
    "an undated charge is never assigned a time": Mutant("sessions/admission.py", "with_due_date", Select("Call", 8), with_source("np.append(positions * 0 + never, never)", positions=("args", 0), never=("args", 1)), CASES),
    "the greatest amount counts, whatever its version": Mutant("sessions/admission.py", "_derive_version_contents", Select("List", 0), without("elts", 0), CASES),
    "a correction behind the horizon is applied": Mutant("sessions/admission.py", "_may_be_corrected", Select("BitAnd", 1), part("right"), CASES),
    "a correction separates a settled pair": Mutant("sessions/admission.py", "_may_be_corrected", Select("BitAnd", 1), part("left"), CASES),
    "a correction never changes the session key": Mutant("sessions/admission.py", "_may_be_corrected", Select("BitAnd", 2), part("left"), CASES),
    "two versions are a conflict": Mutant("sessions/admission.py", "_find_conflicts", Select("Call", 2), without("args", 1), CASES),
    "a correction that is not applied raises nothing": Mutant("sessions/admission.py", "_find_conflicts", Select("List", 0), without("elts", 1), CASES),
    "a correction has no cause of its own": Mutant("kernel/lifecycle.py", "_find_causes", Select("Call", 59), source("pl.lit(False)"), CASES),
}  # fmt: skip
JUDGEMENT: dict[str, Mutant] = {
    "a credit is the main charge": Mutant("sessions/grouping.py", "group_records", Select("Call", 6), without("args", 0), LAWS),
    "lines of one bill are duplicates": Mutant("sessions/grouping.py", "group_records", Select("Call", 3), without("keywords", 0), CASES),
    "a line of a bill is complete at once": Mutant("sessions/grouping.py", "group_records", Select("BitOr", 2), part("left"), CASES),
    "counters so far are added up": Mutant("sessions/grouping.py", "_with_counters", Select("NotEq", 0), source("pl.lit(False)"), CASES),
    "a session of counters is complete at once": Mutant("sessions/grouping.py", "_with_counters", Select("BitOr", 0), part("left"), CASES),
    "the greatest counter is the last": Mutant("sessions/grouping.py", "_with_counters", Select("Eq", 0), source("pl.lit(True)"), CASES),
    "a credit is a duplicate charge": Mutant("kernel/booking.py", "_join_pairs", Select("Gt", 0), compared_by(ast.NotEq()), CASES),
    "partial records are not waited for": Mutant("kernel/booking.py", "_join_pairs", Select("BitAnd", 0), source("pl.lit(False)"), CASES),
    "an undecided edge leaves nothing pending": Mutant("kernel/booking.py", "_book_unmatched", Select("BitAnd", 0), part("left"), CASES),
    "the amount tolerance is ignored": Mutant("kernel/classification.py", "classify_flat", Select("Sub", 0), part("left"), CASES),
    "an impact of zero raises no unrated finding": Mutant("domain/bookings.py", "drop_zero_impact", Select("Invert", 0), source("False"), CASES),
    "an unrated session without money raises no finding": Mutant("domain/bookings.py", "drop_zero_impact", Select("Invert", 0), with_source("kind != pending", kind=("operand", "func", "value"), pending=("operand", "args", 0, "elts", 0)), CASES),
    "usage is priced in any currency": Mutant("pricing/session_price.py", "price_sessions", Select("BitAnd", 0), part("left"), CASES),
    "the first of equal lines is the excess": Mutant("kernel/lines.py", "repeated_lines", Select("Constant", 14), source("'first'"), CASES),
    "a credit among lines is an excess": Mutant("kernel/lines.py", "repeated_lines", Select("BitAnd", 0), part("left"), CASES),
    "a covered service is summed by itself": Mutant("kernel/aggregation.py", "_assign_line_services", Select("Call", 1), part("args", 1), CASES),
    "only the cycle day known first counts": Mutant("blocking/sums.py", "with_calendars", Select("List", 0), without("elts", 1), CASES),
    "days follow UTC": Mutant("../localtime.py", "wall_us", Select("In", 0), source("True"), LAWS),
    "a repeated hour ends at its first occurrence": Mutant("../localtime.py", "utc_us.at", Select("Constant", 1), source("'earliest'"), CASES),
    "any later record is the cause of a change": Mutant("kernel/evaluate.py", "_evaluate_spans", Select("Eq", 0), compared_by(ast.LtE()), CASES),
    "records of other owners cause no change": Mutant("kernel/lifecycle.py", "_find_causes", Select("Call", 31), part("func", "value", "args", 0, "elts", 0), LAWS),
    "a revision needs another amount": Mutant("kernel/lifecycle.py", "", Select("List", 2), without("elts", 5, 6), CASES),
    "a later comparison has nothing before it": Mutant("kernel/evaluations.py", "Evaluations.add", Select("Call", 31), with_source("f.clear()", f=("func", "value")), LAWS),
}  # fmt: skip
ITERATIONS: dict[str, Mutant] = {
    "match readiness schedules no check": Mutant("kernel/schedule.py", "evaluations_of", Select("List", 0), without("elts", 3), CASES),
    "the other watermark schedules no check": Mutant("kernel/schedule.py", "_schedule_unit_checks", Select("Tuple", 0), without("elts", 1), CASES),
    "an open pair schedules no check": Mutant("kernel/schedule.py", "_schedule_unit_checks", Select("Tuple", 0), without("elts", 0), CASES),
    "a period schedules no check": Mutant("kernel/evaluate.py", "_evaluate_spans", Select("List", 3), source("[]"), LAWS),
    "a policy change schedules no check": Mutant("blocking/components.py", "spans_of", Select("Gt", 0), source("False"), CASES),
    "the fast path takes pairs that may have been final before": Mutant("kernel/fast_path/pairs.py", "_keep_pairs_in_time", Select("BitOr", 3), part("right"), CASES),
    "the fast path takes pairs with neighbours": Mutant("kernel/fast_path/pairs.py", "_find_pairs", Select("BitAnd", 0), part("left", "left"), CASES),
    "the fast path looks for neighbours at one record of a session": Mutant("kernel/fast_path/candidates.py", "_has_neighbour", Select("Tuple", 2), without("elts", 1), CASES),
    "neighbours in two units of time are not found": Mutant("kernel/fast_path/candidates.py", "_is_near_another_session", Select("Add", 2), part("left"), FAST_PATH),
    "parties of all tolerances are one": Mutant("kernel/fast_path/candidates.py", "_mark_neighbours", Select("Eq", 0), source("True"), FAST_PATH),
    "a repeated key counts as unique": Mutant("domain/record_hashes.py", "is_duplicated", Select("IfExp", 0), part("orelse"), FAST_PATH),
    "equal amounts never hide two differences": Mutant("kernel/fast_path/pairs.py", "judge_pairs", Select("BitOr", 0), with_source("flat | True", flat=("left",)), POOL_TESTS),
    "pairs of one hash have one key": Mutant("kernel/fast_path/pairs.py", "_keep_equal_keys", Select("IfExp", 0), source("['scope']"), FAST_PATH),
    "the fast path takes lines of bills": Mutant("kernel/fast_path/candidates.py", "_is_complete", Select("BitOr", 0), part("right"), CASES),
    "the fast path takes counters": Mutant("kernel/fast_path/candidates.py", "_is_complete", Select("BitAnd", 2), part("left"), CASES),
    "an unmatched record is final when it arrives": Mutant("kernel/fast_path/split.py", "_select_unmatched", Select("Call", 6), part("args", 1), CASES),
    "the fast path takes unmatched records with neighbours": Mutant("kernel/fast_path/split.py", "_select_unmatched", Select("BitAnd", 1), part("left"), CASES),
    "the fast path takes unmatched records behind the horizon": Mutant("kernel/fast_path/split.py", "_select_unmatched", Select("Invert", 2), with_source("beyond | True", beyond=("operand",)), CASES),
    "quantities are compared in 64 bits": Mutant("kernel/fast_path/pairs.py", "_classify_differences", Select("Call", 2), part("func", "value"), CASES),
    "a pair with two differences has one finding": Mutant("kernel/fast_path/pairs.py", "judge_pairs", Select("Call", 23), source("pl.lit(True)"), TERMS),
    "a pair of a pool is judged by itself": Mutant("kernel/fast_path/pairs.py", "_find_differences", Select("Not", 0), source("False"), POOL_TESTS),
    "a misrated finding of the fast path has no reason": Mutant("kernel/fast_path/pairs.py", "_find_differences", Select("Not", 1), source("False"), TERMS),
    "no record of the fast path is late": Mutant("kernel/fast_path/findings.py", "_is_late", Select("Lt", 0), with_source("a < 0", a=("left",)), FAST_PATH),
    "a late charge is the cause when its usage arrives": Mutant("kernel/fast_path/findings.py", "raised_by_pairs", Select("BitAnd", 1), part("right"), FAST_PATH),
    "a record without money raises a finding": Mutant("kernel/fast_path/findings.py", "raised_by_unmatched", Select("NotEq", 0), source("pl.lit(True)"), FAST_PATH),
    "a late record that is final at once only arrives": Mutant("kernel/fast_path/findings.py", "raised_by_unmatched", Select("BitAnd", 0), with_source("a & False", a=("left",)), FAST_PATH),
    "terms are no cause of a finding of the fast path": Mutant("kernel/fast_path/findings.py", "raised_by_unmatched", Select("Call", 18), source("{}"), FAST_PATH),
    "unmatched findings of an earlier run are raised again": Mutant("kernel/fast_path/split.py", "split_fast_path", Select("Add", 0), source("0"), FAST_PATH),
    "differences of an earlier run are raised again": Mutant("kernel/fast_path/split.py", "split_fast_path", Select("Call", 31), part("func", "value"), FAST_PATH),
    "a final record stays pending": Mutant("kernel/fast_path/sums.py", "unmatched_deltas", Select("LtE", 0), with_source("at < 0", at=("left",)), FAST_PATH),
    "a difference with a finding is tolerated": Mutant("kernel/fast_path/split.py", "split_fast_path", Select("Constant", 11), source("'tolerated_micros'"), FAST_PATH),
    "a final record never leaves the state": Mutant("incremental/retention.py", "split_retained", Select("Lt", 1), with_source("us < -(2**62)", us=("left",)), EPOCHS),
}  # fmt: skip
READING: dict[str, Mutant] = {
    "neighbours are not read": Mutant("log_io/affected.py", "AffectedReader.neighbours", Select("List", 0), without("elts", 1), AFFECTED),
    "intervals reach one way only": Mutant("log_io/affected.py", "_time_blocks", Select("Sub", 0), part("left"), AFFECTED),
    "distant instants share one interval": Mutant("log_io/affected.py", "_time_blocks", Select("Mult", 0), source("2**62"), AFFECTED),
    "records of the same period are not read": Mutant("log_io/affected.py", "AffectedReader.neighbours", Select("List", 0), without("elts", 2), AFFECTED),
    "keys used by two services are not read": Mutant("log_io/affected.py", "AffectedReader.neighbours", Select("Name", 46), with_source("rows[:0]", rows=()), AFFECTED),
    "a second delivery hides the first": Mutant("log_io/affected.py", "", Select("List", 0), without("elts", 2, 3), AFFECTED),
    "superseded contents stay booked": Mutant("results/finding_rows.py", "count_records", Select("Call", 25), part("args", 0, "elts", 0), PARTITIONS),
    "sums of the second partition are dropped": Mutant("results/outcome.py", "merge_outcomes", Select("Name", 15), with_source("outcomes[:1]", outcomes=()), PARTITIONS),
    "a run limited to days moves the consumer position": Mutant("log_io/commit.py", "commit_outcome.write", Select("Name", 21), source("True"), PARTITIONS),
    "findings of a run limited to days are appended again": Mutant("log_io/commit.py", "commit_outcome.write", Select("Call", 4), part("args", 1), PARTITIONS),
}  # fmt: skip
MUTANTS = INCREMENTAL | FOLDS | POOLS | MATCHING | RECORDS | JUDGEMENT | ITERATIONS | READING

SQL_MUTANTS: dict[str, tuple[str, str, str]] = {
    "pending records are not read": ("seeds", "(e.day >= $open_day AND {time} >= $open_from)", "false"),
    "undated charges are not read": ("seeds", "(e.day IS NULL AND e.snapshot_id >", "(false AND e.snapshot_id >"),
    "other contents of a record are not read": ("neighbours", "r.record_key = d.record_key", "false"),
    "a block ends before the interval does": ("neighbours", "instant_us <= n.upto_us OR ", ""),
    "a block begins after the interval does": ("neighbours", " OR instant_us >= n.from_us", ""),
    "an undated record is in no period": ("neighbours", "w.from_us, true)", "w.from_us, false)"),
    "a closing counts for every source with the same prefix": ("seeds", "starts_with(e.source_id, u.source || '@')", "e.source_id LIKE u.source || '@%'"),
}  # fmt: skip
"""Mutants of the queries that read affected records: the query, the text replaced, its replacement."""


@pytest.mark.parametrize("name", MUTANTS)
def test_each_mutant_changes_one_function(name: str) -> None:
    mutant = MUTANTS[name]
    text = (ROOT / FOLDER / mutant.file).read_text("utf-8")
    assert apply(mutant, text) != ast.unparse(ast.parse(text))


@pytest.mark.parametrize("name", SQL_MUTANTS)
def test_each_mutant_of_a_query_changes_it(name: str) -> None:
    query, right, _ = SQL_MUTANTS[name]
    assert right in (ROOT / FOLDER / "log_io" / f"affected_{query}.sql").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_the_tests_detect_each_mutant(name: str, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    mutant = MUTANTS[name]
    text = (ROOT / FOLDER / mutant.file).read_text("utf-8")
    assert _is_detected(FOLDER / mutant.file, apply(mutant, text), mutant.tests, tmp_path, pytestconfig)


@pytest.mark.slow
@pytest.mark.parametrize("name", SQL_MUTANTS)
def test_the_tests_detect_each_mutant_of_a_query(name: str, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    query, right, wrong = SQL_MUTANTS[name]
    file = FOLDER / "log_io" / f"affected_{query}.sql"
    assert _is_detected(file, (ROOT / file).read_text("utf-8").replace(right, wrong), AFFECTED, tmp_path, pytestconfig)


def _is_detected(file: Path, text: str, tests: tuple[str, ...], folder: Path, config: pytest.Config) -> bool:
    """Run tests on a copy of the package in which one file has another text; print the end of their output if none fails."""
    python_path = [str(path).replace(str(ROOT / "pipelines"), str(folder / "pipelines")) for path in config.getini("pythonpath")]
    shutil.copytree(ROOT / "pipelines", folder / "pipelines")
    (folder / file).write_text(text, "utf-8")
    command = [
        sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow", "--tb=no",
        "-o", f"pythonpath={' '.join(python_path)}", *tests,
    ]  # fmt: skip
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "CI": "1"})
    detected = run.returncode == 1 and " failed" in run.stdout
    if not detected:
        print(run.stdout[-2000:])
    return detected
