"""Logs in a lake on disk: written position by position, reconciled through the parts that every engine calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from kernel_adapter import SUMS
from reference_model.log import EPOCH, US, Close, Item, Log, Record, Supersede, Tariff, Tick

from trueup.config import Project, ServiceConfig
from trueup.events.identity import with_event_ids
from trueup.events.schema import COLLECTED, CORE, EVENT
from trueup.frames import query_frames
from trueup.log.lake import CLOCK, BucketRange, Lake, Transaction
from trueup.log.ticks import SUPERSEDES
from trueup.reconcile.domain.policies import Policy
from trueup.reconcile.log_io.affected import Days
from trueup.reconcile.log_io.commit import CONSUMER, Committed, commit_outcome
from trueup.reconcile.log_io.load import frontier_of
from trueup.reconcile.results.finding_rows import HISTORY
from trueup.reconcile.results.outcome import Outcome, merge_outcomes
from trueup.reconcile.run_partition import reconcile_partition

BUCKETS = 64
_MAPPED = {
    "usage": ("service", "subscriber", "account", "session_key", "started_at", "quantity"),
    "charge": ("service", "subscriber", "account", "session_key", "started_at", "quantity", "amount"),
}
"""Columns without which a project is refused before it runs."""


def clock() -> datetime:
    return datetime(2024, 6, 1, tzinfo=UTC)


def toml_of(policy: Policy, bucket_by: str) -> str:
    """A trueup.toml whose policy is `policy`."""
    lines = ["[lake]", f"buckets = {BUCKETS}", f'bucket_by = "{bucket_by}"', "[project]", f'timezone = "{policy.timezone}"',
             f'currency = "{policy.currency}"', f'horizon = "{policy.horizon_us}us"']  # fmt: skip
    for name, s in policy.sources.items():
        lines += ["[[source]]", f'name = "{name}"', f'stream = "{s.stream}"', 'path = "none"', 'identity = "content"']
        lines += ["columns = { " + ", ".join(f'{name} = "{name}"' for name in _MAPPED.get(s.stream, ())) + " }"]
        lines += ['frontier = "declared"'] if s.lateness_us is None else [f'lateness = "{s.lateness_us}us"']
        lines += [] if s.idle_after_us is None else [f'idle_after = "{s.idle_after_us}us"']
    for service, rules in [*policy.services.items(), ("default", policy.default)]:
        lines += [f"[reconcile.{service}]", *_rules(rules)]
    return "\n".join(lines)


def _rules(rules: ServiceConfig) -> list[str]:
    told = {
        "match": str(list(rules.match)), "price_per": rules.price_per, "start_tolerance": f'"{rules.start_tolerance}us"',
        "grace": f'"{rules.grace}us"', "period": f'"{rules.period}us"', "quantity_tolerance": f'"{_decimal(rules.quantity_tolerance)}"',
        "amount_tolerance": f'"{_decimal(rules.amount_tolerance)}"',
    }  # fmt: skip
    told |= {} if rules.price is None else {"price": f'"{_decimal(rules.price)}"'}
    told |= {} if rules.currency is None else {"currency": f'"{rules.currency}"'}
    return [f"{n} = {v}" for n, v in told.items()]


def _decimal(micros: int) -> str:
    return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"


def project_of(folder: Path, policy: Policy, bucket_by: str) -> Project:
    """A project folder whose configuration asks for `policy`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trueup.toml").write_text(toml_of(policy, bucket_by), "utf-8")
    project = Project.load(folder)
    assert Policy.of(project.config).content() == policy.content()
    return project


def one_declaration_per_commit(log: Log) -> Log:
    """A log as a lake holds it: a position brings records, or one declaration."""
    out: Log = []
    for commit in log:
        records: list[Item] = [i for i in commit if isinstance(i, Record)]
        out += ([records] if records else []) + [[i] for i in commit if not isinstance(i, Record)]
    return out


def with_ids_of_content(log: Log, bucket_by: str) -> tuple[Log, dict[tuple[int, str], pl.DataFrame]]:
    """A log whose records have the ids a lake gives them, and its rows by (position, stream)."""
    out: Log = []
    rows = {}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for position, commit in enumerate(log, start=1):
            new = [i for i in commit if not isinstance(i, Record)]
            for stream in ("usage", "charge"):
                mine = [i for i in commit if isinstance(i, Record) and i.charge == (stream == "charge")]
                if mine:
                    frame = pl.DataFrame([_row(r, position, n, bucket_by) for n, r in enumerate(mine)], schema=COLLECTED[stream])
                    rows[position, stream] = with_event_ids(connection, frame, stream, bucket_by=bucket_by, buckets=BUCKETS)  # type: ignore[arg-type]
                    ids = rows[position, stream]["event_id"].to_list()
                    new += [replace(r, known_as=i) for r, i in zip(mine, ids, strict=True)]
            out.append(new)
    return out, rows


def _row(r: Record, position: int, number: int, bucket_by: str) -> dict[str, Any]:
    def moment(us: int | None) -> datetime | None:
        return None if us is None else EPOCH + us * US

    row = {
        "source_id": f"{r.source}@{position}", "source_row": number, "source_offset": 0, "source_length": 0, "key_scope": r.key_scope,
        "record_key": r.key, "session_key": r.session, "service": r.service, "subscriber": r.subscriber, "peer": r.peer, "node": r.node,
        "account": r.scope or None if bucket_by == "account" else None, "started_at": moment(r.started_us), "quantity_micros": r.quantity_micros, "partial_no": r.part,
    }  # fmt: skip
    charged = {"amount_micros": r.amount_micros, "currency": r.currency, "billed_at": moment(r.billed_us)}
    return {n: (row | charged).get(n) for n in COLLECTED["charge" if r.charge else "usage"]}


def append(lake: Lake, log: Log, rows: dict[tuple[int, str], pl.DataFrame], first: int = 1, last: int | None = None) -> None:
    """Writes positions `first` to `last` of a log, as `told_apart` and `known_by_id` made it, to a lake."""
    for position, commit in enumerate(log[:last], start=1):
        if position < first:
            continue

        def write(transaction: Transaction, position: int = position, commit: list[Item] = commit) -> int:
            (one,) = commit if len(commit) == 1 else [None]
            if isinstance(one, Close):
                return transaction.declare("close", source=one.source, through=EPOCH + one.through_us * US)
            if isinstance(one, Tick):
                return transaction.declare("tick", through=EPOCH + one.now_us * US)
            if isinstance(one, Supersede):
                return transaction.declare(CLOCK, through=clock(), content={SUPERSEDES: position_of(one.tick, log)})
            if isinstance(one, Policy):
                return transaction.declare("policy", content=one.content())
            if isinstance(one, Tariff):
                transaction.append("tariff", _tariffs(one, position))
                return transaction.next_position("unit")
            for stream in ("usage", "charge"):
                if (position, stream) in rows:
                    transaction.append(stream, rows[position, stream])
            transaction.append("control", _controls(commit, position))
            return transaction.next_position("unit")

        assert lake.commit(write) == position


def position_of(tick: Tick, log: Log) -> int:
    """The position a log has a tick at."""
    return next(at for at, commit in enumerate(log, start=1) if tick in commit)


def _tariffs(tariff: Tariff, position: int) -> pl.DataFrame:
    rows = [
        {n: row.get(n) for n in CORE["tariff"]} | {"source_id": f"book@{position}", "source_row": i, "bucket": 0, "key_scope": "book",
         "event_id": f"{position} {i}".encode(), "record_key": f"{position} {i}"} for i, row in enumerate(tariff.rows)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema={n: t for n, t in EVENT["tariff"].items() if n not in ("attributes",)})


def _controls(commit: list[Item], position: int) -> pl.DataFrame:
    records = [i for i in commit if isinstance(i, Record)]
    told = []
    for source in sorted({r.source for r in records}):
        mine = [r for r in records if r.source == source]
        started = [r.started_us for r in mine if r.started_us is not None]
        last = EPOCH + max(started) * US if started else None
        told.append({"source_id": f"{source}@{position}", "source": source, "stream": "charge" if mine[0].charge else "usage",
                     "records": len(mine), "accepted": len(mine), "duplicate": 0, "quarantined": 0, "last_started_at": last})  # fmt: skip
    schema = {"source_id": pl.String, "source": pl.String, "stream": pl.String, "records": pl.Int64, "accepted": pl.Int64,
              "duplicate": pl.Int64, "quarantined": pl.Int64, "last_started_at": pl.Datetime("us", "UTC")}  # fmt: skip
    return pl.DataFrame(told, schema=schema)


@contextmanager
def lake_of(folder: Path, log: Log, rows: dict[tuple[int, str], pl.DataFrame], bucket_by: str) -> Iterator[Lake]:
    """A lake that holds a log, whose first position declares its policy."""
    (first,) = log[0]
    assert isinstance(first, Policy)
    project = project_of(folder, first, bucket_by)
    Lake.create(project)
    with Lake.open(project, clock=clock, threads=1) as lake:
        append(lake, log, rows)
        yield lake


@contextmanager
def quick_lake(folder: Path, log: Log, rows: dict[tuple[int, str], pl.DataFrame], bucket_by: str) -> Iterator[Lake]:
    """The same log in tables of plain DuckDB that look like a lake's: for reading only, and ten times as fast."""
    (first,) = log[0]
    assert isinstance(first, Policy)
    project = project_of(folder, first, bucket_by)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET threads = 1; ATTACH ':memory:' AS lake")
        for statement in duckdb.extract_statements(resources.files("trueup.log").joinpath("schema.sql").read_text("utf-8")):
            if statement.type == duckdb.StatementType.CREATE:
                connection.execute(statement)
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake'").fetchall():
            connection.execute(f"ALTER TABLE lake.events.{table} ADD COLUMN snapshot_id BIGINT")
        for position, commit in enumerate(log, start=1):
            told = {"position": pl.DataFrame({"position": [position]})}
            (one,) = commit if len(commit) == 1 else [None]
            if isinstance(one, Close | Tick):
                kind, source, through = (
                    ("close", one.source, one.through_us) if isinstance(one, Close) else ("tick", None, one.now_us)
                )
                told["declaration"] = pl.DataFrame(
                    {"kind": kind, "source": source, "through": EPOCH + through * US}, schema_overrides={"source": pl.String}
                )
            elif isinstance(one, Supersede):
                content = json.dumps({SUPERSEDES: position_of(one.tick, log)})
                told["declaration"] = pl.DataFrame({"kind": [CLOCK], "content": [content]})
            elif isinstance(one, Policy):
                told["declaration"] = pl.DataFrame({"kind": ["policy"], "content": [json.dumps(one.content())]})
            elif isinstance(one, Tariff):
                told["tariff"] = _tariffs(one, position)
            else:
                told |= {s: rows[position, s] for s in ("usage", "charge") if (position, s) in rows} | {
                    "control": _controls(commit, position)
                }
            for table, frame in told.items():
                # Other commits take snapshot ids too.
                query_frames(
                    connection,
                    f"INSERT INTO lake.events.{table} BY NAME SELECT *, {10 * position} AS snapshot_id FROM rows",
                    rows=frame,
                )
        lake = Lake(project, lambda: connection, clock)
        # Plain tables have no log of snapshots to look ranges up in: they are read by their columns.
        lake.oldest_snapshot = 2**62
        yield lake


def ranges(count: int) -> list[BucketRange]:
    return [BucketRange(BUCKETS * i // count, BUCKETS * (i + 1) // count - 1) for i in range(count)]


def outcome_of(lake: Lake, after: int, upto: int, partitions: int, days: Days = (None, None)) -> Outcome:
    """What positions in (after, upto] do, from that many partitions."""
    frontier = frontier_of(lake, upto)
    return merge_outcomes([reconcile_partition(lake, frontier, r, after=after, upto=upto, days=days) for r in ranges(partitions)])


def in_steps(lake: Lake, ends: Iterable[int], partitions: int) -> Outcome:
    """What all positions do, asked for step by step."""
    after, told = 0, []
    for upto in ends:
        told.append(outcome_of(lake, after, upto, partitions))
        after = upto
    return merge_outcomes(told)


def reconcile(lake: Lake, upto: int, partitions: int, days: Days = (None, None)) -> Committed:
    """Reconciles a lake up to a position and commits."""
    after = lake.consumer_position(CONSUMER)
    outcome = outcome_of(lake, after, upto, partitions, days)
    return commit_outcome(lake, outcome, after=after, upto=upto, all_days=days == (None, None))


Totals = dict[str, Any]


def totals(outcome: Outcome) -> Totals:
    """What must not depend on how a log is divided: history, sums by position, placements in all."""
    return _totals(outcome.history, outcome.ledger, outcome.placement)


def committed(lake: Lake) -> Totals:
    """The same of what a lake holds."""
    history, *others = (lake.connection.execute(f"SELECT * FROM lake.events.{t}").pl() for t in ("finding", "ledger", "placement"))
    # What findings about feeds have beside is theirs alone.
    return _totals(history.select(list(HISTORY)), *others)


def _totals(history: pl.DataFrame, ledger: pl.DataFrame, placement: pl.DataFrame) -> Totals:
    rows = sorted(history.rows(), key=repr)
    assert len(set(map(repr, rows))) == len(rows)
    moved = ledger.group_by("position", "service", "day", "currency").agg(pl.col(SUMS).sum())
    moved = moved.filter(pl.any_horizontal(pl.col(n) != 0 for n in SUMS))
    sums = ["placed_records", "outdone_records", "quantity_micros", "amount_micros"]
    placed = placement.group_by("stream", "source", "currency").agg(pl.col(sums).cast(pl.Int128).sum())
    return {
        "history": rows,
        "ledger": {r[:4]: tuple(map(int, r[4:])) for r in moved.select("position", "service", "day", "currency", *SUMS).iter_rows()},
        "placement": {r[:3]: tuple(map(int, r[3:])) for r in placed.filter(pl.any_horizontal(pl.col(n) != 0 for n in sums)).iter_rows()},
    }  # fmt: skip
