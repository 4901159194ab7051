"""Lakes from logs of subscriptions, items and charges: in plain tables, as the quick lake of usage logs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import lake_fixture
import polars as pl
from item_logs import POLICY, Bill, Closed, Item, Price, State, at, micros, tariff_rows

from trueup.collect.commit.moved_contents import moved_contents
from trueup.config import BucketBy, ServiceConfig
from trueup.events.identity import with_event_ids
from trueup.events.schema import COLLECTED, EVENT
from trueup.frames import query_frames
from trueup.log.lake import Lake
from trueup.policies.policy import Policy, SourceRules


def _build_row(item: State | Bill, number: int, bucket_by: BucketBy) -> dict[str, Any]:
    account = "a" if bucket_by == "account" else None
    place = {
        "source_id": f"x@{item.at}", "source_row": number, "key_scope": "x", "subscriber": item.subscriber, "account": account,
    }  # fmt: skip
    if isinstance(item, State):
        return place | {
            "record_key": f"{item.at}/{number}", "system": item.system, "plan": item.plan, "status": item.status,
            "valid_from": at(item.since), "valid_to": at(item.to) if item.to else None, **item.more,
        }  # fmt: skip
    first, last = (at(item.period[0]), at(item.period[1])) if item.period else (None, None)
    own = at(item.time) if item.time else first
    return place | {
        "source_id": f"b@{item.at}", "key_scope": "b", "record_key": item.key or f"{item.at}/{number}", "service": item.service,
        "started_at": own, "amount_micros": micros(item.amount), "currency": item.currency, "item": item.item,
        "period_from": first, "period_to": last, "corrects": item.corrects, "record_version": item.version,
    }  # fmt: skip


def _build_tables(
    connection: duckdb.DuckDBPyConnection, position: int, items: Sequence[Item], bucket_by: BucketBy
) -> dict[str, pl.DataFrame]:
    """Return the rows of one position by table."""
    tables = {"position": pl.DataFrame({"position": [position]})}
    if not items:
        return tables
    if isinstance(items[0], Closed):
        closing = {"kind": "close", "source": "b", "through": at(items[0].through)}
        return tables | {"declaration": pl.DataFrame([closing])}
    if isinstance(items[0], Price):
        rows = tariff_rows([i for i in items if isinstance(i, Price)]).drop("position")
        key = {"event_id": pl.concat_str(pl.lit(f"{position} "), "source_row").cast(pl.Binary), "bucket": pl.lit(0, pl.Int16)}
        return tables | {"tariff": rows.with_columns(**key)}
    stream = "charge" if isinstance(items[0], Bill) else "subscriber"
    frame = pl.DataFrame(
        [_build_row(i, n, bucket_by) for n, i in enumerate(items) if isinstance(i, State | Bill)], schema=COLLECTED[stream]
    )
    tables[stream] = with_event_ids(connection, frame, stream, bucket_by=bucket_by, buckets=lake_fixture.BUCKETS)
    if stream == "charge":
        tables[stream] = tables[stream].with_columns(corrected_key="corrects", corrected_charge=pl.lit(None, pl.Boolean))
        if frame["record_version"].null_count() < frame.height:
            tables["moved"] = moved_contents(connection, tables[stream], stream, bucket_by)
    own = frame["started_at"] if stream == "charge" else frame["valid_from"]
    extent = {"first_time": own.min(), "last_started_at": own.max() if stream == "charge" else None}
    counts = {
        "source_id": frame["source_id"][0],
        "source": "b",
        "stream": stream,
        "records": frame.height,
        "accepted": frame.height,
    }
    tables["control"] = pl.DataFrame([counts | extent], schema_overrides={"last_started_at": EVENT["charge"]["started_at"]})
    return tables


@contextmanager
def item_lake(folder: Path, log: Sequence[Item], policy: Policy = POLICY, bucket_by: BucketBy = "subscriber") -> Iterator[Lake]:
    """Create a log in plain DuckDB tables with the schema of a lake; position 1 has the policy, each other position its items.

    Where the account decides the bucket, all subscriptions are of one account.
    """
    project = lake_fixture.project_of(folder, policy, bucket_by)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET threads = 1; ATTACH ':memory:' AS lake")
        for statement in duckdb.extract_statements(resources.files("trueup.log").joinpath("schema.sql").read_text("utf-8")):
            if statement.type == duckdb.StatementType.CREATE:
                connection.execute(statement)
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake'").fetchall():
            connection.execute(f"ALTER TABLE lake.events.{table} ADD COLUMN snapshot_id BIGINT")
        for position in range(1, max(i.at for i in log) + 1):
            for table, frame in _build_tables(connection, position, [i for i in log if i.at == position], bucket_by).items():
                query = f"INSERT INTO lake.events.{table} BY NAME SELECT *, {10 * position} AS snapshot_id FROM rows"
                query_frames(connection, query, rows=frame)
        lake = Lake(project, lambda: connection, lake_fixture.clock)
        # Plain tables have no snapshots to look position ranges up in, so reads filter by the position column.
        lake.oldest_snapshot = 2**62
        yield lake


FIRST = date(2027, 12, 20)
ZONES = ("America/New_York", "Asia/Tokyo", "America/Havana")
"""Zones whose days begin at other instants than the project's; in Havana a day of March 2028 has no midnight."""


def random_policy(r: random.Random) -> Policy:
    """Return a policy with or without grace, whose frontier moves by closings alone or by charges too."""
    grace, lateness_us = r.choice(("0s", "5d")), r.choice((None, 0, 36_000_000_000))
    rules = ServiceConfig.model_validate({"grace": grace})
    return replace(POLICY, default=rules, sources={"b": SourceRules("charge", lateness_us)})


def _draw_day(r: random.Random, most: int) -> str:
    return (FIRST + timedelta(days=r.randint(0, most))).isoformat()


def _draw_time(r: random.Random, most: int) -> str:
    """Return a local time, often one off midnight."""
    return _draw_day(r, most) + r.choice(("", "T00:30", "T05:00", "T10:00", "T23:30"))


def _draw_closing(r: random.Random, log: Sequence[Item]) -> str:
    """Return a time; often one shortly after a day began on which a state or a version of an item begins."""
    begins = [i.since[:10] for i in log if isinstance(i, State | Price) and i.since >= FIRST.isoformat()]
    return r.choice(begins) + r.choice(("T00:30", "T06:30")) if begins and r.random() < 0.6 else _draw_time(r, 110)


def random_item_log(r: random.Random) -> list[Item]:
    """Return a log of three months: late states and prices, bills that are early, late, doubled, wrong or unexplained, and closings.

    Times are of any time of day, and subscriptions of several zones, some of them moving from one to another.
    """
    log: list[Item] = []
    subscribers = [f"s{n}" for n in range(r.randint(1, 4))]
    for position in range(2, r.randint(8, 20)):
        kind = r.choice(("state", "state", "price", "bill", "bill", "bill", "close"))
        for _ in range(r.randint(1, 4)):
            if kind == "state":
                more: dict[str, Any] = {"cycle_day": r.choice((1, 15, 31))} if r.random() < 0.4 else {}
                more |= {"timezone": r.choice(ZONES)} if r.random() < 0.4 else {}
                status = r.choice(("active", "active", "active", "suspended", "ceased"))
                ends = (FIRST + timedelta(days=200)).isoformat() if r.random() < 0.1 else None
                log.append(State(_draw_time(r, 90), r.choice("AB"), status, ends, position, r.choice(subscribers), more=more))
            elif kind == "price":
                log.append(random_price(r, position))
            elif kind == "bill":
                log.append(random_bill(r, position, r.choice([*subscribers, "unknown"])))
        if kind == "close":
            log.append(Closed(_draw_closing(r, log), position))
    log.append(Closed("2028-06-01", max((i.at for i in log), default=1) + 1))
    return log


def with_moved_bills(r: random.Random, log: Sequence[Item]) -> list[Item]:
    """Return a log whose charge lines have versions, some of them later ones of another subscription, and of the first again."""
    last = max(i.at for i in log)
    bills = [replace(b, key=b.key or f"m{n}", version=1) for n, b in enumerate(i for i in log if isinstance(i, Bill))]
    moved = list[Item]()
    for bill in bills:
        positions = [b.at for b in bills if b.at >= bill.at] + [last + 1, last + 2]
        for version in (2, 3) if r.random() < 0.6 else ():
            subscriber = r.choice(("s0", "s1", "unknown", bill.subscriber))
            moved.append(replace(bill, subscriber=subscriber, version=version, at=r.choice(positions)))
    return [*(i for i in log if not isinstance(i, Bill)), *bills, *moved]


def random_price(r: random.Random, position: int) -> Price:
    """Return a rental, a fee or a discount."""
    item = r.choice(("recurring", "recurring", "one_off", "discount"))
    if item == "discount":
        return Price(None, _draw_day(r, 60), None, item, "d", None, position, {"discount_micros": r.choice((500_000, 250_000))})
    if item == "one_off":
        return Price("20", "2020-01-01", None, item, "fee", None, position, {"event": r.choice(("activation", "termination"))})
    more = {"due": r.choice(("advance", "arrears")), "period": r.choice(("month", "cycle", "week"))}
    since = "2020-01-01" if r.random() < 0.6 else _draw_time(r, 60)
    return Price(r.choice(("31", "62")), since, None, item, r.choice(("line", "tv")), r.choice((None, "A")), position, more)


def random_bill(r: random.Random, position: int, subscriber: str) -> Bill:
    """Return a charge line of a month, or of a moment."""
    month = r.choice((("2028-01-01", "2028-02-01"), ("2028-02-01", "2028-03-01"), ("2028-03-01", "2028-04-01")))
    key = "again" if r.random() < 0.1 else None
    currency = "USD" if r.random() < 0.1 else "EUR"
    amount = r.choice(("31", "31", "62", "15.5", "0", "-5"))
    if r.random() < 0.2:
        return Bill("20", None, _draw_time(r, 90), position, "fee", subscriber, key, currency)
    named = r.choice(("again", f"{r.randint(2, position)}/{r.randint(0, 3)}")) if r.random() < 0.2 else None
    billed = _draw_time(r, 110) if r.random() < 0.3 else None
    return Bill(amount, month, billed, position, r.choice(("line", "tv", "x")), subscriber, key, currency, corrects=named)
