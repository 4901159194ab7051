"""Lists and numbers that pages, help and the template state equal those of the code."""

from __future__ import annotations

import ast
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from trueup.clock import system_clock
from trueup.config.fraud_vocabulary import NUMBERS
from trueup.config.tables.source import SourceConfig
from trueup.events.reasons import REASONS
from trueup.project_checks.check import COLLECTION_RULES, DELIVERY_RULES, FILE_RULES, LOG_RULES, SETTING_RULES
from trueup.reconcile.domain.decision_kinds import RECORDED
from trueup.warehouse.decide import Decision, check_decision

ROOT = Path(__file__).parents[2]


def text_of(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def value_of(path: str, name: str) -> ast.expr:
    """Return the expression that a module assigns to a name."""
    for node in ast.parse(text_of(path)).body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            assert node.value is not None
            return node.value
    raise LookupError(name)


def count(path: str, name: str) -> int:
    """Return the number of cases in a literal, and of the literals that it joins."""
    value = value_of(path, name)
    if isinstance(value, ast.Dict):
        return len(value.keys)
    assert isinstance(value, ast.List)
    parts = [part.value.id if isinstance(part, ast.Starred) and isinstance(part.value, ast.Name) else None for part in value.elts]
    return sum(1 if part is None else count(path, part) for part in parts)


def test_pages_state_the_numbers_of_cases_that_the_tests_have() -> None:
    amounts = sum(count("tests/reconcile/recurring/test_expected_amounts.py", name) for name in ("CASES", "PERIODS", "EVENTS"))
    logs = count("tests/reconcile/recurring/test_item_findings.py", "CASES")
    for page in ("README.md", "docs/recurring.md"):
        assert f"{amounts} amounts and {logs} logs of findings calculated by hand" in text_of(page)
    assert f"{count('tests/rating/test_cases.py', 'CASES')} cases calculated by hand" in text_of("README.md")
    hostile = len(re.findall(r"^@case\(", text_of("benchmarks/hostile.py"), re.M))
    assert f"{hostile} hostile files" in text_of("README.md")


def test_the_page_of_checks_lists_every_check() -> None:
    page = text_of("docs/checks.md")
    rules = {rule.id for rule in (*SETTING_RULES, *FILE_RULES, *COLLECTION_RULES, *DELIVERY_RULES, *LOG_RULES)}
    assert {rule for rule in rules if f"`{rule}`" not in page} == set()
    exempt = {rule.id for rule in (*SETTING_RULES, *FILE_RULES, *LOG_RULES) if not rule.fails_check}
    sentence = next(line for line in page.splitlines() if line.endswith("do not fail `--check`."))
    assert set(re.findall(r"`([a-z]+-[a-z]+)`", sentence)) == exempt


def test_the_page_of_fraud_lists_every_name_that_rules_compare() -> None:
    section = text_of("docs/fraud.md").split("### Names that rules compare")[1]
    assert set(section.split("```text\n")[1].split("```")[0].split()) == NUMBERS


def test_the_template_lists_every_format() -> None:
    line = next(line for line in text_of("pipelines/trueup/cli/template.toml").splitlines() if line.startswith("# format = "))
    formats = get_args(SourceConfig.model_fields["format"].annotation)
    assert [word for word in re.findall(r"[a-z]+", line.split("#")[2].split("(")[0]) if word != "or"] == list(formats)


@pytest.mark.parametrize("name", RECORDED)
def test_a_person_can_give_every_decision_that_the_help_lists(name: str) -> None:
    now = system_clock()
    given: dict[str, dict[str, Any]] = {
        "assigned": {"assignee": "ben"},
        "requested": {"action": "block"},
        "snoozed": {"until": now + timedelta(days=1)},
    }
    given |= {"due": {"day": now.date()}, "merged": {"into": "00ff"}, "split": {"into": "00ff"}}
    check_decision(Decision(name, "the reason", "ann", **given.get(name, {})), now)


def test_the_page_of_feeds_lists_every_reason_of_quarantine() -> None:
    section = text_of("docs/feeds.md").split("## Reasons in quarantine")[1].split("\n## ")[0]
    assert {reason for reason in REASONS if f"`{reason}`" not in section} == set()
