"""The commands `inject` and `score-controls`: measure the controls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueup.cli import output
from trueup.cli.exit_codes import EXCEEDED
from trueup.cli.options import HERE, Json, ProjectDir, load
from trueup.errors import TrueupError

if TYPE_CHECKING:
    import polars as pl

    from trueup.config import Project
    from trueup.simulate.truth.evidence import Evidence
    from trueup.simulate.truth.scorecard import Scorecard

REPORT = "score-controls.json"
TRUTH_FILE = "truth.parquet"
_SHOWN = 10
_SHOWN_KEYS = 3


def register(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command()(inject)
    app.command("score-controls")(score_controls)


def inject(
    rates: Annotated[str, typer.Option(metavar="FILE|KIND=SHARE,…", help="The share of clean pairs that get each kind of leak.")],
    into: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write the branch to: new, or empty.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same leaks.")] = 1,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Copy the log into a branch with injected leaks and the list of them, the truth; the original is only read."""
    from trueup.cli.progress import steps
    from trueup.simulate.injection.inject import inject as injected
    from trueup.simulate.injection.rates import rates_of

    leak_rates = rates_of(rates)
    with steps("commit") as on_commit:
        done = injected(load(project), into, rates=leak_rates, seed=seed, on_commit=on_commit)
    if json:
        output.json_value(done)
        return
    from trueup.simulate.truth.scorecard import money_of

    columns = ("kind", "rate", "clean pairs that qualify", "injected", "money", "")
    output.table(columns, ([k.kind, k.rate, k.qualified, k.injected, money_of(k.impact_micros), k.note] for k in done.kinds))
    output.line(
        f"wrote {output.counted(done.positions, 'commit')} to {into}; of {output.counted(done.clean_pairs, 'clean pair')} "
        f"{sum(k.injected for k in done.kinds)} leak; "
        f"{output.counted(done.found_before, 'finding')} of the original log count separately"
    )
    output.line(f"next: trueup score-controls --project {into}")


def score_controls(
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The truth: the list of leaks; by default truth.parquet of the project.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Exit status 1 when a decidable leak was missed, its money is wrong or a finding is unexplained."
        ),
    ] = False,
    brief: Annotated[bool, typer.Option("--brief", help="Print the verdict alone; the tables are in the report.")] = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Bring the findings up to date and compare them with the truth: recall, precision and money per kind of leak."""
    from trueup.cli.commands.reconcile import reconcile_project
    from trueup.log.lake import ALL_DAYS, Lake
    from trueup.simulate.truth.evidence import evidence_of
    from trueup.simulate.truth.scorecard import check_truth, score

    opened = load(project)
    path = truth or opened.directory / TRUTH_FILE
    ledger = check_truth(_read_truth(path), where=str(path))
    with Lake.open(opened, read_only=True) as lake:
        behind = lake.consumer_position("reconcile") < lake.last_position()
    if behind:
        reconcile_project(opened, ALL_DAYS)
    with Lake.open(opened, read_only=True) as lake:
        evidence = evidence_of(lake)
    scored = score(ledger, evidence, _read_losses(opened), _read_invoice_findings(opened))
    value = _as_value(scored, evidence, path)
    _save(value, opened.directory / REPORT)
    if json:
        output.json_value(value)
    elif brief:
        _show_verdict(scored, opened.directory / REPORT)
    else:
        _show(scored)
        _show_verdict(scored, opened.directory / REPORT)
    if check and not scored.passed:
        raise typer.Exit(EXCEEDED)


def _read_losses(project: Project) -> pl.DataFrame | None:
    """Return the losses of the project's chains (`HOP_LOSS`); None where it has no chain."""
    import polars as pl

    from trueup.simulate.truth.scorecard import HOP_LOSS
    from trueup.warehouse.query import open_warehouse

    if not project.config.chain:
        return None
    with open_warehouse(project) as warehouse:
        rows = warehouse.rows("queries/findings/hop_losses")
    plain = [row | {"loss_micros": int(row["loss_micros"])} for row in rows]
    return pl.DataFrame(plain, schema=HOP_LOSS, orient="row")


def _read_invoice_findings(project: Project) -> pl.DataFrame | None:
    """Return the findings about invoices (`INVOICE_FINDING`); None where the project has no feed of invoices."""
    import polars as pl

    from trueup.simulate.truth.invoice_scores import INVOICE_FINDING
    from trueup.warehouse.query import open_warehouse

    if all(source.stream != "invoice" for source in project.config.source):
        return None
    with open_warehouse(project) as warehouse:
        rows = warehouse.rows("queries/findings/invoice_differences")
    plain = [row | {"impact_micros": None if row["impact_micros"] is None else int(row["impact_micros"])} for row in rows]
    return pl.DataFrame(plain, schema=INVOICE_FINDING, orient="row")


def _read_truth(path: Path) -> pl.DataFrame:
    import polars as pl

    from trueup.regular import open_regular

    try:
        # Opened here, because Polars would take the characters [, * and ? of a path for wildcards.
        with open_regular(path) as file:
            return pl.read_parquet(file)
    except FileNotFoundError:
        raise TrueupError(
            "there is no truth to compare with",
            where=str(path),
            todo="`trueup simulate` and `trueup inject` write one; name it with --truth",
        ) from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TrueupError(f"the truth cannot be read: {str(error).splitlines()[0]}", where=str(path)) from None


def _as_value(scored: Scorecard, evidence: Evidence, path: Path) -> dict[str, Any]:
    from trueup.simulate.truth.scorecard import plain_rows

    names = ("leaks", "findings", "not_covered", "undecidable", "misses", "unexplained", "hops", "stray_losses",
             "invoices", "stray_invoices")  # fmt: skip
    head = {"position": evidence.position, "last_position": evidence.last_position, "log_time": evidence.log_time}
    return {"passed": scored.passed, "truth": str(path), **head, **{n: plain_rows(getattr(scored, n)) for n in names}}


def _save(value: dict[str, Any], path: Path) -> None:
    from trueup.warehouse.text import as_json

    # A concurrent reader gets the old report or the new one, never a part of either.
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_text(as_json(value) + "\n", "utf-8")
    unfinished.replace(path)


def _show(scored: Scorecard) -> None:
    from trueup.simulate.truth.scorecard import plain_rows

    leaks = plain_rows(scored.leaks)
    if leaks:
        output.table(_LEAK_COLUMNS, (_build_leak_row(row) for row in leaks), title="leaks that reconciliation decides")
    if scored.findings.height:
        columns = ("kind", "open", "resolved", "retracted", "explained", "undecidable", "unexplained")
        shown = ([*(row[c] for c in columns), _format_share(row["precision"])] for row in scored.findings.iter_rows(named=True))
        output.table((*columns, "precision"), shown, title="findings")
    _show_others(scored.not_covered, "not scored here: decided by quality or fraud scores", "explained")
    _show_others(scored.undecidable, "not decidable from the data: counted separately", "affected")
    _show_hops(scored)
    _show_invoices(scored)
    _show_rows(plain_rows(scored.misses), "missed", ("leak_id", "finding_kind", "impact_money", "found_money", "reason"))
    _show_rows(
        plain_rows(scored.unexplained), "unexplained findings", ("finding_id", "kind", "status", "service", "day", "impact_money")
    )


def _show_hops(scored: Scorecard) -> None:
    """Print at which hop of the chain each kind of loss was located."""
    from trueup.simulate.truth.scorecard import plain_rows

    columns = ("kind", "from_stage", "to_stage", "change", "injected", "located", "elsewhere", "injected_money", "located_money")
    if scored.hops.height:
        rows = ([row[c] for c in columns] for row in plain_rows(scored.hops))
        output.table((*(c.replace("_", " ") for c in columns),), rows, title="losses between systems")
    if scored.stray_losses.height:
        output.line(f"{output.counted(scored.stray_losses.height, 'loss')} of a chain has no leak in the truth")


def _show_invoices(scored: Scorecard) -> None:
    """Print the scores of each kind of mistake about invoices."""
    from trueup.simulate.truth.scorecard import plain_rows

    counts = ("kind", "finding_kind", "injected", "decidable", "found", "missed", "wrong_money")
    heads = ("kind", "finding", *counts[2:], "recall", "precision", "money decidable", "money found", "currency")
    if scored.invoices.height:
        rows = (
            [*(row[c] for c in counts), _format_share(row["recall"]), _format_share(row["precision"]), row["decidable_money"],
             row["found_money"], row["currency"]]
            for row in plain_rows(scored.invoices)
        )  # fmt: skip
        output.table(tuple(h.replace("_", " ") for h in heads), rows, title="invoices")
    if scored.stray_invoices.height:
        columns = ("kind", "number", "account", "period_from", "impact_money", "currency", "reason")
        shown = ([row[c] for c in columns] for row in plain_rows(scored.stray_invoices[:_SHOWN]))
        output.table(tuple(c.replace("_", " ") for c in columns), shown, title="unexplained findings about invoices")


def _show_verdict(scored: Scorecard, report: Path) -> None:
    """Print the recall and precision of the controls against the truth."""
    decidable, found = (int(scored.leaks[name].sum()) + int(scored.invoices[name].sum()) for name in ("decidable", "found"))
    missed = scored.misses.height + int((scored.invoices["decidable"] - scored.invoices["found"]).sum())
    unexplained = scored.unexplained.height + scored.stray_invoices.height
    verdict = "every decidable leak found with its money, every finding explained" if scored.passed else (
        f"{output.counted(missed, 'leak')} missed or with wrong money, {output.counted(unexplained, 'finding')} unexplained"
    )  # fmt: skip
    output.line(f"the truth has {decidable:,} decidable leaks, {found:,} are found: {verdict}")
    output.line(f"the full report is in {output.short(report)}")


_LEAK_COLUMNS = (
    "kind", "finding", "injected", "decidable", "found", "missed", "wrong money", "recall", "precision", "money injected",
    "money decidable", "money found", "currency", "mistake named", "median delay",
)  # fmt: skip


def _build_leak_row(row: dict[str, Any]) -> list[Any]:
    counts = [row[name] for name in ("kind", "finding_kind", "injected", "decidable", "found", "missed", "wrong_money")]
    return [
        *counts, _format_share(row["recall"]), _format_share(row["precision"]), row["injected_money"], row["decidable_money"],
        row["found_money"], row["currency"], f"{row['named']} of {row['to_name']}" if row["to_name"] else "",
        _format_delay(row["median_delay_s"]),
    ]  # fmt: skip


def _format_share(value: float | None) -> str:
    """Return a share to three decimals; only an exact 1 is shown as 1.000."""
    if value is None:
        return "-"
    return f"{value:.3f}" if value == 1 else f"{min(value, 0.999):.3f}"


def _format_delay(seconds: int | None) -> str:
    if seconds is None:
        return "-"
    sign, minutes = ("-", -seconds // 60) if seconds < 0 else ("", seconds // 60)
    return f"{sign}{minutes // 60}h{minutes % 60:02d}m"


def _show_others(frame: pl.DataFrame, title: str, verb: str) -> None:
    from trueup.simulate.truth.scorecard import plain_rows

    if frame.is_empty():
        return
    columns = ("kind", "decided_by", "injected", "injected_money", "findings", "findings_money", "currency")
    heads = ("kind", "decided by", "injected", "money", f"findings {verb}", "their money", "currency")
    output.table(heads, ([row[c] for c in columns] for row in plain_rows(frame)), title=title)


def _show_rows(rows: list[dict[str, Any]], title: str, columns: tuple[str, ...]) -> None:
    if not rows:
        return
    names = (*columns, "usage_record_keys", "charge_record_keys")
    shown = [[*(row[c] for c in columns), *(_format_keys(row[c]) for c in names[-2:])] for row in rows[:_SHOWN]]
    output.table((*(c.replace("_", " ") for c in columns), "usage records", "charges"), shown, title=title)
    if len(rows) > _SHOWN:
        output.line(f"… and {len(rows) - _SHOWN} more")


def _format_keys(keys: list[str]) -> str:
    more = f" … {len(keys)} in all" if len(keys) > _SHOWN_KEYS else ""
    return ", ".join(keys[:_SHOWN_KEYS]) + more
