"""A table of shops with refunds, as an example of a user's own table."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

BEGIN = datetime(2024, 3, 1, 8)


def shops(days: int = 45, first_day: int = 0) -> pl.DataFrame:
    """Return a row per shop and day; on two of three days, two fraudulent shops have many refunds over the web."""
    rows = []
    for day in range(first_day, first_day + days):
        for shop in range(20):
            fraud = day % 3 != 0 and shop in (day * 5 % 20, (day * 7 + 3) % 20)
            refunds = 30 + shop if fraud else (day * 7 + shop * 5) % 9
            channel = "web" if fraud or (day + shop) % 3 == 0 else "till"
            rows.append(
                (f"{shop:03d}", BEGIN + timedelta(days=day, minutes=shop), refunds, 10.25 * refunds + 3, channel, 7, int(fraud))
            )
    return pl.DataFrame(rows, schema=["shop", "at", "refunds", "amount", "channel", "tills", "fraud"], orient="row")
