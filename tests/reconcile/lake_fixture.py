"""Lakes from logs of plain values: written position by position, reconciled by the functions that every engine calls."""

from __future__ import annotations

import json
import random
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
from reference_model.log import EPOCH, US, Close, Item, Log, Record, State, Supersede, Tariff, Tick

from trueup.collect.commit.moved_contents import moved_contents
from trueup.config import Project, ServiceConfig
from trueup.events.identity import with_event_ids
from trueup.events.schema import COLLECTED, CORE, EVENT, MOVED, MOVEMENTS
from trueup.frames import query_frames
from trueup.log.lake import ALL_DAYS, CLOCK, BucketRange, Days, Lake, Transaction
from trueup.log.ticks import SUPERSEDES
from trueup.policies.policy import Policy
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
"""Columns that the checks of a project require of each source."""


def clock() -> datetime:
    return datetime(2024, 6, 1, tzinfo=UTC)


def toml_of(policy: Policy, bucket_by: str) -> str:
    """Return the text of a trueup.toml that declares `policy`."""
    lines = ["[lake]", f"buckets = {BUCKETS}", f'bucket_by = "{bucket_by}"', "[project]", f'timezone = "{policy.timezone}"',
             f'currency = "{policy.currency}"', f'horizon = "{policy.horizon_us}us"']  # fmt: skip
    for name, s in policy.sources.items():
        lines += ["[[source]]", f'name = "{name}"', f'stream = "{s.stream}"', 'path = "none"', 'identity = "content"']
        lines += ["columns = { " + ", ".join(f'{name} = "{name}"' for name in _MAPPED.get(s.stream, ())) + " }"]
        lines += ['frontier = "declared"'] if s.lateness_us is None else [f'lateness = "{s.lateness_us}us"']
        lines += ["bill_lines = true"] if s.bill_lines else []
        lines += [] if s.idle_after_us is None else [f'idle_after = "{s.idle_after_us}us"']
    if any(s.period == "cycle" or s.period_zone == "subscriber" for s in (*policy.services.values(), policy.default)):
        columns = ", ".join(f'{n} = "{n}"' for n in ("system", "subscriber", "status", "valid_from", "cycle_day", "timezone"))
        lines += ["[[source]]", 'name = "states"', 'stream = "subscriber"', 'path = "none"', 'identity = "content"']
        lines += [f"columns = {{ {columns} }}"]
    for service, rules in [*policy.services.items(), ("default", policy.default)]:
        lines += [f"[reconcile.{service}]", *_list_rules(rules, is_covered=service in policy.line_of)]
    return "\n".join(lines)


def _list_rules(rules: ServiceConfig, *, is_covered: bool) -> list[str]:
    waits = {
        "start_tolerance": f'"{rules.start_tolerance}us"', "grace": f'"{rules.grace}us"',
        "amount_tolerance": f'"{_format_decimal(rules.amount_tolerance)}"',
    }  # fmt: skip
    waits |= {} if rules.covers else {"quantity_tolerance": f'"{_format_decimal(rules.quantity_tolerance)}"'}
    values = {"match": str(list(rules.match))} | ({} if is_covered else waits)
    values |= {"covers": str(list(rules.covers))} if rules.covers else {}
    values |= {} if rules.price is None else {"price": f'"{_format_decimal(rules.price)}"'}
    # A setting with its default is left out: where it has no effect, a project that writes it is refused.
    unused = ServiceConfig()
    values |= {} if rules.price_per == unused.price_per else {"price_per": rules.price_per}
    values |= (
        {}
        if rules.period == unused.period
        else {"period": f'"{rules.period}us"' if isinstance(rules.period, int) else f'"{rules.period}"'}
    )
    values |= {} if is_covered or rules.period_zone == unused.period_zone else {"period_zone": f'"{rules.period_zone}"'}
    values |= {} if rules.parts == unused.parts else {"parts": f'"{rules.parts}"'}
    values |= {} if rules.currency is None else {"currency": f'"{rules.currency}"'}
    return [f"{n} = {v}" for n, v in values.items()]


def _format_decimal(micros: int) -> str:
    return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"


def project_of(folder: Path, policy: Policy, bucket_by: str) -> Project:
    """Write a project folder whose configuration declares `policy`, and return the project."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trueup.toml").write_text(toml_of(policy, bucket_by), "utf-8")
    project = Project.load(folder)
    assert Policy.of(project.config).content() == policy.content()
    return project


def one_declaration_per_commit(log: Log) -> Log:
    """Return a log as a lake stores it: each position has either records or one declaration."""
    commits: Log = []
    for commit in log:
        records: list[Item] = [i for i in commit if isinstance(i, Record)]
        commits += ([records] if records else []) + [[i] for i in commit if not isinstance(i, Record)]
    return commits


def with_event_ids_of_lake(log: Log, bucket_by: str) -> tuple[Log, dict[tuple[int, str], pl.DataFrame]]:
    """Return a log whose records have the event ids that a lake gives them, and its rows by (position, stream)."""
    commits: Log = []
    rows = {}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for position, commit in enumerate(log, start=1):
            new = [i for i in commit if not isinstance(i, Record)]
            for stream in ("usage", "charge"):
                own = [i for i in commit if isinstance(i, Record) and i.charge == (stream == "charge")]
                if own:
                    frame = pl.DataFrame(
                        [_build_row(r, position, n, bucket_by) for n, r in enumerate(own)], schema=COLLECTED[stream]
                    )
                    rows[position, stream] = with_event_ids(connection, frame, stream, bucket_by=bucket_by, buckets=BUCKETS)  # type: ignore[arg-type]
                    if stream == "charge":
                        rows[position, stream] = rows[position, stream].with_columns(
                            corrected_key=pl.Series([r.corrects and r.corrects[1] for r in own], dtype=pl.String),
                            corrected_charge=pl.Series([r.corrects and r.corrects[0] for r in own], dtype=pl.Boolean),
                        )
                    ids = rows[position, stream]["event_id"].to_list()
                    new += [replace(r, given_event_id=i) for r, i in zip(own, ids, strict=True)]
            states = [i for i in commit if isinstance(i, State)]
            if states:
                frame = pl.DataFrame(
                    [_build_state_row(s, position, n) for n, s in enumerate(states)], schema=COLLECTED["subscriber"]
                )
                rows[position, "subscriber"] = with_event_ids(connection, frame, "subscriber", bucket_by=bucket_by, buckets=BUCKETS)  # type: ignore[arg-type]
            commits.append(new)
    return commits, rows


def _build_state_row(state: State, position: int, number: int) -> dict[str, Any]:
    row = {
        "source_id": f"states@{position}", "source_row": number, "source_offset": 0, "source_length": 0, "key_scope": "states",
        "record_key": f"{position} {number}", "system": "network", "subscriber": state.subscriber, "status": "active",
        "valid_from": EPOCH + state.from_us * US, "cycle_day": state.cycle_day, "timezone": state.zone,
    }  # fmt: skip
    return {n: row.get(n) for n in COLLECTED["subscriber"]}


def _build_row(r: Record, position: int, number: int, bucket_by: str) -> dict[str, Any]:
    def moment(us: int | None) -> datetime | None:
        return None if us is None else EPOCH + us * US

    row = {
        "source_id": f"{r.source}@{position}", "source_row": number, "source_offset": 0, "source_length": 0, "key_scope": r.key_scope,
        "record_key": r.key, "session_key": r.session, "service": r.service, "subscriber": r.subscriber, "peer": r.peer, "node": r.node,
        "account": r.scope or None if bucket_by == "account" else None, "started_at": moment(r.started_us), "quantity_micros": r.quantity_micros, "partial_no": r.part, "record_version": r.version,
    }  # fmt: skip
    charged = {
        "amount_micros": r.amount_micros,
        "currency": r.currency,
        "billed_at": moment(r.billed_us),
        "corrects": r.corrects and r.corrects[1],
        "tariff_code": r.tariff_code,
        "invoice_id": r.invoice,
    }
    return {n: (row | charged).get(n) for n in COLLECTED["charge" if r.charge else "usage"]}


def moved_of(
    connection: duckdb.DuckDBPyConnection, log: Log, position: int, rows: dict[tuple[int, str], pl.DataFrame], bucket_by: str
) -> pl.DataFrame:
    """Return the rows that a commit adds to `events.moved`, for key scopes of a log whose sources have record versions."""
    versioned = {(r.charge, r.key_scope) for commit in log for r in commit if isinstance(r, Record) and r.versioned}
    frames = [pl.DataFrame(schema=MOVED)]
    for stream in MOVEMENTS:
        for (key_scope,), new in rows.get((position, stream), pl.DataFrame(schema={"key_scope": pl.String})).group_by("key_scope"):
            if (stream == "charge", key_scope) in versioned:
                frames.append(moved_contents(connection, new, stream, bucket_by))  # type: ignore[arg-type]
    return pl.concat(frames)


def append(lake: Lake, log: Log, rows: dict[tuple[int, str], pl.DataFrame], first: int = 1, last: int | None = None) -> None:
    """Append the positions `first` to `last` of a log to a lake; `with_event_ids_of_lake` made the log and `rows`."""
    for position, commit in enumerate(log[:last], start=1):
        if position < first:
            continue

        def write(transaction: Transaction, position: int = position, commit: list[Item] = commit) -> int:
            (item,) = commit if len(commit) == 1 else [None]
            if isinstance(item, Close):
                return transaction.declare("close", source=item.source, through=EPOCH + item.through_us * US)
            if isinstance(item, Tick):
                return transaction.declare("tick", through=EPOCH + item.now_us * US)
            if isinstance(item, Supersede):
                return transaction.declare(CLOCK, through=clock(), content={SUPERSEDES: position_of(item.tick, log)})
            if isinstance(item, Policy):
                return transaction.declare("policy", content=item.content())
            if isinstance(item, Tariff):
                transaction.append("tariff", _build_tariff_rows(item, position))
                return transaction.next_position("unit")
            moved = moved_of(transaction.connection, log, position, rows, lake.project.config.lake.bucket_by)
            transaction.append("moved", moved)
            for stream in ("usage", "charge", "subscriber"):
                if (position, stream) in rows:
                    transaction.append(stream, rows[position, stream])
            transaction.append("control", _build_control_rows(commit, position))
            return transaction.next_position("unit")

        assert lake.commit(write) == position


def position_of(tick: Tick, log: Log) -> int:
    """Return the position of a tick in a log."""
    return next(at for at, commit in enumerate(log, start=1) if tick in commit)


def _build_tariff_rows(tariff: Tariff, position: int) -> pl.DataFrame:
    rows = [
        {n: row.get(n) for n in CORE["tariff"]} | {"source_id": f"book@{position}", "source_row": i, "bucket": 0, "key_scope": "book",
         "event_id": f"{position} {i}".encode(), "record_key": f"{position} {i}"} for i, row in enumerate(tariff.rows)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema={n: t for n, t in EVENT["tariff"].items() if n not in ("attributes",)})


def _build_control_rows(commit: list[Item], position: int) -> pl.DataFrame:
    records = [i for i in commit if isinstance(i, Record)]
    rows = []
    for source in sorted({r.source for r in records}):
        own = [r for r in records if r.source == source]
        started = [r.started_us for r in own if r.started_us is not None]
        last = EPOCH + max(started) * US if started else None
        rows.append({"source_id": f"{source}@{position}", "source": source, "stream": "charge" if own[0].charge else "usage",
                     "records": len(own), "accepted": len(own), "duplicate": 0, "quarantined": 0, "last_started_at": last})  # fmt: skip
    schema = {"source_id": pl.String, "source": pl.String, "stream": pl.String, "records": pl.Int64, "accepted": pl.Int64,
              "duplicate": pl.Int64, "quarantined": pl.Int64, "last_started_at": pl.Datetime("us", "UTC")}  # fmt: skip
    return pl.DataFrame(rows, schema=schema)


@contextmanager
def lake_of(folder: Path, log: Log, rows: dict[tuple[int, str], pl.DataFrame], bucket_by: str) -> Iterator[Lake]:
    """Create a lake with a log whose first position declares its policy."""
    (first,) = log[0]
    assert isinstance(first, Policy)
    project = project_of(folder, first, bucket_by)
    Lake.create(project)
    with Lake.open(project, clock=clock, threads=1) as lake:
        append(lake, log, rows)
        yield lake


@contextmanager
def quick_lake(folder: Path, log: Log, rows: dict[tuple[int, str], pl.DataFrame], bucket_by: str) -> Iterator[Lake]:
    """Create the log in plain DuckDB tables with the schema of a lake: read-only, and ten times as fast."""
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
            tables = {"position": pl.DataFrame({"position": [position]})}
            (item,) = commit if len(commit) == 1 else [None]
            if isinstance(item, Close | Tick):
                kind, source, through = (
                    ("close", item.source, item.through_us) if isinstance(item, Close) else ("tick", None, item.now_us)
                )
                tables["declaration"] = pl.DataFrame(
                    {"kind": kind, "source": source, "through": EPOCH + through * US}, schema_overrides={"source": pl.String}
                )
            elif isinstance(item, Supersede):
                content = json.dumps({SUPERSEDES: position_of(item.tick, log)})
                tables["declaration"] = pl.DataFrame({"kind": [CLOCK], "content": [content]})
            elif isinstance(item, Policy):
                tables["declaration"] = pl.DataFrame({"kind": ["policy"], "content": [json.dumps(item.content())]})
            elif isinstance(item, Tariff):
                tables["tariff"] = _build_tariff_rows(item, position)
            else:
                tables["moved"] = moved_of(connection, log, position, rows, bucket_by)
                tables |= {s: rows[position, s] for s in ("usage", "charge", "subscriber") if (position, s) in rows} | {
                    "control": _build_control_rows(commit, position)
                }
            for table, frame in tables.items():
                # In a lake other commits take snapshot ids too, so the ids have gaps.
                query_frames(
                    connection,
                    f"INSERT INTO lake.events.{table} BY NAME SELECT *, {10 * position} AS snapshot_id FROM rows",
                    rows=frame,
                )
        lake = Lake(project, lambda: connection, clock)
        # Plain tables have no snapshots to look position ranges up in, so reads filter by the position column.
        lake.oldest_snapshot = 2**62
        yield lake


def ranges(count: int) -> list[BucketRange]:
    return [BucketRange(BUCKETS * i // count, BUCKETS * (i + 1) // count - 1) for i in range(count)]


def outcome_of(lake: Lake, after: int, upto: int, partitions: int, days: Days = ALL_DAYS) -> Outcome:
    """Return the merged outcome of the positions (after, upto], computed in a number of partitions."""
    frontier = frontier_of(lake, upto)
    return merge_outcomes([reconcile_partition(lake, frontier, r, after=after, upto=upto, days=days) for r in ranges(partitions)])


def check_position_ranges(lake: Lake, rng: random.Random, pairs: int, name: str) -> None:
    """Check that random ranges (after, upto] of a lake change what the full run changes at the same positions."""
    last = lake.last_position()
    full = totals(outcome_of(lake, 0, last, 1))
    for _ in range(pairs):
        after, upto = sorted(rng.sample(range(last + 1), 2))
        partial = totals(outcome_of(lake, after, upto, 1))
        where = f"{name}, positions {after + 1} to {upto}"
        assert partial["history"] == [r for r in full["history"] if after < r[1] <= upto], where
        assert partial["ledger"] == {k: v for k, v in full["ledger"].items() if after < k[0] <= upto}, where


def outcome_in_steps(lake: Lake, ends: Iterable[int], partitions: int) -> Outcome:
    """Return the merged outcome of all positions, computed in steps that end at the positions `ends`."""
    after, outcomes = 0, []
    for upto in ends:
        outcomes.append(outcome_of(lake, after, upto, partitions))
        after = upto
    return merge_outcomes(outcomes)


def reconcile(lake: Lake, upto: int, partitions: int, days: Days = ALL_DAYS) -> Committed:
    """Reconcile a lake up to a position and commit the outcome."""
    after = lake.consumer_position(CONSUMER)
    outcome = outcome_of(lake, after, upto, partitions, days)
    return commit_outcome(lake, outcome, after=after, upto=upto, all_days=days == ALL_DAYS)


Totals = dict[str, Any]


def totals(outcome: Outcome) -> Totals:
    """Return what no division of the log may change: finding history, sums by position, total booking counts."""
    return _sum_totals(outcome.history, outcome.ledger, outcome.placement)


def committed(lake: Lake) -> Totals:
    """Return the same totals for the results that a lake stores."""
    history, *others = (lake.connection.execute(f"SELECT * FROM lake.events.{t}").pl() for t in ("finding", "ledger", "placement"))
    # Feed findings have further columns.
    return _sum_totals(history.select(list(HISTORY)), *others)


def _sum_totals(history: pl.DataFrame, ledger: pl.DataFrame, placement: pl.DataFrame) -> Totals:
    rows = sorted(history.rows(), key=repr)
    assert len(set(map(repr, rows))) == len(rows)
    deltas = ledger.group_by("position", "service", "day", "currency").agg(pl.col(SUMS).sum())
    deltas = deltas.filter(pl.any_horizontal(pl.col(n) != 0 for n in SUMS))
    sums = ["placed_records", "outdone_records", "quantity_micros", "amount_micros"]
    placed = placement.group_by("stream", "source", "currency").agg(pl.col(sums).cast(pl.Int128).sum())
    return {
        "history": rows,
        "ledger": {r[:4]: tuple(map(int, r[4:])) for r in deltas.select("position", "service", "day", "currency", *SUMS).iter_rows()},
        "placement": {r[:3]: tuple(map(int, r[3:])) for r in placed.filter(pl.any_horizontal(pl.col(n) != 0 for n in sums)).iter_rows()},
    }  # fmt: skip
