"""The truth against the findings: recall, precision and money per kind of leak.

A pure function of three frames: the truth (columns `TRUTH`), the findings and their members (as `Evidence` holds them).

*Compared records.* Each kind of finding is compared by the streams it is about: `unbilled`, `unrated` and `conflicting_usage` by
their usage records, `charge_without_usage`, `duplicate_charge` and `conflicting_charge` by their charges, all others by both.
A leak's compared records are the record keys the truth names for it in the streams of its `kernel_kind`.

*Found.* A leak is scored when the kernel decides it: category `leak`, decided by `kernel`, decidable, with a `kernel_kind`. It is
found when the findings of that kind and status which share a compared record with it hold, together, exactly its compared
records and nothing else, and their impacts add up to its `impact_micros`, to the micro and in its currency. (Several findings
answer where each is about one record, as with two charges of one session both sent again.) The status is `resolved` for leaks the
truth expects to be resolved (late charges: raised as `unbilled`, then resolved by the charge), else the finding must stand.
The records agree and the money does not: `wrong_money`. Anything else is missed. decidable = found + missed + wrong money.

*Explained.* A finding that stands or was resolved is explained by a leak, decided by whomever, of which it is a consequence (its
kind and status are among those the leak causes) and which has all of its compared records. One that no leak explains and that
touches a record of the truth's undecidable rows counts apart (where such a row names a `kernel_kind`, only findings of that
kind do). All others are unexplained. Precision of a kind of finding = explained / (explained + unexplained). Findings that were
retracted (what came in time showed them to be wrong) are counted and belong to neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from trueup.errors import TrueupError
from trueup.simulate.truth.evidence import Evidence
from trueup.simulate.truth.ledger import TRUTH

COMPARED = {
    "unbilled": ("usage",), "unrated": ("usage",), "conflicting_usage": ("usage",), "charge_without_usage": ("charge",),
    "duplicate_charge": ("charge",), "conflicting_charge": ("charge",), "unknown_subscriber": ("usage",),
    "inactive_subscriber": ("usage",), "active_not_billed": ("subscription",), "billed_not_active": ("subscription",),
    "plan_mismatch": ("subscription",),
}  # fmt: skip
"""The streams whose records a kind of finding is compared by; usage and charges for a kind that is not named."""
_BOTH = ("usage", "charge")
_SUBSCRIPTION = "subscription"
"""Findings about a subscription have no records; its number stands for one."""

CAUSED = {
    "lost_file": ("charge_without_usage", "overbilled"), "lost_stretch": ("charge_without_usage", "overbilled"),
    "currency_mistake": ("misrated", "unbilled", "charge_without_usage"), "reversed_duplicate": ("duplicate_charge",),
    "ceased_subscriber": ("inactive_subscriber", "active_not_billed"),
    "suspended_subscriber": ("inactive_subscriber", "active_not_billed"),
    "unknown_subscriber": ("unknown_subscriber", "active_not_billed"),
}  # fmt: skip
"""The findings some leaks cause beside or instead of their `kernel_kind`: sessions that lost some of their records only,
charges in another currency than their usage, a second charge until it is taken back, a subscription's own state."""
_TRANSIENT = ("reversed_duplicate",)
"""Kinds whose findings are resolved by themselves, though the truth expects none to stay."""

LEAKS: dict[str, pl.DataType] = {
    "kind": pl.String(), "finding_kind": pl.String(), "currency": pl.String(), "injected": pl.Int64(), "decidable": pl.Int64(),
    "found": pl.Int64(), "missed": pl.Int64(), "wrong_money": pl.Int64(), "recall": pl.Float64(), "precision": pl.Float64(),
    "injected_micros": pl.Int128(), "decidable_micros": pl.Int128(), "found_micros": pl.Int128(), "median_delay_s": pl.Int64(),
    "to_name": pl.Int64(), "named": pl.Int64(),
}  # fmt: skip
"""One row per kind of leak the kernel decides, and currency. Of those found, `to_name` have a reason in the truth, and `named` a
finding that tells it. `found_micros` is what the findings of those found and of those
with wrong money say; `median_delay_s` is in log time: what the log had seen when the finding was raised, less `knowable_at`."""

FINDINGS: dict[str, pl.DataType] = {
    "kind": pl.String(), "open": pl.Int64(), "resolved": pl.Int64(), "retracted": pl.Int64(), "explained": pl.Int64(),
    "undecidable": pl.Int64(), "unexplained": pl.Int64(), "precision": pl.Float64(),
}  # fmt: skip
"""One row per kind of finding: open + resolved = explained + undecidable + unexplained."""

OTHERS: dict[str, pl.DataType] = {
    "kind": pl.String(), "decided_by": pl.String(), "currency": pl.String(), "injected": pl.Int64(), "injected_micros": pl.Int128(),
    "findings": pl.Int64(), "findings_micros": pl.Int128(),
}  # fmt: skip
"""One row per kind that is not scored, and currency: what is there of it, and the findings that it explains (of undecidable kinds:
that touch its records)."""


@dataclass(frozen=True)
class Scorecard:
    """The scores: `leaks` (`LEAKS`), `findings` (`FINDINGS`), `not_covered` and `undecidable` (`OTHERS`).

    `misses`: leak_id, kind, finding_kind, service, currency, impact_micros, found_micros, usage_record_keys, charge_record_keys,
    reason; also those with wrong money. `unexplained`: finding_id, kind, status, service, day, currency, impact_micros,
    usage_record_keys, charge_record_keys.
    """

    leaks: pl.DataFrame
    findings: pl.DataFrame
    not_covered: pl.DataFrame
    undecidable: pl.DataFrame
    misses: pl.DataFrame
    unexplained: pl.DataFrame

    @property
    def passed(self) -> bool:
        """Whether every decidable leak was found with its money, and no finding is unexplained."""
        return self.misses.is_empty() and self.unexplained.is_empty()


def check_truth(truth: pl.DataFrame, *, where: str) -> pl.DataFrame:
    """The truth with its columns as `TRUTH` has them; raises `TrueupError` where one is missing or of another type."""
    missing = [name for name in TRUTH if name not in truth.columns]
    if missing:
        raise TrueupError(f"the truth lacks the columns {', '.join(missing)}", where=where, todo="name a truth.parquet of trueup")
    try:
        told = truth.select(pl.col(name).cast(dtype) for name, dtype in TRUTH.items())
    except pl.exceptions.PolarsError as error:
        raise TrueupError(f"the truth is of other types: {str(error).splitlines()[0]}", where=where) from None
    if told["leak_id"].null_count() or told["leak_id"].is_duplicated().any():
        raise TrueupError("the truth names a leak_id twice or not at all", where=where)
    return told


def score(truth: pl.DataFrame, evidence: Evidence) -> Scorecard:
    """Compares a checked truth with the findings; see the head of this module for what counts as what."""
    findings = evidence.findings.with_row_index("finding").with_columns(pl.col("finding").cast(pl.Int64))
    members = evidence.members.join(findings.select("finding", "finding_id"), on="finding_id").drop("finding_id").unique()
    about = [kind for kind, streams in COMPARED.items() if streams == (_SUBSCRIPTION,)]
    states = findings.filter(pl.col("kind").is_in(about)).select("finding", stream=pl.lit(_SUBSCRIPTION), record_key="subscriber")
    members = pl.concat([members, states.select(members.columns)])
    rows = truth.with_row_index("leak").with_columns(pl.col("leak").cast(pl.Int64))
    held = _with_compared(findings, members)
    judged = _judged_findings(rows, findings, members, held)
    scored = rows.filter(_is_scored())
    answers = _answers(scored, findings, held)
    of_kind = _of_finding_kinds(findings, judged)
    return Scorecard(
        _of_leaks(rows, answers, of_kind),
        of_kind,
        _others(rows.filter(pl.col("decidable") & (pl.col("decided_by") != "kernel")), judged, "leak"),
        _others(rows.filter(~pl.col("decidable")), judged, "touched"),
        _misses(answers, findings, members, evidence.log_time),
        _unexplained(findings, judged, members),
    )


def _is_scored() -> pl.Expr:
    decided = (pl.col("category") == "leak") & (pl.col("decided_by") == "kernel")
    return decided & pl.col("decidable") & pl.col("kernel_kind").is_not_null()


def _records(rows: pl.DataFrame, *names: str) -> pl.DataFrame:
    """The records the truth names: `names`, stream, record_key; one row for each."""
    sides = [
        rows.select(*names, record_key=f"{stream}_record_keys").explode("record_key").drop_nulls("record_key")
        .with_columns(stream=pl.lit(stream))
        for stream in _BOTH
    ]  # fmt: skip
    states = rows.select(*names, record_key="subscriber", stream=pl.lit(_SUBSCRIPTION)).drop_nulls("record_key")
    return pl.concat([*sides, states.select(sides[0].columns)]).unique()


def _is_compared(kind: str) -> pl.Expr:
    """Whether records of a row's stream count for the finding kind in the column `kind`."""
    told = [(pl.col(kind) == name) & ~pl.col("stream").is_in(list(streams)) for name, streams in COMPARED.items()]
    subscription = (pl.col("stream") == _SUBSCRIPTION) & ~pl.col(kind).is_in(list(COMPARED))
    return ~pl.any_horizontal(*told, subscription)


def _with_compared(findings: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """The compared records of findings that stand or were resolved: finding, kind, status, stream, record_key, size."""
    counted = findings.filter(pl.col("status") != "retracted").select("finding", "kind", "status")
    held = members.join(counted, on="finding").filter(_is_compared("kind"))
    return held.with_columns(size=pl.len().over("finding"))


def _expected_status() -> pl.Expr:
    gone = (pl.col("expected_status") == "resolved") | pl.col("kind").is_in(list(_TRANSIENT))
    return pl.when(gone.fill_null(value=False)).then(pl.lit("resolved")).otherwise(pl.lit("open"))


def _answers(scored: pl.DataFrame, findings: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """The scored leaks with `outcome` (found, wrong_money or missed), `answer_micros`, `raised_at` and `answering` findings."""
    leaks = scored.with_columns(status=_expected_status())
    wanted = _records(leaks, "leak", "kernel_kind", "status").filter(_is_compared("kernel_kind"))
    sizes = wanted.group_by("leak").agg(wanted=pl.len())
    shared = wanted.join(
        held, left_on=["kernel_kind", "status", "stream", "record_key"], right_on=["kind", "status", "stream", "record_key"]
    )
    pairs = shared.group_by("leak", "finding").agg(shared=pl.len(), size=pl.col("size").first())
    facts = findings.select("finding", "impact_micros", "raised_at", answer_currency="currency", answer_reason="reason")
    told = pairs.join(facts, on="finding")
    summed = told.group_by("leak").agg(
        covered=pl.col("shared").sum(), reaches_beyond=(pl.col("size") > pl.col("shared")).any(),
        answer_micros=pl.col("impact_micros").sum(), raised_at=pl.col("raised_at").max(),
        answer_currency=pl.col("answer_currency").first(), one_currency=pl.col("answer_currency").n_unique() == 1,
        answering=pl.len(), answer_reason=pl.col("answer_reason").first(),
    )  # fmt: skip
    both = leaks.join(sizes, on="leak", how="left").join(summed, on="leak", how="left", maintain_order="left")
    same_records = ((pl.col("covered") == pl.col("wanted")) & ~pl.col("reaches_beyond")).fill_null(value=False)
    same_money = (pl.col("answer_micros") == pl.col("impact_micros")) & pl.col("one_currency") & (
        (pl.col("answer_currency") == pl.col("currency")) | ((pl.col("impact_micros") == 0) & pl.col("answer_currency").is_null())
    )  # fmt: skip
    found = pl.when(same_records & same_money.fill_null(value=False)).then(pl.lit("found"))
    return both.with_columns(outcome=found.when(same_records).then(pl.lit("wrong_money")).otherwise(pl.lit("missed")))


def _judged_findings(rows: pl.DataFrame, findings: pl.DataFrame, members: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """One row per finding that stands or was resolved: finding, verdict, the truth row that explains it (`leak`) and one
    undecidable row it `touched`."""
    explained = _explanations(rows, held)
    doubtful = rows.filter(~pl.col("decidable"))
    of_doubt = _records(doubtful, "leak", "kernel_kind").join(members, on=["stream", "record_key"])
    kinds = findings.select("finding", "kind")
    of_doubt = of_doubt.join(kinds, on="finding").filter(
        pl.col("kernel_kind").is_null() | (pl.col("kernel_kind") == pl.col("kind"))
    )
    touched = of_doubt.group_by("finding").agg(touched=pl.col("leak").min())
    counted = findings.filter(pl.col("status") != "retracted").select("finding", "kind", "impact_micros")
    verdict = (
        pl.when(pl.col("leak").is_not_null()).then(pl.lit("explained"))
        .when(pl.col("touched").is_not_null()).then(pl.lit("undecidable")).otherwise(pl.lit("unexplained"))
    )  # fmt: skip
    told = counted.join(explained, on="finding", how="left").join(touched, on="finding", how="left", maintain_order="left")
    return told.with_columns(verdict=verdict)


def _explanations(rows: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """For each explained finding the first leak of the truth that explains it: finding, leak."""
    causing = rows.filter(pl.col("decidable")).with_columns(
        causes=pl.col("kind").replace_strict(
            list(CAUSED), [list(kinds) for kinds in CAUSED.values()], default=None, return_dtype=pl.List(pl.String)
        ),
        status=_expected_status(),
    ).with_columns(causes=pl.coalesce("causes", pl.concat_list("kernel_kind"))).explode("causes").drop_nulls("causes")  # fmt: skip
    named = _records(causing, "leak", "causes", "status")
    shared = named.join(
        held, left_on=["causes", "status", "stream", "record_key"], right_on=["kind", "status", "stream", "record_key"]
    )
    pairs = shared.group_by("finding", "leak").agg(shared=pl.len(), size=pl.col("size").first())
    return pairs.filter(pl.col("shared") == pl.col("size")).group_by("finding").agg(pl.col("leak").min())


def _of_leaks(rows: pl.DataFrame, answers: pl.DataFrame, of_kind: pl.DataFrame) -> pl.DataFrame:
    by = ["kind", "currency"]
    outcome, wide = pl.col("outcome"), pl.Int128
    mine = rows.filter((pl.col("category") == "leak") & (pl.col("decided_by") == "kernel"))
    all_ = mine.group_by(by).agg(
        injected=pl.len(), finding_kind=pl.col("expected_kind").drop_nulls().first(),
        injected_micros=pl.col("impact_micros").cast(wide).sum(), first=pl.col("leak").min(),
    )  # fmt: skip
    delay = pl.col("raised_at") - pl.col("knowable_at")
    told = answers.group_by(by).agg(
        decidable=pl.len(), found=(outcome == "found").sum(), missed=(outcome == "missed").sum(),
        wrong_money=(outcome == "wrong_money").sum(), decidable_micros=pl.col("impact_micros").cast(wide).sum(),
        found_micros=pl.col("answer_micros").filter(outcome != "missed").sum(),
        to_name=((outcome == "found") & pl.col("reason").is_not_null()).sum(),
        named=((outcome == "found") & (pl.col("reason") == pl.col("answer_reason"))).sum(),
        median_delay_s=delay.filter(outcome == "found").dt.total_microseconds().median().floordiv(1_000_000),
    )  # fmt: skip
    both = all_.join(told, on=by, how="left", nulls_equal=True).with_columns(
        pl.col("decidable", "found", "missed", "wrong_money", "decidable_micros", "found_micros", "to_name", "named").fill_null(0)
    )
    precise = of_kind.select(finding_kind="kind", precision="precision")
    both = both.join(precise, on="finding_kind", how="left").with_columns(recall=_share(pl.col("found"), pl.col("decidable")))
    return both.sort("first").select(pl.col(n).cast(t) for n, t in LEAKS.items())


def _share(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """A share, or NULL of nothing."""
    return pl.when(whole > 0).then(part / whole)


def _of_finding_kinds(findings: pl.DataFrame, judged: pl.DataFrame) -> pl.DataFrame:
    status, verdict = pl.col("status"), pl.col("verdict")
    whole = findings.select("finding", "kind", "status").join(judged.select("finding", "verdict"), on="finding", how="left")
    counts = whole.group_by("kind").agg(
        **{name: (status == name).sum() for name in ("open", "resolved", "retracted")},
        **{name: (verdict == name).sum() for name in ("explained", "undecidable", "unexplained")},
    )
    told = counts.with_columns(precision=_share(pl.col("explained"), pl.col("explained") + pl.col("unexplained")))
    return told.sort("kind").select(pl.col(n).cast(t) for n, t in FINDINGS.items())


def _others(rows: pl.DataFrame, judged: pl.DataFrame, by: str) -> pl.DataFrame:
    """Rows of the truth that are not scored, with the findings they explain (`by` leak) or that touch them (`by` touched)."""
    wide = pl.Int128
    mine = judged.filter(pl.col("verdict") == ("explained" if by == "leak" else "undecidable"))
    caused = mine.group_by(leak=pl.col(by)).agg(findings=pl.len(), findings_micros=pl.col("impact_micros").sum())
    both = rows.join(caused, on="leak", how="left").with_columns(pl.col("findings", "findings_micros").fill_null(0))
    told = both.group_by("kind", "decided_by", "currency").agg(
        injected=pl.len(), injected_micros=pl.col("impact_micros").cast(wide).sum(), findings=pl.col("findings").sum(),
        findings_micros=pl.col("findings_micros").sum(), first=pl.col("leak").min(),
    )  # fmt: skip
    return told.sort("first").select(pl.col(n).cast(t) for n, t in OTHERS.items())


def _misses(answers: pl.DataFrame, findings: pl.DataFrame, members: pl.DataFrame, log_time: datetime | None) -> pl.DataFrame:
    """The leaks that were not found, each with the reason as far as it shows in the findings."""
    missed = answers.filter(pl.col("outcome") != "found")
    near = _records(missed, "leak").join(members, on=["stream", "record_key"]).join(
        findings.select("finding", "kind", "status"), on="finding"
    )  # fmt: skip
    told = near.select("leak", text=pl.format("{} ({})", "kind", "status")).unique().sort("leak", "text")
    around = told.group_by("leak").agg(around=pl.col("text").str.join(", "))
    reason = (
        pl.when(pl.col("outcome") == "wrong_money").then(pl.lit("its finding tells other money"))
        .when(pl.col("knowable_at") > pl.lit(log_time, pl.Datetime("us", "UTC"))).then(pl.lit("the log has not come so far yet"))
        .when(pl.col("answering") > 0).then(pl.lit("its findings hold more or fewer records"))
        .when(pl.col("around").is_not_null()).then(pl.format("only other findings touch its records: {}", "around"))
        .otherwise(pl.lit("no finding touches its records"))
    )  # fmt: skip
    return missed.join(around, on="leak", how="left", maintain_order="left").select(
        "leak_id", "kind", "service", "currency", "impact_micros", "usage_record_keys", "charge_record_keys",
        finding_kind="kernel_kind", found_micros="answer_micros", reason=reason,
    )  # fmt: skip


def _unexplained(findings: pl.DataFrame, judged: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    odd = findings.join(judged.filter(pl.col("verdict") == "unexplained").select("finding"), on="finding", how="semi")
    nothing = pl.lit([], dtype=pl.List(pl.String))
    for stream in _BOTH:
        mine = members.filter(pl.col("stream") == stream).join(odd.select("finding"), on="finding", how="semi")
        keys = mine.group_by("finding").agg(pl.col("record_key").sort().alias(f"{stream}_record_keys"))
        odd = odd.join(keys, on="finding", how="left", maintain_order="left")
    return odd.sort(pl.col("impact_micros").abs(), "finding_id", descending=[True, False]).select(
        "finding_id", "kind", "status", "service", "day", "currency", "impact_micros",
        pl.col("usage_record_keys").fill_null(nothing), pl.col("charge_record_keys").fill_null(nothing),
    )  # fmt: skip


def plain_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON: each `NAME_micros` stays, exact, and stands beside it once more as money (`NAME_money`)."""
    micros = [name for name in frame.columns if name.endswith("_micros")]
    return [
        {**row, **{n.removesuffix("micros") + "money": money_of(row[n]) for n in micros}} for row in frame.iter_rows(named=True)
    ]


def money_of(micros: int | None) -> Decimal | None:
    """Millionths as an exact decimal number."""
    return None if micros is None else Decimal(micros).scaleb(-6)
