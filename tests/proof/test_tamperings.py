"""Tampering: the intended check finds every change and names the changed place."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from tampering import TAMPERINGS, Tampering, edit

from trueup.config import Project
from trueup.log.lake import Lake
from trueup.proof.fault import Fault
from trueup.proof.raw import units
from trueup.proof.verify import ALL, QUICK, verify


def faults(folder: Path, *only: str, quick: bool = False) -> list[Fault]:
    with Lake.open(Project.load(folder), read_only=True) as lake:
        return list(verify(lake, only=only, quick=quick).faults)


def matching(tampering: Tampering, all_faults: list[Fault]) -> list[Fault]:
    return [
        fault for fault in all_faults
        if fault.kind == tampering.kind and fault.check in (tampering.check or fault.check)
        and all(text in f"{fault.where}: {fault.detail}" for text in tampering.names)
    ]  # fmt: skip


def test_an_unchanged_lake_has_no_faults(verified_lake: Path) -> None:
    with Lake.open(Project.load(verified_lake), read_only=True) as lake:
        result = verify(lake)
    assert result.faults == ()
    assert {check.name: check.compared for check in result.checks if check.name != "files"} == {
        "chains": 5, "counts": 5, "positions": 10, "declarations": 9, "event_ids": 14, "duplicates": 14, "moved": 0, "units": 15,
        "findings": 4, "scores": 6, "decisions": 2,
    }  # fmt: skip
    assert all((check.not_made, check.notes) == ("", ()) for check in result.checks)


def test_findings_of_an_earlier_version_have_no_money_of_a_booking_and_no_faults(verified_lake: Path) -> None:
    missing = dict.fromkeys(("booking_id", "whole_expected_micros", "whole_billed_micros", "whole_tolerated_micros"))
    edit("finding", lambda row: True, **missing)(verified_lake)
    assert faults(verified_lake, "findings") == []


ALWAYS = {
    "usage_subscriber", "charge_amount_with_its_id", "usage_attributes", "usage_bucket", "usage_byte_flipped", "control_file_removed",
    "event_deleted", "event_duplicated", "event_deleted_and_called_duplicate", "control_row_altered_chain_rehashed",
    "position_removed", "catalog_says_another_commit", "setting_altered", "policy_altered", "quarantine_bytes_altered", "raw_file_changed", "raw_file_missing",
    "finding_money_altered", "finding_booking_money_altered", "score_rows_deleted", "decision_on_nothing",
    "usage_source_row_removed", "usage_source_row_largest", "quarantine_source_altered", "quarantine_stream_removed", "position_time_removed",
}  # fmt: skip
"""One tampering of each kind; each takes about a second."""


def cases() -> list[ParameterSet]:
    names = (name for name, tampering in TAMPERINGS.items() if not tampering.needs_anchor)
    return [pytest.param(name, marks=[] if name in ALWAYS else [pytest.mark.slow]) for name in names]


@pytest.mark.parametrize("name", cases())
def test_verify_names_the_change(verified_lake: Path, name: str) -> None:
    tampering = TAMPERINGS[name]
    tampering.apply(verified_lake)
    only = (tampering.check,) if tampering.check else ("files", "event_ids", "units")
    assert matching(tampering, faults(verified_lake, *only))


def test_quick_verification_runs_the_checks_of_the_table() -> None:
    quick = {name for name, _ in QUICK}
    assert quick < {name for name, _ in ALL}
    for name, tampering in TAMPERINGS.items():
        if not tampering.needs_anchor and tampering.check not in ("", "files"):
            assert tampering.quick == (tampering.check in quick), name


def test_quick_verification_finds_the_faults_of_its_checks(verified_lake: Path) -> None:
    names = ("usage_quantity", "charge_amount", "tick_altered", "decision_altered", "control_row_removed_at_the_end")
    for name in names:
        TAMPERINGS[name].apply(verified_lake)
    all_faults = faults(verified_lake, quick=True)
    assert all(matching(TAMPERINGS[name], all_faults) for name in names)


@pytest.mark.parametrize("name", ["usage_source_row_removed", "usage_source_row_largest"])
def test_rows_outside_of_a_unit_are_found_where_it_is_read_in_pieces_too(
    verified_lake: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(units, "ROWS_AT_ONCE", 1)
    assert faults(verified_lake, "units") == []
    TAMPERINGS[name].apply(verified_lake)
    assert matching(TAMPERINGS[name], faults(verified_lake, "units"))


@pytest.mark.parametrize(
    ("table", "values", "check"),
    [
        ("position", {"position": None}, "positions"),
        ("control", {"stream": "unknown"}, "units"),
        ("configuration", {"content": "[]"}, "units"),
        ("declaration", {"content": None}, "findings"),
        ("decision", {"finding_id": None}, "decisions"),
    ],
)
def test_a_row_that_no_version_writes_stops_its_check_and_no_other(
    verified_lake: Path, table: str, values: dict[str, object], check: str
) -> None:
    TAMPERINGS["usage_subscriber"].apply(verified_lake)
    edit(table, lambda row: True, **values)(verified_lake)
    with Lake.open(Project.load(verified_lake), read_only=True) as lake:
        result = verify(lake)
    assert matching(TAMPERINGS["usage_subscriber"], list(result.faults)) and not result.sound
    assert {done.name for done in result.checks} == {name for name, _ in ALL}
    (stopped,) = (done.not_made for done in result.checks if done.name == check)
    assert stopped.startswith("stopped: the log has a row that it cannot read (")


def test_a_damaged_data_file_does_not_stop_the_other_checks(verified_lake: Path) -> None:
    for name in ("usage_file_removed", "charge_account", "finding_money_altered"):
        TAMPERINGS[name].apply(verified_lake)
    all_faults = faults(verified_lake)
    assert matching(TAMPERINGS["usage_file_removed"], all_faults)
    assert matching(TAMPERINGS["charge_account"], all_faults)
    assert matching(TAMPERINGS["finding_money_altered"], all_faults)
