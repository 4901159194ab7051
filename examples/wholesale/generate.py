"""Writes the example's two files: synthetic usage and billing with the traits of a wholesale operator's exports.

Usage volumes have up to 16 decimals, and two volumes have one decimal more than a quantity can hold. Billing lines hold a key and
an amount, no date, in no order. Every twenty-fifth usage record has no billing line. The same program writes the same bytes every
time.

    python examples/wholesale/generate.py              # writes examples/wholesale/data
    python examples/wholesale/generate.py FOLDER       # writes FOLDER
"""

from __future__ import annotations

import random
import sys
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

RECORDS = 500
UNBILLED_EVERY = 25
EIGHT_MINUTES = timedelta(minutes=8)
FIRST = datetime(2022, 1, 1)  # noqa: DTZ001 - files hold local times; trueup.toml names the zone
PRICES = {"Voice": 150, "Roaming": 150, "Data": 50, "Interconnection": 50, "SMS": 50}
SERVICES = ("Data", "Voice", "Data", "Roaming", "SMS", "Data", "Voice", "Interconnection", "Data", "Roaming")
DECIMALS = (13, 14, 12, 13, 15, 11, 13, 14)
WITH_16_DECIMALS = (111, 333)


def usage_row(number: int, chance: random.Random) -> dict[str, str]:
    """Return one usage record. Its subscriber has a number of country code 999, which no operator uses."""
    decimals = 16 if number in WITH_16_DECIMALS else DECIMALS[int(chance.random() * len(DECIMALS))]
    # Volumes lie between 1 and 1,000. Volumes with 16 decimals lie below 10. The odd last digit keeps the number of decimals.
    whole = 1 + int(chance.random() * (9 if decimals == 16 else 999))
    fraction = int(chance.random() * 10 ** (decimals - 1)) * 10 + 1 + 2 * int(chance.random() * 4)
    return {
        "cdr_id": f"TXN_{number:06d}",
        "msisdn": f"99970{int(chance.random() * 10**6):06d}",
        "service_type": SERVICES[int(chance.random() * len(SERVICES))],
        "usage_volume": f"{whole}.{fraction:0{decimals}d}",
        "timestamp": str(FIRST + number * EIGHT_MINUTES),
        "site_id": f"SITE_{1 + int(chance.random() * 12)}",
    }


def billing_rows(usage: list[dict[str, str]], chance: random.Random) -> list[dict[str, str]]:
    """Return one billing line for each usage record except every `UNBILLED_EVERY`-th, in random order."""
    billed = [row for number, row in enumerate(usage, start=1) if number % UNBILLED_EVERY]
    amounts = [Decimal(row["usage_volume"]) * PRICES[row["service_type"]] for row in billed]
    lines = [{"cdr_id": row["cdr_id"], "billed_amount": f"{amount:.12f}"} for row, amount in zip(billed, amounts, strict=True)]
    return sorted(lines, key=lambda _: chance.random())


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    """Write the rows as plain CSV with a header line."""
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def generate(folder: Path) -> None:
    """Write `network_usage_raw.csv` and `billing_transaction.csv` into the folder."""
    chance = random.Random(2022)
    folder.mkdir(parents=True, exist_ok=True)
    usage = [usage_row(number, chance) for number in range(1, RECORDS + 1)]
    write_csv(folder / "network_usage_raw.csv", usage)
    write_csv(folder / "billing_transaction.csv", billing_rows(usage, chance))


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("data"))
