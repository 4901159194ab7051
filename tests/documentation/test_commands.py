"""Every shell block of the documents runs, page by page, on projects made for it, or has a stated reason not to run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from shell import run_in_shell
from shops import shops
from snippets import ROOT, Snippet, snippets

SHELL = snippets("sh", "bash")


def delivered_files(folder: Path) -> None:
    """Write two files as a mediation and a billing system deliver them."""
    (folder / "landing").mkdir()
    data = ROOT / "examples/wholesale/data"
    shutil.copy(data / "network_usage_raw.csv", folder / "landing/cdr.csv")
    shutil.copy(data / "billing_transaction.csv", folder / "landing/charges.csv")


def proposed_project(folder: Path) -> None:
    """Make the project `revenue` of two files."""
    delivered_files(folder)
    run_in_shell("trueup init revenue --from landing/cdr.csv landing/charges.csv", folder)


def daily_project(folder: Path) -> None:
    """Make the project `revenue`, and declare its charges complete, because they have no times."""
    proposed_project(folder)
    run_in_shell("trueup ingest --project revenue && trueup close --project revenue --source charges --through 2022-01-04", folder)


def exchange_records(folder: Path) -> None:
    """Write a call record in the form of an Asterisk exchange."""
    fields = ["1/5/2024 10:00:00", "", "4930", "4940", "internal", "SIP/1", "SIP/2", "Dial", "", "63", "60", "ANSWERED", "3", ""]
    call = ",".join(f'"{field}"' for field in [*fields, "1714550400.1", *[""] * 10])
    (folder / "exchange").mkdir()
    (folder / "exchange/cdr.csv").write_text(call + "\n", "utf-8")


def tables_of_shops(folder: Path) -> None:
    """Write the tables of a user: a table with labels for training, and a table of later days for scoring."""
    shops().write_parquet(folder / "shops.parquet")
    shops(10, first_day=45).write_parquet(folder / "later.parquet")


def nothing(folder: Path) -> None:
    """Leave the folder as it is."""


@dataclass(frozen=True)
class Scene:
    """The environment of a page's blocks: whether `demo` has the operator, the preparations, and the replacements of placeholders.

    `prints` are figures on the page that the commands must print.
    """

    prepare: Callable[[Path], None] = nothing
    needs_operator: bool = False
    inside: str = "."
    replace: dict[str, str] = field(default_factory=dict)
    prints: tuple[str, ...] = ()
    is_quick: bool = False


def branch_with_leaks(folder: Path) -> None:
    run_in_shell("trueup inject --rates unbilled_random=0.05 --into BRANCH --project demo", folder)


EVENT = "$(trueup sql --format csv 'select usage_event_id from findings where usage_event_id is not null limit 1' | tail -n 1)"
SCENES = {
    "README.md": Scene(prints=("105659.019577", "216683.880078")),
    "docs/onboarding.md": Scene(delivered_files, is_quick=True),
    "docs/tutorial/first-reconciliation.md": Scene(prints=("105659.019577", "216683.880078")),
    "docs/tutorial/first-case.md": Scene(needs_operator=True, replace={"make run": "test -d demo"}),
    "docs/tutorial/first-model.md": Scene(),
    "docs/how-to/run-daily.md": Scene(daily_project),
    "docs/fraud.md": Scene(tables_of_shops, replace={"shops/MODEL": "shops/*"}),
    "docs/how-to/questions.md": Scene(needs_operator=True),
    "docs/controls.md": Scene(branch_with_leaks, needs_operator=True),
    "docs/feeds.md": Scene(needs_operator=True, inside="demo", replace={"--source switch": "--source msc", "/archive": "."}),
    "docs/operations.md": Scene(needs_operator=True, inside="demo"),
    "docs/proof.md": Scene(
        needs_operator=True, inside="demo", replace={"/archive/2024": ".", "/mnt/worm": ".", "verify ID": f"verify {EVENT}"}
    ),
    "docs/quality.md": Scene(needs_operator=True, inside="demo", replace={"--project DIR": ""}),
    "examples/asterisk/README.md": Scene(exchange_records, replace={"/path/to/asterisk": "$PWD/exchange"}),
    "examples/wholesale/README.md": Scene(prints=("105659.019577", "216683.880078")),
}

UNTIL_INTERRUPTED = "runs until it is interrupted: tests/collect/test_watch.py and tests/jobs/test_last_state.py do it"
NOT_RUN = {
    "trueup ingest --watch": UNTIL_INTERRUPTED,
    "trueup stream --fresh": UNTIL_INTERRUPTED,
    "flink run": "needs a cluster: tests/jobs/test_cluster.py starts one",
    "trueup clock --supersede 41": "needs a wrong tick: tests/cli/test_clock.py declares one",
    "trueup train   --project P": "needs weeks of decisions: docs/tutorial/first-model.md and first-case.md run the same commands with a truth",
    "trueup whatif --set": "needs a tariff book of the reader: tests/cli/test_investigation.py has one",
    "trueup recover --kind": "needs a template of the reader: tests/warehouse/investigation/test_recoveries.py has one",
    "trueup bill-run check": "needs a draft of the reader: tests/warehouse/invoices/test_bill_run.py has one",
    "trueup workbench --port": "runs until it is interrupted: tests/workbench/test_pages.py opens it in a browser",
    "trueup picture leakage": "needs ids of a finding and a model: tests/pictures/test_svg.py has them",
    "make one T=": "starts the tests: .ci/run does it",
    "make run": "is a whole set-up: .ci/run does it",
}
"""Text of a block that is not run, to the reason and to what runs it instead."""


def is_run(snippet: Snippet) -> bool:
    replaced = SCENES[snippet.page].replace if snippet.page in SCENES else {}
    return not any(text in snippet.text for text in NOT_RUN if text not in replaced)


def pages(*, is_quick: bool) -> list[str]:
    return [page for page, scene in SCENES.items() if scene.is_quick == is_quick]


def run_page(page: str, folder: Path) -> None:
    """Run all blocks of a page one after the other, as a reader does, in one shell."""
    scene = SCENES[page]
    scene.prepare(folder)
    script = "\n".join(snippet.text for snippet in SHELL if snippet.page == page and is_run(snippet))
    for placeholder, value in scene.replace.items():
        assert placeholder in script, f"{page} does not hold {placeholder!r} any more"
        script = script.replace(placeholder, value)
    output = run_in_shell(script, folder / scene.inside)
    assert [figure for figure in scene.prints if figure not in output] == []


@pytest.mark.parametrize("page", pages(is_quick=True))
def test_commands_of_a_page_run_in_a_fresh_clone(page: str, repository: Path) -> None:
    run_page(page, repository)


@pytest.mark.slow
@pytest.mark.parametrize("page", pages(is_quick=False))
def test_commands_of_a_page_run(page: str, repository: Path, request: pytest.FixtureRequest) -> None:
    if SCENES[page].needs_operator:
        request.getfixturevalue("copy_of_operator")
    run_page(page, repository)


def test_every_shell_block_has_a_scene_or_a_reason() -> None:
    assert [snippet.where for snippet in SHELL if is_run(snippet) and snippet.page not in SCENES] == []
    assert [page for page in SCENES if not any(is_run(snippet) for snippet in SHELL if snippet.page == page)] == []
    assert [text for text in NOT_RUN if not any(text in snippet.text for snippet in SHELL)] == []
