"""A supposed rule gives the matches that it gives once it is in the settings; nothing is written."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from small_project import clock, reconcile, write_files

from trueup.collect.ingest import ingest
from trueup.config import FILE_NAME, Project
from trueup.errors import ConfigError
from trueup.fraud.scoring.score_run import score
from trueup.investigation.whatif import Supposition, supposed_config, what_if
from trueup.warehouse.close import close
from trueup.warehouse.query import run

RULE = 'name = "quiet", kind = "range", prefixes = ["B1"]'


def ingested(folder: Path) -> Project:
    project = write_files(folder)
    assert not ingest(project, clock=clock).errors
    for source in ("msc", "billing"):
        close(project, source, date(2024, 3, 4), clock=clock)
    reconcile(project)
    return project


def test_a_supposed_rule_gives_the_matches_that_it_gives_once_it_is_set(tmp_path: Path) -> None:
    project = ingested(tmp_path)
    supposed = what_if(project, Supposition(rules=(RULE,)))
    assert supposed.rules is not None and supposed.difference.changes == 0
    caught = {row["rule"]: (row["transactions"], row["cases"]) for row in supposed.rules}
    assert Project.load(tmp_path).config == project.config
    settings = tmp_path / FILE_NAME
    settings.write_text(settings.read_text("utf-8") + "\n[[fraud.rule]]\n" + RULE.replace(", ", "\n"), "utf-8")
    score(Project.load(tmp_path), clock=clock)
    query = (
        "SELECT rule, count(*), count(DISTINCT case_id) FROM "
        "(SELECT unnest(string_split(rules, ', ')) AS rule, case_id FROM suspicious_transactions) GROUP BY rule"
    )
    with run(Project.load(tmp_path), query) as answer:
        assert {row[0]: (row[1], row[2]) for row in answer.rows()} == caught
    assert caught == {"watched": (2, 2), "quiet": (3, 2)}


def test_settings_of_fraud_rules_show_the_alerts_now_and_then(tmp_path: Path) -> None:
    project = ingested(tmp_path)

    def alerts(*settings: str) -> dict[str, tuple[int, int]]:
        found = what_if(project, Supposition(settings))
        assert found.difference.changes == 0
        assert found.rules is not None
        return {row["rule"]: (row["alerts_then"], row["alerts"]) for row in found.rules}

    assert alerts("fraud.rule.watched.shadow=true") == {"watched": (2, 0)}
    assert alerts('fraud.rule.watched.numbers=["B9", "B1"]') == {"watched": (2, 4)}
    detected = alerts('fraud.detectors="alert"')
    assert len(detected) > 1
    assert detected["watched"] == (2, 2)
    assert {row[0] for name, row in detected.items() if name != "watched"} == {0}
    assert alerts("fraud.rule=[]") == {"watched": (2, 0)}
    assert alerts("fraud.rule=[]", 'fraud.detectors="shadow"').keys() == detected.keys()


@pytest.mark.parametrize(
    "setting",
    [
        'quality.quarantine_share="0.5"', 'quality.gate.volume_drop="block"', "fraud.alerts_per_day=1", "fraud.seed=7",
        'cases.materiality="5"', "invoice.grace=1d", 'rating.zone="zone"', "project.max_age=900d", "limits.depth=7",
        'source.msc.trim=false', 'source.hlr.lateness="2h"', 'notify.above="2"', "lake.buckets=8", "sql.threads=3",
        "workbench.port=9000", "anchor.timeout=3m",
    ],
)  # fmt: skip
def test_a_setting_that_a_what_if_cannot_compare_is_refused(tmp_path: Path, setting: str) -> None:
    project = write_files(tmp_path)
    name = setting.partition("=")[0]
    for settings in ((setting,), (setting, "reconcile.voice.price=11")):
        with pytest.raises(ConfigError, match=f"{name} changes no finding of reconciliation and no match of a rule"):
            supposed_config(project, Supposition(settings))


@pytest.mark.parametrize(
    "settings",
    [
        ("reconcile.voice.price=11",), ("reconcile.voice.price=10",), ("reconcile.default.grace=2h",), ("project.currency=EUR",),
        ("project.horizon=30d",), ("rating.provisioning_grace=2h",), ("source.msc.lateness=2h",),
        ("source.billing.bill_lines=true",), ("fraud.label_delay=1d",), ("fraud.rule.watched.action=call",),
        ('reconcile.voice.match=["aggregate"]', "reconcile.voice.period=week"),
    ],
)  # fmt: skip
def test_a_setting_of_findings_or_of_rules_is_compared(tmp_path: Path, settings: tuple[str, ...]) -> None:
    supposed_config(write_files(tmp_path), Supposition(settings))


@pytest.mark.parametrize(
    "setting", ["reconcile.voise.grace=2h", 'reconcile.voice={match = ["aggregate"], covers = ["voise"]}']
)  # fmt: skip
def test_a_service_that_neither_the_settings_nor_the_log_have_is_refused(tmp_path: Path, setting: str) -> None:
    project = ingested(tmp_path)
    with pytest.raises(ConfigError, match=r"unknown service 'voise'.*name one of default, voice$"):
        what_if(project, Supposition((setting,)))


def test_rules_are_supposed_for_a_service_of_the_log_that_the_settings_do_not_name(tmp_path: Path) -> None:
    project = write_files(tmp_path)
    settings = tmp_path / FILE_NAME
    settings.write_text(settings.read_text("utf-8").replace("[reconcile.voice]", "[reconcile.sms]"), "utf-8")
    assert not ingest(project, clock=clock).errors
    for source in ("msc", "billing"):
        close(project, source, date(2024, 3, 4), clock=clock)
    found = what_if(Project.load(tmp_path), Supposition(("reconcile.voice.price=10",)))
    assert found.difference.changes > 0
