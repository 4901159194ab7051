"""Cases, decisions, comparisons and evidence by the commands, on a tiny project."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

Invoke = Callable[..., Any]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def parsed(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def test_what_if_gives_the_result_of_making_the_change_and_writes_nothing(invoke: Invoke, copied: Path) -> None:
    settings, before = copied / "trueup.toml", invoke("digest", "--project", copied).out
    position = parsed(invoke("status", "--json", "--project", copied).out)["position"]
    result = invoke("whatif", "--set", "reconcile.voice.price=11", "--json", "--project", copied)
    supposed = parsed(result.out)["difference"]
    assert invoke("digest", "--project", copied).out == before
    settings.write_text(settings.read_text("utf-8").replace('price = "10"', 'price = "11"'), "utf-8")
    invoke("reconcile", "--project", copied)
    real = parsed(invoke("diff", str(position), "--json", "--limit", "50", "--project", copied).out)
    assert real == supposed
    assert {(row["kind"], row["change"], row["cause"]) for row in real["findings"]} >= {("unbilled", "revised", "policy_change")}
    assert sum(row["difference"] for row in real["causes"]) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no change is given"),
        (("--set", "price=1"), "invalid setting 'price=1'"),
        (("--set", "sql.threads=1"), "sql.threads changes no finding of reconciliation and no match of a rule"),
        (("--set", "reconcile.voice.pric=1"), "reconcile.voice.pric: this setting is unknown"),
        (("--set", "source.lost.path=x"), "there is no source.lost (--set); name one of trueup.toml: msc, billing"),
        (("--set", "reconcile.voise.price=1"), "unknown service 'voise'"),
        (("--set", "project.currency.x=1"), "project.currency is not a table"),
        (("--rule", "name = "), "invalid rule"),
        (("--book", "lost.csv"), "sources of tariffs"),
    ],
)
def test_a_supposition_that_cannot_be_meant_is_one_line(
    invoke: Invoke, done: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = invoke("whatif", *arguments, "--project", done)
    assert (result.status, result.out, result.err.splitlines()[-1].count(message)) == (2, "", 1), result.err


def test_a_run_opens_cases_and_commands_show_and_decide_them(invoke: Invoke, copied: Path, tmp_path: Path) -> None:
    invoke("cases", "--search", "--project", copied)
    cases = parsed(invoke("cases", "--json", "--project", copied).out)
    assert {case["kind"] for case in cases} == {"unbilled", "underbilled"}
    case_id = cases[0]["case_id"]
    assert "due" in invoke("decide", case_id[:8], "due", "--on", "2030-01-31", "--by", "ann", "--project", copied).out
    assert "due on: 2030-01-31" in invoke("cases", case_id, "--project", copied).out
    refused = invoke("decide", case_id, "merged", "--by", "ann", "--project", copied)
    assert (refused.status, "--into CASE" in refused.err) == (2, True)
    refused = invoke("decide", case_id, "split", "--where", "colour=red", "--project", copied)
    assert "unknown dimension 'colour'" in refused.err
    assert "nothing" not in invoke("evidence", case_id, "--out", tmp_path / "evidence", "--project", copied).err
    assert "proven" in (tmp_path / "evidence/evidence.html").read_text("utf-8")
    bill = parsed(invoke("bill", "A2", "2024-03", "--json", "--project", copied).out)
    assert [total["right"] for total in bill["totals"]] == [Decimal("55")]
    assert "Usage and charge match, but the charge covers less" in invoke("bill", "A2", "2024-03-01", "--project", copied).out


def test_searching_as_of_an_earlier_point_and_unknown_types_are_refused(invoke: Invoke, done: Path) -> None:
    assert "leave out --search" in invoke("cases", "--search", "--as-of", "1", "--project", done).err
    assert "unknown type" in invoke("cases", "--type", "leak", "--project", done).err
    assert (
        "is not a case"
        in invoke("cases", parsed(invoke("findings", "--json", "--project", done).out)[0]["finding_id"], "--project", done).err
    )
