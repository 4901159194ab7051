"""Compare truth and findings on literal frames, and run the command over a lake of two files."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from trueup.cli import main
from trueup.errors import TrueupError
from trueup.simulate.truth.evidence import Evidence
from trueup.simulate.truth.ledger import TRUTH
from trueup.simulate.truth.scorecard import HOP_LOSS, Scorecard, check_truth, score

NOON = datetime(2025, 3, 27, 12, tzinfo=UTC)
FINDING = {
    "finding_id": pl.String, "kind": pl.String, "status": pl.String, "service": pl.String, "day": pl.Date, "currency": pl.String,
    "impact_micros": pl.Int128, "raised_at": pl.Datetime("us", "UTC"), "reason": pl.String, "subscriber": pl.String,
}  # fmt: skip


def leak(kind: str, kernel_kind: str | None, usage: str = "", charges: str = "", money: int = 0, **more: object) -> dict:
    row = {
        "leak_id": f"{kind}-{usage}-{charges}", "kind": kind, "category": "leak", "variant": "plain", "expected_kind": kernel_kind,
        "kernel_kind": kernel_kind, "expected_status": "open", "decided_by": "kernel", "decidable": True, "service": "voice",
        "usage_record_keys": usage.split(), "charge_record_keys": charges.split(), "impact_micros": money, "currency": "EUR",
        "knowable_at": NOON,
    }  # fmt: skip
    return {name: {**row, **more}.get(name) for name in TRUTH}


def finding(
    kind: str, usage: str = "", charges: str = "", money: int = 0, status: str = "open", after_h: float = 0,
    reason: str | None = None, subscriber: str | None = None,
) -> dict:  # fmt: skip
    fields = {"kind": kind, "usage": usage, "charges": charges, "money": money, "status": status, "after_h": after_h}
    return fields | {"reason": reason, "subscriber": subscriber}


def scored(
    leaks: list[dict], findings: list[dict], *, log_time: datetime = NOON + timedelta(days=9), losses: pl.DataFrame | None = None
) -> Scorecard:
    rows, members = [], []
    for number, row in enumerate(findings):
        name = f"{number:032x}"
        raised = NOON + timedelta(hours=row["after_h"])
        rows.append(
            (
                name,
                row["kind"],
                row["status"],
                "voice",
                date(2025, 3, 27),
                "EUR",
                row["money"],
                raised,
                row["reason"],
                row["subscriber"],
            )
        )
        members += [(name, "usage", key) for key in row["usage"].split()]
        members += [(name, "charge", key) for key in row["charges"].split()]
    evidence = Evidence(
        pl.DataFrame(rows, schema=FINDING, orient="row"),
        pl.DataFrame(members, schema={"finding_id": pl.String, "stream": pl.String, "record_key": pl.String}, orient="row"),
        9, 9, log_time,
    )  # fmt: skip
    return score(check_truth(pl.DataFrame(leaks, schema=TRUTH), where="truth"), evidence, losses)


def one(frame: pl.DataFrame) -> dict:
    assert frame.height == 1
    return frame.row(0, named=True)


def test_a_leak_is_found_by_the_finding_of_its_kind_with_its_records_and_its_money() -> None:
    card = scored([leak("unbilled_random", "unbilled", "u1 u2", money=7)], [finding("unbilled", "u2 u1", money=7, after_h=2)])
    row = one(card.leaks)
    assert (row["found"], row["missed"], row["wrong_money"], row["recall"], row["precision"]) == (1, 0, 0, 1.0, 1.0)
    assert (row["injected_micros"], row["found_micros"], row["median_delay_s"]) == (7, 7, 7200)
    assert card.passed


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        (finding("unbilled", "u1 u2", money=8), "wrong_money", "different amount"),
        (finding("unbilled", "u1", money=7), "missed", "more or fewer records"),
        (finding("unbilled", "u1 u2 u3", money=7), "missed", "more or fewer records"),
        (finding("misrated", "u1 u2", "c1", money=7), "missed", "misrated (open)"),
        (finding("unbilled", "u1 u2", money=7, status="resolved"), "missed", "unbilled (resolved)"),
        (finding("unbilled", "u1 u2", money=7, status="retracted"), "missed", "unbilled (retracted)"),
        (finding("unbilled", "u9", money=7), "missed", "no finding names its records"),
    ],
)
def test_a_leak_with_another_finding_is_not_found_and_the_report_gives_the_reason(answer: dict, outcome: str, reason: str) -> None:
    card = scored([leak("unbilled_random", "unbilled", "u1 u2", money=7)], [answer])
    row = one(card.leaks)
    assert (row["found"], row[outcome], row["recall"]) == (0, 1, 0.0)
    assert reason in one(card.misses)["reason"]
    assert not card.passed


def test_a_leak_beyond_the_end_of_the_log_is_missed_with_that_reason() -> None:
    card = scored([leak("unbilled_random", "unbilled", "u1", money=7)], [], log_time=NOON - timedelta(hours=1))
    assert "log ends before" in one(card.misses)["reason"]


def test_a_late_charge_is_found_once_its_finding_is_resolved() -> None:
    late = leak("late_charge", "unbilled", "u1", "c1", 7, expected_status="resolved")
    assert scored([late], [finding("unbilled", "u1", money=7, status="resolved")]).passed
    still_open = scored([late], [finding("unbilled", "u1", money=7)])
    assert one(still_open.leaks)["missed"] == 1
    assert still_open.unexplained.height == 1


def test_each_kind_is_compared_by_the_records_of_its_streams() -> None:
    leaks = [
        leak("duplicate_charge", "duplicate_charge", "u1", "c2", -5),
        leak("conflicting_usage", "conflicting_usage", "u3", "c3"),
        leak("under_quantity", "underbilled", "u4 u5", "c4", 3),
    ]
    found = [
        finding("duplicate_charge", "", "c2", -5), finding("conflicting_usage", "u3"), finding("underbilled", "u4 u5", "c4", 3),
    ]  # fmt: skip
    assert scored(leaks, found).passed
    without_its_charge = scored(leaks[2:], [finding("underbilled", "u4 u5", money=3)])
    assert one(without_its_charge.leaks)["missed"] == 1


def test_several_findings_answer_one_leak_if_together_they_have_its_records_and_money() -> None:
    twice = leak("conflicting_charge", "conflicting_charge", "u1", "c1 c2")
    assert scored([twice], [finding("conflicting_charge", "", "c1"), finding("conflicting_charge", "", "c2")]).passed
    assert not scored([twice], [finding("conflicting_charge", "", "c1")]).passed


def test_precision_counts_unexplained_findings_and_leaves_out_retracted_ones() -> None:
    card = scored(
        [leak("unbilled_random", "unbilled", "u1", money=7)],
        [finding("unbilled", "u1", money=7), finding("unbilled", "u2", money=1), finding("unbilled", "u3", status="retracted")],
    )
    row = one(card.findings)
    assert (row["open"], row["retracted"], row["explained"], row["unexplained"], row["precision"]) == (2, 1, 1, 1, 0.5)
    assert one(card.unexplained)["usage_record_keys"] == ["u2"]
    assert not card.passed


def test_leaks_that_other_parts_decide_explain_findings_and_are_reported_as_not_covered() -> None:
    leaks = [
        leak("zero_rated_by_mistake", "misrated", "u1", "c1", 7, decided_by="fraud"),
        leak("lost_file", "charge_without_usage", "u2 u3", "c2 c3", -9, decided_by="quality", expected_kind="missing_records"),
        leak("currency_mistake", None, "u5", "c5", 1, decided_by="fraud", expected_kind="misrated"),
    ]
    found = [
        finding("misrated", "u1", "c1", 7), finding("charge_without_usage", "", "c2", -4), finding("overbilled", "u3", "c3", -5),
        finding("unbilled", "u5", money=3), finding("charge_without_usage", "", "c5", -2),
    ]  # fmt: skip
    card = scored(leaks, found)
    assert card.passed
    assert card.leaks.is_empty()
    row = {row["kind"]: (row["findings"], row["findings_micros"]) for row in card.not_covered.to_dicts()}
    assert row == {"zero_rated_by_mistake": (1, 7), "lost_file": (2, -9), "currency_mistake": (2, 1)}


def test_undecidable_rows_are_counted_separately() -> None:
    unsure = leak("duplicate_charge", None, "u1", "c1 c2", -5, decidable=False, expected_kind="duplicate_charge")
    card = scored([unsure], [finding("charge_without_usage", "", "c2", -5)])
    assert (one(card.leaks)["injected"], one(card.leaks)["decidable"], one(card.leaks)["recall"]) == (1, 0, None)
    assert (one(card.findings)["undecidable"], one(card.findings)["precision"]) == (1, None)
    assert (one(card.undecidable)["injected"], one(card.undecidable)["findings"]) == (1, 1)
    assert card.passed


def test_an_undecidable_row_with_a_kind_covers_findings_of_that_kind_only() -> None:
    known = leak("found_before", "unbilled", "u1", money=5, decidable=False)
    assert scored([known], [finding("unbilled", "u1", money=5)]).passed
    assert scored([known], [finding("misrated", "u1", money=5)]).unexplained.height == 1


def test_a_reversed_charge_explains_the_resolved_duplicate() -> None:
    back = leak("reversed_duplicate", None, "u1", "c1 c2 c3", category="lookalike", expected_status=None)
    assert scored([back], [finding("duplicate_charge", "", "c2", -5, "resolved")]).passed
    assert not scored([back], [finding("duplicate_charge", "", "c2", -5)]).passed


def test_sums_are_per_currency_and_exact_beyond_64_bits() -> None:
    leaks = [leak("unbilled_random", "unbilled", f"u{n}", money=2**62) for n in range(4)]
    leaks.append(leak("unbilled_random", "unbilled", "u9", money=1, currency="USD"))
    row = scored(leaks, []).leaks
    assert dict(row.select("currency", "injected_micros").iter_rows()) == {"EUR": 2**64, "USD": 1}


def test_scores_do_not_depend_on_the_order_of_rows() -> None:
    leaks = [leak("unbilled_random", "unbilled", f"u{n}", money=n) for n in range(1, 6)]
    found = [finding("unbilled", f"u{n}", money=n) for n in range(2, 9)]
    forth, back = scored(leaks, found), scored(leaks[::-1], found[::-1])
    assert forth.leaks.equals(back.leaks)
    assert forth.findings.equals(back.findings)


def test_an_empty_truth_without_findings_passes() -> None:
    card = scored([], [])
    assert card.passed
    assert card.leaks.is_empty()
    assert card.findings.is_empty()


def test_a_truth_without_its_columns_is_refused() -> None:
    with pytest.raises(TrueupError, match=r"lacks the columns .*kernel_kind"):
        check_truth(pl.DataFrame(schema=TRUTH).drop("kernel_kind"), where="truth.parquet")
    twice = pl.DataFrame([leak("a", "unbilled", "u1")] * 2, schema=TRUTH)
    with pytest.raises(TrueupError, match="leak_id"):
        check_truth(twice, where="truth.parquet")


# --- the command ------------------------------------------------------------------------------------------------------

TOML = """
[[source]]
name = "net"
stream = "usage"
path = "net.csv"
columns = { record_key = "id", session_key = "id", subscriber = "who", started_at = "start", quantity = "s" }
constants = { service = "voice" }

[[source]]
name = "bill"
stream = "charge"
path = "bill.csv"
columns = { record_key = "line", session_key = "id", subscriber = "who", started_at = "start", quantity = "s", amount = "amount" }
constants = { service = "voice" }

[reconcile.voice]
price = "1"
grace = "1h"
"""
USAGE = "id,who,start,s\nu1,A,2025-03-27 10:00:00,3\nu2,A,2025-03-27 11:00:00,4\nu3,A,2025-03-27 15:00:00,1\n"
CHARGES = "line,id,who,start,s,amount\nc1,u1,A,2025-03-27 10:00:00,3,3\nc3,u3,A,2025-03-27 15:00:00,1,1\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRUEUP_NOW", "2025-03-28T00:00:00+00:00")
    (tmp_path / "trueup.toml").write_text(TOML)
    (tmp_path / "net.csv").write_text(USAGE)
    (tmp_path / "bill.csv").write_text(CHARGES)
    assert main(["ingest", "--project", str(tmp_path)]) == 0
    return tmp_path


RunCommand = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_command(project: Path, capsys: pytest.CaptureFixture[str]) -> RunCommand:
    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([*arguments, "--project", str(project)])
        return (status, *capsys.readouterr())

    return run


def write_truth(folder: Path, *leaks: dict) -> None:
    pl.DataFrame(list(leaks), schema=TRUTH).write_parquet(folder / "truth.parquet")


def test_the_command_prints_and_saves_the_scores_with_exact_money(project: Path, run_command: RunCommand) -> None:
    write_truth(project, leak("unbilled_random", "unbilled", "u2", money=4_000_000))
    # The command first reconciles an unreconciled log.
    assert run_command("score-controls", "--check")[0] == 0
    status, out, err = run_command("score-controls", "--check")
    assert (status, err) == (0, "")
    assert "unbilled_random" in out
    assert "4.000000" in out
    _, out, _ = run_command("score-controls", "--json")
    report = json.loads(out)
    assert report == json.loads((project / "score-controls.json").read_text())
    (row,) = report["leaks"]
    assert (row["found"], row["found_micros"], row["found_money"], row["precision"]) == (1, 4_000_000, 4.0, 1.0)
    # Raised when the log reached 15:00, knowable at noon.
    assert row["median_delay_s"] == 3 * 3600


def test_the_check_fails_on_wrong_money_and_on_unexplained_findings(project: Path, run_command: RunCommand) -> None:
    assert run_command("reconcile")[0] == 0
    write_truth(project, leak("unbilled_random", "unbilled", "u2", money=4_000_001))
    status, out, _ = run_command("score-controls", "--check")
    assert status == 1
    assert "different amount" in out
    assert run_command("score-controls")[0] == 0
    write_truth(project)
    assert run_command("score-controls", "--check")[0] == 1


def test_a_missing_or_unreadable_truth_is_refused_in_one_line(project: Path, run_command: RunCommand) -> None:
    status, out, err = run_command("score-controls")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "truth" in err
    (project / "truth.parquet").write_text("no parquet")
    assert run_command("score-controls")[0] == 2


LOSS = {"from_stage": "mediation", "to_stage": "rating", "change": "lost", "loss_micros": 7}


@pytest.mark.parametrize(
    ("losses", "located", "stray"),
    [
        ([LOSS], 1, 0),
        ([LOSS | {"to_stage": "invoice"}], 0, 0),
        ([LOSS | {"change": "changed"}], 0, 0),
        ([LOSS | {"loss_micros": 6}], 0, 0),
        ([LOSS, LOSS | {"from_stage": "rating", "to_stage": "invoice"}], 0, 0),
        ([], 0, 0),
        ([LOSS, LOSS | {"finding_ids": ["ff"]}], 1, 1),
    ],
)
def test_a_loss_between_systems_is_located_at_its_hop_with_its_money_once(losses: list[dict], located: int, stray: int) -> None:
    rows = [{"finding_ids": [f"{0:032x}"]} | loss for loss in losses]
    card = scored(
        [leak("chain_lost_by_rating", "unbilled", "u1", money=7)], [finding("unbilled", "u1", money=7)],
        losses=pl.DataFrame(rows, schema=HOP_LOSS),
    )  # fmt: skip
    row = one(card.hops)
    assert (row["located"], row["elsewhere"], card.stray_losses.height) == (located, 1 - located, stray)
    assert card.passed == (located == 1 and stray == 0)
