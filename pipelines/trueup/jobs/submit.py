"""The continuous job for a Flink cluster of one's own: what `flink run -py` runs. Flink keeps its state and restarts it."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from datetime import timedelta

from trueup.config import Project
from trueup.jobs.flink_client import SHELVES, state_folder
from trueup.jobs.options import StreamOptions
from trueup.jobs.reconcile_stream import build
from trueup.reconcile.incremental.epoch_ranges import Bounds
from trueup.reconcile.incremental.hash_runs import MIN_HASHES_PER_RUN


def options_of(arguments: Sequence[str] | None = None) -> StreamOptions:
    """The options of a command line."""
    parser = argparse.ArgumentParser(description="Keep the findings of a project up to date, on a Flink cluster.")
    parser.add_argument("--project", required=True, help="the project's folder, at the same place on every machine")
    parser.add_argument("--parallelism", type=int, default=1)
    parser.add_argument("--groups", type=int, default=8)
    parser.add_argument("--epoch-rows", type=int, default=1_000_000)
    parser.add_argument("--epoch-commits", type=int, default=1_000)
    parser.add_argument("--polls", type=int, default=10)
    parser.add_argument("--tick-every-s", type=float, default=300.0)
    parser.add_argument("--checkpoint-every-s", type=float, default=10.0)
    parser.add_argument("--keys-in-memory", type=int, default=MIN_HASHES_PER_RUN)
    parser.add_argument("--shelves", help="a folder for keys that are kept no longer, which all workers share; else in the project")
    parser.add_argument("--no-score", action="store_true", help="leave scoring usage records to somebody else")
    told = parser.parse_args(arguments)
    return StreamOptions(
        told.project,
        parallelism=told.parallelism,
        groups=told.groups,
        bounds=Bounds(told.epoch_rows, told.epoch_commits),
        polls_per_second=told.polls,
        tick_every=timedelta(seconds=told.tick_every_s),
        checkpoint_every=timedelta(seconds=told.checkpoint_every_s),
        shelves=told.shelves or str(state_folder(Project.load(told.project)) / SHELVES),
        keys_in_memory=told.keys_in_memory,
        score=not told.no_score and importlib.util.find_spec("xgboost") is not None,
    )


if __name__ == "__main__":
    build(options_of(), {}).execute("trueup stream")
