"""Write the files of the four stages, and the `trueup.toml` text of the chain and its sources."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from trueup.simulate.files.write import amount_text, write_rows
from trueup.simulate.market.services import CURRENCY
from trueup.simulate.transit.hop_losses import GRACE, PRICE_MICROS, SERVICE, STAGES, Transit, draw_transit

_SUBSCRIBERS_OF_CARRIER = 20
_BEGIN = datetime(2024, 1, 1)  # noqa: DTZ001 - files have no zone; their source names it


def write_transit(
    rng: np.random.Generator, subscribers: int, period: tuple[datetime, datetime], directory: Path, file_format: str
) -> Transit:
    """Write the carriers, and one call per subscriber and day at each stage that it reaches; return the calls with the truth."""
    begin, end = period
    count = -(-subscribers // _SUBSCRIBERS_OF_CARRIER)
    carriers = pl.Series("carrier", [f"+99941{number:08d}" for number in range(count)])
    drawn = draw_transit(rng, subscribers * (end - begin).days, carriers, begin, end)
    landing = directory / "landing" / SERVICE
    for stage, frame in drawn.stages.items():
        has_amounts = not frame["amount_micros"].null_count()
        rows = frame.select(
            "record_id", "call_id", "carrier", pl.col("start").dt.replace_time_zone(None), "seconds",
            *([amount_text("amount_micros").alias("amount")] if has_amounts else []),
        )  # fmt: skip
        write_rows(rows, landing / f"{stage}.{file_format}", file_format)
    states = carriers.to_frame().select(
        pl.col("carrier"), plan=pl.lit("CARRIER"), status=pl.lit("active"), valid_from=pl.lit(_BEGIN, pl.Datetime("us"))
    )
    both = pl.concat([states.with_columns(system=pl.lit(system)) for system in ("network", "billing")])
    write_rows(both, landing / f"carriers.{file_format}", file_format)
    return drawn


def transit_text(file_format: str) -> str:
    """Return the chain, its sources and the rule of the service in the form of a `trueup.toml`."""
    streams = dict(zip(STAGES, ("usage", "stage", "stage", "charge"), strict=True))
    sources = "".join(
        _SOURCE.format(
            name=f"{SERVICE}_{stage}", stage=stage, stream=stream, ext=file_format, service=SERVICE, currency=CURRENCY,
            of_stage=f'stage = "{stage}"\n' if stream == "stage" else "",
            lateness="" if stream == "stage" else 'lateness = "1h"\n',
            amount='amount = "amount"\n' if stage in STAGES[2:] else "",
            optional=", optional = true" if stage == STAGES[-1] else "",
            corrects='corrects = { column = "corrects", optional = true }\n' if stage == STAGES[-1] else "",
            money=f'currency = "{CURRENCY}"\n' if stage in STAGES[2:] else "",
        )
        for stage, stream in streams.items()
    )  # fmt: skip
    hours = GRACE.total_seconds() // 3600
    return _HEAD.format(ext=file_format, service=SERVICE, stages=", ".join(f'"{s}"' for s in STAGES)) + sources + _RULE.format(
        service=SERVICE, price=f"0.{PRICE_MICROS:06d}", grace=f"{hours:.0f}h"
    )  # fmt: skip


_HEAD = """
# Transit calls of other carriers, whose records pass four systems.
[[chain]]
name = "{service}"
stages = [{stages}]
services = ["{service}"]

[[source]]
name = "carriers"
stream = "subscriber"
path = "landing/{service}/carriers.{ext}"
format = "{ext}"
timezone = "UTC"
identity = "content"
[source.columns]
system = "system"
subscriber = "carrier"
plan = "plan"
status = "status"
valid_from = "valid_from"
[source.constants]
segment = "wholesale"
"""
_SOURCE = """
[[source]]
name = "{name}"
stream = "{stream}"
{of_stage}path = "landing/{service}/{stage}*.{ext}"
format = "{ext}"
timezone = "UTC"
{lateness}[source.columns]
record_key = "record_id"
session_key = "call_id"
subscriber = "carrier"
started_at = "start"
quantity = {{ column = "seconds", unit = "s"{optional} }}
{amount}{corrects}[source.constants]
service = "{service}"
{money}"""
_RULE = """
[reconcile.{service}]
price = "{price}"
amount_tolerance = "0"
grace = "{grace}"
"""
