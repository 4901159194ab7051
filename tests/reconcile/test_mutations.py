"""The tests notice when reconciliation is broken: each of these mistakes makes some of them fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CASES, CLEAN, LAWS, REACH, WAYS = ((f"tests/reconcile/test_{name}.py",) for name in ("cases", "clean", "laws", "reach", "ways"))
EPOCHS = ("tests/reconcile/test_unsettled.py", "tests/reconcile/test_epoch.py")
SHARES = ("tests/reconcile/test_shared_cases.py", "tests/reconcile/test_shares.py")
Mistake = tuple[str, str, str, tuple[str, ...]]
"""A file of `trueup.reconcile`, what it says, what it is made to say, and the tests that must notice."""
MATCHING: dict[str, Mistake] = {
    "equal times count as passed": ("frontier.py", 'np.searchsorted(self.values, instants, side="right")', 'np.searchsorted(self.values, instants, side="left")', CASES),
    "one source of a stream is enough": ("frontier.py", "np.maximum(positions, one)", "np.minimum(positions, one)", CASES),
    "a closing waits for grace": ("frontier.py", "instants[wanted] + closed_wait_us[wanted]", "instants[wanted] + wait_us[wanted]", CASES),
    "the clock lets nobody go": ("frontier.py", "if source.idle_after_us is not None:\n            # A silent", "if False:\n            # A silent", CASES),
    "keyed records wait for the tolerance only": ("match.py", 'np.where(units["keyed"].to_numpy(), np.maximum(own, other), np.maximum(*short))', "np.maximum(*short)", CASES),
    "undecided edges hold nobody back": ("match.py", "undecided=waits", "undecided=pl.lit(False)", CASES),
    "an edge need not be first at both ends": ("match.py", 'pl.col("session").is_first_distinct() & pl.col("bill").is_first_distinct()', 'pl.col("session").is_first_distinct()', LAWS),
    "settled pairs are forgotten": ("kernel.py", "_still(matched.settled, versions, next_clock)", "settled", CASES),
    "settled sessions are linked to their key again": ("match.py", '~pl.col("elsewhere")', 'pl.lit(True)', CASES),
    "a bill behind the horizon has neighbours": ("match.py", '~pl.col("beyond") & pl.col("has_start")', 'pl.col("has_start")', CASES),
    "a charge without a start can be near": ("match.py", 'pl.col("has_start") & ', "", CASES),
    "parties without a peer never meet": ("match.py", 'suffix="_bill", nulls_equal=True', 'suffix="_bill"', CASES),
    "units of all currencies are one": ("components.py", 'GROUP_NAME = ["own", "scope", "name", "name_scope", "currency"]', 'GROUP_NAME = ["own", "scope", "name", "name_scope"]', LAWS),
    "record keys are unique across key scopes": ("records.py", 'RECORD = ["charge", "scope", "key_scope", "record_key"]', 'RECORD = ["charge", "scope", "record_key"]', CASES),
    "only what is near by its own record is together": ("components.py", "return pl.concat([rows, crossed.select(rows.columns)])", "return rows", CASES),
}  # fmt: skip
RECORDS: dict[str, Mistake] = {
    "the least content counts": ("records.py", "contents.sort(_RANK, descending=True)", "contents.sort(_RANK, descending=False)", LAWS),
    "the first content counts": ("records.py", "both.filter(greater & open_still)", "both.filter(greater & open_still & False)", CASES),
    "a late content counts": ("records.py", '(pl.col("step") == step) & ~pl.col("came_late")', 'pl.col("step") == step', CASES),
    "what was complete may still change": ("records.py", "greater & open_still", "greater", LAWS),
    "each record is judged by the policy it came under": ("records.py", "enumerate(np.append(starts[1:], NEVER))", "enumerate([NEVER] * len(starts))", LAWS),
    "lateness is judged after the commit": ("records.py", "came_late=pl.Series(passed < position)", "came_late=pl.Series(passed <= position)", CASES),
    "nothing is behind the horizon": ("records.py", "beyond=pl.Series(behind < position)", "beyond=pl.Series(behind < 0)", CASES),
    "a charge without time never comes due": ("records.py", "np.append(marks.positions, NEVER)[at]", "np.append(marks.positions * 0 + NEVER, NEVER)[at]", CASES),
}  # fmt: skip
JUDGEMENT: dict[str, Mistake] = {
    "a credit can be the main charge": ("units.py", 'rows.sort(pl.col("amount_micros") < 0, "time_us"', 'rows.sort("time_us"', LAWS),
    "a credit counts as a duplicate": ("assess.py", 'pl.col("extra_micros") > 0', 'pl.col("extra_micros") != 0', CASES),
    "parts are not waited for": ("assess.py", 'open=~pl.col("settled") & ~(pl.col("whole") & pl.col("bill_whole"))', "open=pl.lit(False)", CASES),
    "an edge keeps nobody pending": ("assess.py", '(pl.col("other_passed") <= pl.col("at")) & ~pl.col("held")', '(pl.col("other_passed") <= pl.col("at"))', CASES),
    "tolerance is not looked at": ("judge.py", "pl.min_horizontal(expected, other) - tolerance", "pl.min_horizontal(expected, other)", CASES),
    "no money is a finding": ("assess.py", '& ~pl.col("kind").is_in([PENDING, UNRATED])', "& False", CASES),
    "unrated usage without money is silent": ("assess.py", '& ~pl.col("kind").is_in([PENDING, UNRATED])', '& (pl.col("kind") != PENDING)', CASES),
    "usage is priced in any currency": ("price.py", ' & (pl.col("currency") == pl.col("price_currency"))', "", CASES),
    "days are those of Greenwich": ("../localtime.py", "    if zone in UTC_NAMES:\n        return time_us", "    if True:\n        return time_us", LAWS),
    "a doubtful hour is over at its first showing": ("../localtime.py", 'ambiguous="latest"', 'ambiguous="earliest"', CASES),
    "whoever comes after a finding has caused it": ("lifecycle.py", 'pl.col("since") == pl.col("at")', 'pl.col("since") <= pl.col("at")', CASES),
    "nobody else's record is near a change": ("lifecycle.py", "near = pl.concat([own, shared, *tied]).unique()", "near = own", LAWS),
    "a revision needs other money": ("lifecycle.py", '"billed_micros", "usage", "charges"]', '"billed_micros"]', LAWS),
}  # fmt: skip
ROUNDS: dict[str, Mistake] = {
    "nobody wakes when it gets ripe": ("assess.py", '("ripe_at", pl.col("near"))', '("ripe_at", pl.lit(False))', CASES),
    "nobody wakes when the other stream has passed": ("assess.py", '("other_passed", True)', '("other_passed", pl.lit(False))', CASES),
    "an open pair never wakes": ("assess.py", 'wake=pl.when("open").then(pl.min_horizontal(wakes)).otherwise(NEVER)', "wake=pl.lit(NEVER)", CASES),
    "a period never wakes": ("periods.py", 'wake=pl.when("final").then(NEVER).otherwise("passed")', "wake=pl.lit(NEVER)", LAWS),
    "a policy looks at nothing again": ("kernel.py", 'pl.min_horizontal("listed", "wake", "policy_at")', 'pl.min_horizontal("listed", "wake")', CASES),
    "a clean pair may have been final before": ("clean.py", "~(alone | behind[mine] | behind[theirs] | untimed)", "~(behind[mine] | behind[theirs] | untimed)", CASES),
    "a clean pair may have neighbours": ("clean.py", "~summed[b] & ~seen.near[a] & ~seen.near[b]", "~summed[b]", CASES),
    "a clean pair's neighbours stand where each of their records does": ("clean.py", "for frame in (entries, crossed)", "for frame in (entries,)", CASES),
    "two parties of one half are one": ("clean.py", "(close & (session[1:] != session[:-1])) | (party[1:] != party[:-1])", "close & (party[1:] == party[:-1])", CLEAN),
    "what is there twice is there once": ("gone.py", "return np.isin(hashes, twice) if len(twice) else", "return", CLEAN),
    "equal amounts are never of two parts": ("clean.py", "same = (equal & asked.select(quantity).to_series())", "same = equal", SHARES),
    "what waits may have been passed": ("clean.py", "alone &= (seen.waited_for > upto)", "alone &= (seen.waited_for > 0)", CASES),
    "what waits may have neighbours": ("clean.py", "alone &= seen.under_last & ~seen.near", "alone &= seen.under_last", CASES),
    "what waits may be behind the horizon": ("clean.py", '~seen.rule("summed") & ~seen.behind', '~seen.rule("summed")', CASES),
    "quantities are compared in 64 bits": ("clean.py", 'pl.col("quantity_micros").cast(pl.Int128)', 'pl.col("quantity_micros")', CASES),
}  # fmt: skip
READING: dict[str, Mistake] = {
    "what waits is not read": ("reach/seeds.sql", "(e.day >= $open_day AND {time} >= $open_from)", "false", REACH),
    "charges without time are not read": ("reach/seeds.sql", "(e.day IS NULL AND e.snapshot_id >", "(false AND e.snapshot_id >", REACH),
    "other contents are not read": ("reach/around.sql", "r.record_key = d.record_key", "false", REACH),
    "neighbours are not read": ("reach/__init__.py", "near.filter(own), ", "", REACH),
    "intervals reach one way only": ("reach/__init__.py", 'pl.col("time_us").min() - apart_us', 'pl.col("time_us").min()', REACH),
    "instants far apart are of one interval": ("reach/__init__.py", "> 2 * apart_us).over(place)", "> NEVER).over(place)", REACH),
    "a block has no instants up to the end of an interval": ("reach/around.sql", "since_us <= n.upto_us OR ", "", REACH),
    "a block has no instants from the beginning of an interval on": ("reach/around.sql", " OR since_us >= n.from_us", "", REACH),
    "what has no time is of no period": ("reach/around.sql", "w.from_us, true)", "w.from_us, false)", REACH),
    "periods are not read": ("reach/__init__.py", ' period.filter(of_sum).drop("own"),', "", REACH),
    "keys of two services are not read": ("reach/__init__.py", "found.append(self._mixed(", "found[:0].append(self._mixed(", REACH),
    "a second delivery hides the first": ("reach/__init__.py", 'ROW = ["charge", "event_id", "position", "source"]', 'ROW = ["charge", "event_id"]', REACH),
    "a namesake's closing counts": ("reach/seeds.sql", "starts_with(e.source_id, u.source || '@')", "e.source_id LIKE u.source || '@%'", REACH),
    "the outdone stay placed": ("findings.py", "rows = pl.concat([pl.concat(come).filter(pl.col(\"position\") > after), moved])", 'rows = pl.concat(come).filter(pl.col("position") > after)', WAYS),
    "sums of the second partition are dropped": ("partition.py", "*(o.ledger for o in outcomes)", "*(o.ledger for o in outcomes[:1])", WAYS),
    "some days move the position": ("commit.py", "        if whole:", "        if True:", WAYS),
    "what some days told is told again": ("commit.py", "fresh = _unknown(lake, outcome.history, after)", "fresh = outcome.history", WAYS),
}  # fmt: skip
SHARING: dict[str, Mistake] = {
    "late usage takes nothing from what came after it": ("worlds.py", 'shaken = live.filter(pl.col("changed") > pl.col("since"))', "shaken = live.filter(pl.lit(False))", SHARES),
    "every position has the price of the end": ("worlds.py", 'pl.when(last).then(NEVER).otherwise("at").alias("world")', 'pl.lit(NEVER).alias("world")', SHARES),
    "another quantity is priced by itself": ("price.py", "shared = pools.priced(numbered, quantity)", 'shared = pools.priced(numbered, quantity) if quantity == "quantity_micros" else pools.priced(numbered.clear(), quantity)', SHARES),
    "a pair is always judged by itself": ("verdict.py", "if differing.is_empty():", "if True:", SHARES),
    "a pool never waits for its period": ("verdict.py", '(pl.col("due") > pl.col("at")) | pl.lit(not together)', "pl.lit(not together)", SHARES),
    "a pool never wakes": ("verdict.py", 'due=pl.when(waits & pl.lit(together)).then("due").otherwise(NEVER)', "due=pl.lit(NEVER)", SHARES),
    "pools are not tied together": ("kernel.py", "run.pools.hubs(first.differing)", "run.pools.hubs(first.differing).clear()", SHARES),
    "pairs of a pool are not near each other": ("lifecycle.py", "near = pl.concat([own, shared, *tied]).unique()", "near = pl.concat([own, shared]).unique()", SHARES),
    "new prices of old usage come from nowhere": ("lifecycle.py", '"cause", "declared", "repriced", pl.lit("frontier")', '"cause", "declared", pl.lit("frontier")', SHARES),
    "what is overtaken is clean": ("pools.py", 'once.filter(pl.col("changed") <= pl.col("since"))', "once", SHARES),
    "days of a month are those of Greenwich": ("pools.py", 'period_number(pl.col("period"), zone, pl.col("start_us"))', 'period_number(pl.col("period"), "UTC", pl.col("start_us"))', SHARES),
    "nobody is told why": ("why.py", 'pl.coalesce("reason", mine)', 'pl.col("reason")', SHARES),
    "pools are not read": ("reach/__init__.py", ', self._same_pool(step)]', "]", SHARES),
    "a billing period is not waited for in reading": ("reach/__init__.py", "pooled = 0 if shared_of(terms).is_empty() else _MONTH_US", "pooled = 0", SHARES),
}  # fmt: skip
GOING_ON: dict[str, Mistake] = {
    "what is kept never wakes": ("epoch.py", "unsettled.passing(passings(frontier, terms, after, upto))", "unsettled.passing([])", EPOCHS),
    "what stands near is not looked for": ("epoch.py", "[*found, *moved, near]", "[*found, *moved]", EPOCHS),
    "a closing moves nobody": ("epoch.py", "moved.append(unsettled.where(", "[].append(unsettled.where(", EPOCHS),
    "what was read again is kept as it was": ("epoch.py", "np.union1d(labels, more)", "labels", EPOCHS),
    "what is kept is told by its own time alone": ("ties.py", "for beside in (-1, 0, 1) if around else (0,)", "for beside in (0,)", EPOCHS),
    "a component is kept record by record": ("unsettled.py", '.with_columns(pl.col(LABEL).min().over("component"))', "", EPOCHS),
    "what is kept keeps all text": ("settle.py", "rows = owned(rows) if 2 * rows.height < events.height else rows", "rows = rows", EPOCHS),
    "names in files are forgotten": ("gone.py", "for file in self.shelved:", "for file in ():", EPOCHS),
    "names are forgotten": ("epoch.py", "again[came] = (before.gone.holds", "again[came] &= (before.gone.holds", EPOCHS),
}  # fmt: skip
MISTAKES = GOING_ON | SHARING | MATCHING | RECORDS | JUDGEMENT | ROUNDS | READING


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_made_in_what_the_code_says(mistake: str) -> None:
    name, right, _, _ = MISTAKES[mistake]
    assert right in (ROOT / "pipelines/trueup/reconcile" / name).read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_tests_notice(mistake: str, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    name, right, wrong, tests = MISTAKES[mistake]
    places = [
        str(place).replace(str(ROOT / "pipelines"), str(tmp_path / "pipelines")) for place in pytestconfig.getini("pythonpath")
    ]
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines")
    broken = tmp_path / "pipelines" / "trueup" / "reconcile" / name
    broken.write_text(broken.read_text("utf-8").replace(right, wrong), "utf-8")
    command = [
        sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow", "--tb=no",
        "-o", f"pythonpath={' '.join(places)}", *tests,
    ]  # fmt: skip
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "CI": "1"})
    assert run.returncode == 1 and " failed" in run.stdout, run.stdout[-2000:]
