"""Every tampering is found by the check that is meant to find it, and named."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from tampering import TAMPERINGS, Tampering

from trueup.config import Project
from trueup.log.lake import Lake
from trueup.proof.fault import Fault
from trueup.proof.verify import ALL, QUICK, verify


def faults(folder: Path, *only: str, quick: bool = False) -> list[Fault]:
    with Lake.open(Project.load(folder), read_only=True) as lake:
        return list(verify(lake, only=only, quick=quick).faults)


def named(tampering: Tampering, found: list[Fault]) -> list[Fault]:
    return [
        fault for fault in found
        if fault.kind == tampering.kind and fault.check in (tampering.check or fault.check)
        and all(text in f"{fault.where}: {fault.detail}" for text in tampering.names)
    ]  # fmt: skip


def test_nothing_is_found_in_a_lake_that_nobody_changed(verified_lake: Path) -> None:
    with Lake.open(Project.load(verified_lake), read_only=True) as lake:
        result = verify(lake)
    assert result.faults == ()
    assert {check.name: check.compared for check in result.checks if check.name != "files"} == {
        "chains": 5, "counts": 5, "positions": 10, "declarations": 9, "event_ids": 14, "duplicates": 14, "units": 15,
        "findings": 4, "scores": 6, "decisions": 2,
    }  # fmt: skip
    assert all((check.not_made, check.notes) == ("", ()) for check in result.checks)


ALWAYS = {
    "usage_subscriber", "charge_amount_with_its_id", "usage_attributes", "usage_bucket", "usage_byte_flipped", "control_file_removed",
    "event_deleted", "event_duplicated", "event_deleted_and_called_duplicate", "control_row_altered_chain_rehashed",
    "position_removed", "catalog_says_another_commit", "setting_altered", "policy_altered", "quarantine_bytes_altered", "raw_file_changed", "raw_file_missing",
    "finding_money_altered", "score_rows_deleted", "decision_on_nothing",
}  # fmt: skip
"""One of each kind; the whole table takes a second each."""


def cases() -> list[ParameterSet]:
    names = (name for name, tampering in TAMPERINGS.items() if not tampering.needs_anchor)
    return [pytest.param(name, marks=[] if name in ALWAYS else [pytest.mark.slow]) for name in names]


@pytest.mark.parametrize("name", cases())
def test_verify_names_what_was_changed(verified_lake: Path, name: str) -> None:
    tampering = TAMPERINGS[name]
    tampering.apply(verified_lake)
    only = (tampering.check,) if tampering.check else ("files", "event_ids", "units")
    assert named(tampering, faults(verified_lake, *only))


def test_the_quick_half_makes_the_checks_that_the_table_says() -> None:
    quick = {name for name, _ in QUICK}
    assert quick < {name for name, _ in ALL}
    for name, tampering in TAMPERINGS.items():
        if not tampering.needs_anchor and tampering.check not in ("", "files"):
            assert tampering.quick == (tampering.check in quick), name


def test_the_quick_half_finds_what_it_makes_checks_for(verified_lake: Path) -> None:
    wanted = ("usage_quantity", "charge_amount", "tick_altered", "decision_altered", "control_row_removed_at_the_end")
    for name in wanted:
        TAMPERINGS[name].apply(verified_lake)
    found = faults(verified_lake, quick=True)
    assert all(named(TAMPERINGS[name], found) for name in wanted)


def test_a_damaged_data_file_does_not_stop_the_other_checks(verified_lake: Path) -> None:
    for name in ("usage_file_removed", "charge_account", "finding_money_altered"):
        TAMPERINGS[name].apply(verified_lake)
    found = faults(verified_lake)
    assert named(TAMPERINGS["usage_file_removed"], found)
    assert named(TAMPERINGS["charge_account"], found)
    assert named(TAMPERINGS["finding_money_altered"], found)
