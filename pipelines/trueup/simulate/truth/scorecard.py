"""Score the findings against the truth: recall, precision and money per kind of leak.

`score` is a pure function of three frames: the truth (columns `TRUTH`), the findings and their members (see `Evidence`).

*Compared records.* Each kind of finding is compared by the records of some streams. `unbilled`, `unrated` and `conflicting_usage`
are compared by their usage records; `charge_without_usage`, `duplicate_charge` and `conflicting_charge` by their charges; all
others by both. A leak's compared records are its record keys in the streams of its `kernel_kind`.

*Found.* A leak is scored when reconciliation decides it: category `leak`, decided by `kernel`, decidable, with a `kernel_kind`.
The candidates of a leak are the findings of that kind and of the expected status that share a compared record with the leak. The
leak is found when its candidates together hold exactly its compared records. The impacts of the candidates must add up to the
leak's `impact_micros`, to the micro and in its currency. Several findings answer one leak where each is about one record, as with
two charges of one session that are both sent again. The expected status is `resolved` for late charges (raised as `unbilled`, then
resolved by the charge) and `open` for all others. `wrong_money` means that the records agree and the money differs. Every other
scored leak is missed. decidable = found + missed + wrong money.

*Explained.* An open or resolved finding is explained by a leak that causes findings of its kind and status and has all of its
compared records. Any part of the product may decide such a leak. A finding that no leak explains is undecidable when it shares a
record with an undecidable row of the truth. Where that row names a `kernel_kind`, only findings of that kind count. All other
findings are unexplained. Precision of a kind of finding = explained / (explained + unexplained). Retracted findings, which later
records disproved, are counted and belong to neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from trueup.errors import TrueupError
from trueup.simulate.catalogue import HOPS
from trueup.simulate.truth.evidence import Evidence
from trueup.simulate.truth.invoice_scores import INVOICE_FINDING, INVOICE_SCORE, score_invoices
from trueup.simulate.truth.ledger import TRUTH

COMPARED = {
    "unbilled": ("usage",), "unrated": ("usage",), "conflicting_usage": ("usage",), "charge_without_usage": ("charge",),
    "duplicate_charge": ("charge",), "conflicting_charge": ("charge",), "unknown_subscriber": ("usage",),
    "inactive_subscriber": ("usage",), "active_not_billed": ("subscription",), "billed_not_active": ("subscription",),
    "plan_mismatch": ("subscription",),
}  # fmt: skip
"""The streams by which each kind of finding is compared; kinds that are missing here use usage and charges."""
_STREAMS = ("usage", "charge")
_SUBSCRIPTION = "subscription"
"""Findings about a subscription have no records; the subscriber's number is used as their record key."""

CAUSED = {
    "lost_file": ("charge_without_usage", "overbilled"), "lost_stretch": ("charge_without_usage", "overbilled"),
    "currency_mistake": ("misrated", "unbilled", "charge_without_usage"), "reversed_duplicate": ("duplicate_charge",),
    "ceased_subscriber": ("inactive_subscriber", "active_not_billed"),
    "suspended_subscriber": ("inactive_subscriber", "active_not_billed"),
    "unknown_subscriber": ("unknown_subscriber", "active_not_billed"), "cover_other_currency": ("unbilled", "charge_without_usage"),
}  # fmt: skip
"""The findings that some leaks cause in addition to their `kernel_kind`, or instead of it.

Examples are sessions that lost only some of their records, and charges in another currency than their usage. Further examples are a
second charge until its reversal, and the state of a subscription.
"""
_TRANSIENT = ("reversed_duplicate",)
"""Kinds whose findings resolve without a correction; the truth expects no open one."""

LEAKS: dict[str, pl.DataType] = {
    "kind": pl.String(), "finding_kind": pl.String(), "currency": pl.String(), "injected": pl.Int64(), "decidable": pl.Int64(),
    "found": pl.Int64(), "missed": pl.Int64(), "wrong_money": pl.Int64(), "recall": pl.Float64(), "precision": pl.Float64(),
    "injected_micros": pl.Int128(), "decidable_micros": pl.Int128(), "found_micros": pl.Int128(), "median_delay_s": pl.Int64(),
    "to_name": pl.Int64(), "named": pl.Int64(),
}  # fmt: skip
"""One row per currency and kind of leak that reconciliation decides.

Among the found leaks, `to_name` counts those with a reason in the truth, and `named` those whose finding has that reason.
`found_micros` is the money of the findings of found leaks and of leaks with wrong money. `median_delay_s` is in log time: the
greatest event time in the log when the finding was raised, less `knowable_at`."""

FINDINGS: dict[str, pl.DataType] = {
    "kind": pl.String(), "open": pl.Int64(), "resolved": pl.Int64(), "retracted": pl.Int64(), "explained": pl.Int64(),
    "undecidable": pl.Int64(), "unexplained": pl.Int64(), "precision": pl.Float64(),
}  # fmt: skip
"""One row per kind of finding: open + resolved = explained + undecidable + unexplained."""

OTHERS: dict[str, pl.DataType] = {
    "kind": pl.String(), "decided_by": pl.String(), "currency": pl.String(), "injected": pl.Int64(), "injected_micros": pl.Int128(),
    "findings": pl.Int64(), "findings_micros": pl.Int128(),
}  # fmt: skip
"""One row per currency and kind that is not scored: its rows and money, and the findings that it explains.

For undecidable kinds these are the findings that share its records."""


HOP_LOSS: dict[str, pl.DataType] = {
    "from_stage": pl.String(), "to_stage": pl.String(), "change": pl.String(), "loss_micros": pl.Int128(),
    "finding_ids": pl.List(pl.String()),
}  # fmt: skip
"""One row per unit and hop of a chain with a loss, as the view `chain_losses` has it."""

HOP_SCORE: dict[str, pl.DataType] = {
    "kind": pl.String(), "from_stage": pl.String(), "to_stage": pl.String(), "change": pl.String(), "injected": pl.Int64(),
    "located": pl.Int64(), "elsewhere": pl.Int64(), "injected_micros": pl.Int128(), "located_micros": pl.Int128(),
}  # fmt: skip
"""One row per kind of loss between systems. *Located*: its findings have one loss, at that hop, of that change and money."""


@dataclass(frozen=True)
class Scorecard:
    """The scores: `leaks` (`LEAKS`), `findings` (`FINDINGS`), `not_covered` and `undecidable` (`OTHERS`).

    `misses`: leak_id, kind, finding_kind, service, currency, impact_micros, found_micros, usage_record_keys, charge_record_keys,
    reason; leaks with wrong money included. `unexplained`: finding_id, kind, status, service, day, currency, impact_micros,
    usage_record_keys, charge_record_keys. `hops` (`HOP_SCORE`) are losses between systems; `stray_losses` (`HOP_LOSS`) are losses
    of a chain that no such leak explains. `invoices` (`INVOICE_SCORE`) are mistakes about invoices; `stray_invoices`
    (`INVOICE_FINDING`) are findings about invoices that no such mistake explains.
    """

    leaks: pl.DataFrame
    findings: pl.DataFrame
    not_covered: pl.DataFrame
    undecidable: pl.DataFrame
    misses: pl.DataFrame
    unexplained: pl.DataFrame
    hops: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=HOP_SCORE))
    stray_losses: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=HOP_LOSS))
    invoices: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=INVOICE_SCORE))
    stray_invoices: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=INVOICE_FINDING))

    @property
    def passed(self) -> bool:
        """Return whether every decidable leak was found with its money and at its hop, and every finding and loss is explained."""
        is_located = not self.hops["elsewhere"].sum() and self.stray_losses.is_empty()
        is_billed = bool((self.invoices["found"] == self.invoices["decidable"]).all()) and self.stray_invoices.is_empty()
        return self.misses.is_empty() and self.unexplained.is_empty() and is_located and is_billed


def check_truth(truth: pl.DataFrame, *, where: str) -> pl.DataFrame:
    """Return the truth with the columns of `TRUTH`; raise `TrueupError` where one is missing or of another type."""
    missing = [name for name in TRUTH if name not in truth.columns]
    if missing:
        raise TrueupError(f"the truth lacks the columns {', '.join(missing)}", where=where, todo="name a truth.parquet of trueup")
    try:
        rows = truth.select(pl.col(name).cast(dtype) for name, dtype in TRUTH.items())
    except pl.exceptions.PolarsError as error:
        raise TrueupError(f"columns of the truth have other types: {str(error).splitlines()[0]}", where=where) from None
    if rows["leak_id"].null_count() or rows["leak_id"].is_duplicated().any():
        raise TrueupError("the truth has a missing or repeated leak_id", where=where)
    return rows


def score(
    truth: pl.DataFrame, evidence: Evidence, losses: pl.DataFrame | None = None, invoice_findings: pl.DataFrame | None = None
) -> Scorecard:
    """Compare a checked truth with the findings, and with losses of chains (`HOP_LOSS`) and findings about invoices, if any.

    The docstring of this module defines the terms.
    """
    findings = evidence.findings.with_row_index("finding").with_columns(pl.col("finding").cast(pl.Int64))
    members = evidence.members.join(findings.select("finding", "finding_id"), on="finding_id").drop("finding_id").unique()
    about = [kind for kind, streams in COMPARED.items() if streams == (_SUBSCRIPTION,)]
    states = findings.filter(pl.col("kind").is_in(about)).select("finding", stream=pl.lit(_SUBSCRIPTION), record_key="subscriber")
    members = pl.concat([members, states.select(members.columns)])
    rows = truth.with_row_index("leak").with_columns(pl.col("leak").cast(pl.Int64))
    compared = _list_compared_records(findings, members)
    verdicts = _judge_findings(rows, findings, members, compared)
    scored = rows.filter(_is_scored())
    answers = _match_leaks(scored, findings, compared)
    of_kind = _score_finding_kinds(findings, verdicts)
    return Scorecard(
        _score_leaks(rows, answers, of_kind),
        of_kind,
        _sum_unscored(rows.filter(pl.col("decidable") & ~pl.col("decided_by").is_in(["kernel", "invoices"])), verdicts, "leak"),
        _sum_unscored(rows.filter(~pl.col("decidable")), verdicts, "touched"),
        _list_misses(answers, findings, members, evidence.log_time),
        _list_unexplained(findings, verdicts, members),
        *_locate_losses(rows, findings, verdicts, pl.DataFrame(schema=HOP_LOSS) if losses is None else losses),
        *score_invoices(truth, pl.DataFrame(schema=INVOICE_FINDING) if invoice_findings is None else invoice_findings),
    )


def _locate_losses(
    rows: pl.DataFrame, findings: pl.DataFrame, verdicts: pl.DataFrame, losses: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the scores of hops, and the losses that no leak between systems explains."""
    hops = pl.DataFrame(
        [(kind, *hop) for kind, hop in HOPS.items()], schema=["kind", "from_stage", "to_stage", "change"], orient="row"
    )
    leaks = rows.join(hops, on="kind").filter("decidable").select("leak", *hops.columns, "impact_micros")
    numbered = losses.filter(pl.col("loss_micros") != 0).with_row_index("loss")
    explained = verdicts.select("finding", "leak").drop_nulls().join(findings.select("finding", "finding_id"), on="finding")
    tied = numbered.explode("finding_ids").join(explained, left_on="finding_ids", right_on="finding_id").join(
        leaks.select("leak"), on="leak", how="semi"
    ).unique(["loss", "leak"])  # fmt: skip
    met = tied.join(leaks, on="leak", suffix="_truth")
    same = pl.all_horizontal(pl.col(n) == pl.col(f"{n}_truth") for n in ("from_stage", "to_stage", "change"))
    same &= pl.col("loss_micros") == pl.col("impact_micros")
    right = met.group_by("leak").agg(is_located=same.all() & (pl.len() == 1))
    judged = leaks.join(right, on="leak", how="left").with_columns(pl.col("is_located").fill_null(False))
    money, is_located = pl.col("impact_micros").cast(pl.Int128), pl.col("is_located")
    scores = judged.group_by(hops.columns).agg(
        injected=pl.len(), located=is_located.sum(), elsewhere=(~is_located).sum(), injected_micros=money.sum(),
        located_micros=money.filter(is_located).sum(), first=pl.col("leak").min(),
    )  # fmt: skip
    stray = numbered.join(tied.select("loss"), on="loss", how="anti")
    return (
        scores.sort("first").select(pl.col(n).cast(t) for n, t in HOP_SCORE.items()),
        stray.select(pl.col(n).cast(t) for n, t in HOP_LOSS.items()),
    )


def _is_scored() -> pl.Expr:
    decided = (pl.col("category") == "leak") & (pl.col("decided_by") == "kernel")
    return decided & pl.col("decidable") & pl.col("kernel_kind").is_not_null()


def _list_truth_records(rows: pl.DataFrame, *names: str) -> pl.DataFrame:
    """Return one row per record that the truth names: `names`, stream, record_key."""
    sides = [
        rows.select(*names, record_key=f"{stream}_record_keys").explode("record_key").drop_nulls("record_key")
        .with_columns(stream=pl.lit(stream))
        for stream in _STREAMS
    ]  # fmt: skip
    states = rows.select(*names, record_key="subscriber", stream=pl.lit(_SUBSCRIPTION)).drop_nulls("record_key")
    return pl.concat([*sides, states.select(sides[0].columns)]).unique()


def _is_compared(kind: str) -> pl.Expr:
    """Return whether a row's stream is compared for the finding kind in the column `kind`."""
    rows = [(pl.col(kind) == name) & ~pl.col("stream").is_in(list(streams)) for name, streams in COMPARED.items()]
    subscription = (pl.col("stream") == _SUBSCRIPTION) & ~pl.col(kind).is_in(list(COMPARED))
    return ~pl.any_horizontal(*rows, subscription)


def _list_compared_records(findings: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """Return the compared records of open and resolved findings: finding, kind, status, stream, record_key, size."""
    counted = findings.filter(pl.col("status") != "retracted").select("finding", "kind", "status")
    compared = members.join(counted, on="finding").filter(_is_compared("kind"))
    return compared.with_columns(size=pl.len().over("finding"))


def _derive_expected_status() -> pl.Expr:
    is_resolved = (pl.col("expected_status") == "resolved") | pl.col("kind").is_in(list(_TRANSIENT))
    return pl.when(is_resolved.fill_null(value=False)).then(pl.lit("resolved")).otherwise(pl.lit("open"))


def _match_leaks(scored: pl.DataFrame, findings: pl.DataFrame, compared: pl.DataFrame) -> pl.DataFrame:
    """Return the scored leaks with `outcome` (found, wrong_money or missed), `answer_micros`, `raised_at` and `answering`."""
    leaks = scored.with_columns(status=_derive_expected_status())
    leak_records = _list_truth_records(leaks, "leak", "kernel_kind", "status").filter(_is_compared("kernel_kind"))
    sizes = leak_records.group_by("leak").agg(leak_records=pl.len())
    shared = leak_records.join(
        compared, left_on=["kernel_kind", "status", "stream", "record_key"], right_on=["kind", "status", "stream", "record_key"]
    )
    pairs = shared.group_by("leak", "finding").agg(shared=pl.len(), size=pl.col("size").first())
    facts = findings.select("finding", "impact_micros", "raised_at", answer_currency="currency", answer_reason="reason")
    rows = pairs.join(facts, on="finding")
    summed = rows.group_by("leak").agg(
        covered=pl.col("shared").sum(), reaches_beyond=(pl.col("size") > pl.col("shared")).any(),
        answer_micros=pl.col("impact_micros").sum(), raised_at=pl.col("raised_at").max(),
        answer_currency=pl.col("answer_currency").first(), one_currency=pl.col("answer_currency").n_unique() == 1,
        answering=pl.len(), answer_reason=pl.col("answer_reason").first(),
    )  # fmt: skip
    joined = leaks.join(sizes, on="leak", how="left").join(summed, on="leak", how="left", maintain_order="left")
    same_records = ((pl.col("covered") == pl.col("leak_records")) & ~pl.col("reaches_beyond")).fill_null(value=False)
    same_money = (pl.col("answer_micros") == pl.col("impact_micros")) & pl.col("one_currency") & (
        (pl.col("answer_currency") == pl.col("currency")) | ((pl.col("impact_micros") == 0) & pl.col("answer_currency").is_null())
    )  # fmt: skip
    found = pl.when(same_records & same_money.fill_null(value=False)).then(pl.lit("found"))
    return joined.with_columns(outcome=found.when(same_records).then(pl.lit("wrong_money")).otherwise(pl.lit("missed")))


def _judge_findings(rows: pl.DataFrame, findings: pl.DataFrame, members: pl.DataFrame, compared: pl.DataFrame) -> pl.DataFrame:
    """Return one row per open or resolved finding, with its verdict.

    `leak` is the truth row that explains the finding, `touched` an undecidable row that shares a record with it.
    """
    explained = _explain_findings(rows, compared)
    undecidable = rows.filter(~pl.col("decidable"))
    of_undecidable = _list_truth_records(undecidable, "leak", "kernel_kind").join(members, on=["stream", "record_key"])
    kinds = findings.select("finding", "kind")
    of_undecidable = of_undecidable.join(kinds, on="finding").filter(
        pl.col("kernel_kind").is_null() | (pl.col("kernel_kind") == pl.col("kind"))
    )
    touched = of_undecidable.group_by("finding").agg(touched=pl.col("leak").min())
    counted = findings.filter(pl.col("status") != "retracted").select("finding", "kind", "impact_micros")
    verdict = (
        pl.when(pl.col("leak").is_not_null()).then(pl.lit("explained"))
        .when(pl.col("touched").is_not_null()).then(pl.lit("undecidable")).otherwise(pl.lit("unexplained"))
    )  # fmt: skip
    rows = counted.join(explained, on="finding", how="left").join(touched, on="finding", how="left", maintain_order="left")
    return rows.with_columns(verdict=verdict)


def _explain_findings(rows: pl.DataFrame, compared: pl.DataFrame) -> pl.DataFrame:
    """Return, for each explained finding, the first leak of the truth that explains it: finding, leak."""
    causing = rows.filter(pl.col("decidable")).with_columns(
        causes=pl.col("kind").replace_strict(
            list(CAUSED), [list(kinds) for kinds in CAUSED.values()], default=None, return_dtype=pl.List(pl.String)
        ),
        status=_derive_expected_status(),
    ).with_columns(causes=pl.coalesce("causes", pl.concat_list("kernel_kind"))).explode("causes").drop_nulls("causes")  # fmt: skip
    named = _list_truth_records(causing, "leak", "causes", "status")
    shared = named.join(
        compared, left_on=["causes", "status", "stream", "record_key"], right_on=["kind", "status", "stream", "record_key"]
    )
    pairs = shared.group_by("finding", "leak").agg(shared=pl.len(), size=pl.col("size").first())
    return pairs.filter(pl.col("shared") == pl.col("size")).group_by("finding").agg(pl.col("leak").min())


def _score_leaks(rows: pl.DataFrame, answers: pl.DataFrame, of_kind: pl.DataFrame) -> pl.DataFrame:
    by = ["kind", "currency"]
    outcome, int128 = pl.col("outcome"), pl.Int128
    selected = rows.filter((pl.col("category") == "leak") & (pl.col("decided_by") == "kernel"))
    all_ = selected.group_by(by).agg(
        injected=pl.len(), finding_kind=pl.col("expected_kind").drop_nulls().first(),
        injected_micros=pl.col("impact_micros").cast(int128).sum(), first=pl.col("leak").min(),
    )  # fmt: skip
    delay = pl.col("raised_at") - pl.col("knowable_at")
    rows = answers.group_by(by).agg(
        decidable=pl.len(), found=(outcome == "found").sum(), missed=(outcome == "missed").sum(),
        wrong_money=(outcome == "wrong_money").sum(), decidable_micros=pl.col("impact_micros").cast(int128).sum(),
        found_micros=pl.col("answer_micros").filter(outcome != "missed").sum(),
        to_name=((outcome == "found") & pl.col("reason").is_not_null()).sum(),
        named=((outcome == "found") & (pl.col("reason") == pl.col("answer_reason"))).sum(),
        median_delay_s=delay.filter(outcome == "found").dt.total_microseconds().median().floordiv(1_000_000),
    )  # fmt: skip
    joined = all_.join(rows, on=by, how="left", nulls_equal=True).with_columns(
        pl.col("decidable", "found", "missed", "wrong_money", "decidable_micros", "found_micros", "to_name", "named").fill_null(0)
    )
    precise = of_kind.select(finding_kind="kind", precision="precision")
    joined = joined.join(precise, on="finding_kind", how="left").with_columns(recall=_share(pl.col("found"), pl.col("decidable")))
    return joined.sort("first").select(pl.col(n).cast(t) for n, t in LEAKS.items())


def _share(part: pl.Expr, total: pl.Expr) -> pl.Expr:
    """Return a share, or NULL where the total is 0."""
    return pl.when(total > 0).then(part / total)


def _score_finding_kinds(findings: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    status, verdict = pl.col("status"), pl.col("verdict")
    all_findings = findings.select("finding", "kind", "status").join(
        verdicts.select("finding", "verdict"), on="finding", how="left"
    )
    counts = all_findings.group_by("kind").agg(
        **{name: (status == name).sum() for name in ("open", "resolved", "retracted")},
        **{name: (verdict == name).sum() for name in ("explained", "undecidable", "unexplained")},
    )
    rows = counts.with_columns(precision=_share(pl.col("explained"), pl.col("explained") + pl.col("unexplained")))
    return rows.sort("kind").select(pl.col(n).cast(t) for n, t in FINDINGS.items())


def _sum_unscored(rows: pl.DataFrame, verdicts: pl.DataFrame, by: str) -> pl.DataFrame:
    """Sum up truth rows that are not scored, with the findings that they explain (`by` leak) or touch (`by` touched)."""
    int128 = pl.Int128
    selected = verdicts.filter(pl.col("verdict") == ("explained" if by == "leak" else "undecidable"))
    caused = selected.group_by(leak=pl.col(by)).agg(findings=pl.len(), findings_micros=pl.col("impact_micros").sum())
    joined = rows.join(caused, on="leak", how="left").with_columns(pl.col("findings", "findings_micros").fill_null(0))
    rows = joined.group_by("kind", "decided_by", "currency").agg(
        injected=pl.len(), injected_micros=pl.col("impact_micros").cast(int128).sum(), findings=pl.col("findings").sum(),
        findings_micros=pl.col("findings_micros").sum(), first=pl.col("leak").min(),
    )  # fmt: skip
    return rows.sort("first").select(pl.col(n).cast(t) for n, t in OTHERS.items())


def _list_misses(answers: pl.DataFrame, findings: pl.DataFrame, members: pl.DataFrame, log_time: datetime | None) -> pl.DataFrame:
    """Return the leaks that were not found, each with the reason that the findings show."""
    missed = answers.filter(pl.col("outcome") != "found")
    touching = _list_truth_records(missed, "leak").join(members, on=["stream", "record_key"]).join(
        findings.select("finding", "kind", "status"), on="finding"
    )  # fmt: skip
    rows = touching.select("leak", text=pl.format("{} ({})", "kind", "status")).unique().sort("leak", "text")
    other_findings = rows.group_by("leak").agg(other_findings=pl.col("text").str.join(", "))
    reason = (
        pl.when(pl.col("outcome") == "wrong_money").then(pl.lit("its finding has a different amount"))
        .when(pl.col("knowable_at") > pl.lit(log_time, pl.Datetime("us", "UTC")))
        .then(pl.lit("the log ends before the time at which the leak can be known"))
        .when(pl.col("answering") > 0).then(pl.lit("its findings hold more or fewer records"))
        .when(pl.col("other_findings").is_not_null()).then(pl.format("only other findings share its records: {}", "other_findings"))
        .otherwise(pl.lit("no finding names its records"))
    )  # fmt: skip
    return missed.join(other_findings, on="leak", how="left", maintain_order="left").select(
        "leak_id", "kind", "service", "currency", "impact_micros", "usage_record_keys", "charge_record_keys",
        finding_kind="kernel_kind", found_micros="answer_micros", reason=reason,
    )  # fmt: skip


def _list_unexplained(findings: pl.DataFrame, verdicts: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    unexplained = findings.join(verdicts.filter(pl.col("verdict") == "unexplained").select("finding"), on="finding", how="semi")
    nothing = pl.lit([], dtype=pl.List(pl.String))
    for stream in _STREAMS:
        selected = members.filter(pl.col("stream") == stream).join(unexplained.select("finding"), on="finding", how="semi")
        keys = selected.group_by("finding").agg(pl.col("record_key").sort().alias(f"{stream}_record_keys"))
        unexplained = unexplained.join(keys, on="finding", how="left", maintain_order="left")
    return unexplained.sort(pl.col("impact_micros").abs(), "finding_id", descending=[True, False]).select(
        "finding_id", "kind", "status", "service", "day", "currency", "impact_micros",
        pl.col("usage_record_keys").fill_null(nothing), pl.col("charge_record_keys").fill_null(nothing),
    )  # fmt: skip


def plain_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return rows for JSON: each exact `NAME_micros`, and the same value as money in `NAME_money`."""
    micros = [name for name in frame.columns if name.endswith("_micros")]
    return [
        {**row, **{n.removesuffix("micros") + "money": money_of(row[n]) for n in micros}} for row in frame.iter_rows(named=True)
    ]


def money_of(micros: int | None) -> Decimal | None:
    """Return millionths as an exact decimal number."""
    return None if micros is None else Decimal(micros).scaleb(-6)
