"""Entry point of the continuous job on a separate Flink cluster, for `flink run -py`; Flink stores its state and restarts it."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from datetime import timedelta

from trueup.config import Project
from trueup.jobs.options import StreamOptions
from trueup.jobs.reconcile_stream import build
from trueup.jobs.state_folder import HASH_RUNS, state_folder
from trueup.reconcile.incremental.epoch_ranges import Bounds
from trueup.reconcile.incremental.hash_runs import MIN_HASHES_PER_RUN


def options_of(arguments: Sequence[str] | None = None) -> StreamOptions:
    """Return the job options that a command line names."""
    parser = argparse.ArgumentParser(description="Keep the findings of a project up to date, on a Flink cluster.")
    parser.add_argument("--project", required=True, help="folder of the project, at the same path on every machine")
    parser.add_argument("--parallelism", type=int, default=1)
    parser.add_argument("--groups", type=int, default=8)
    parser.add_argument("--epoch-rows", type=int, default=1_000_000)
    parser.add_argument("--epoch-commits", type=int, default=1_000)
    parser.add_argument("--polls", type=int, default=10)
    parser.add_argument("--tick-every-s", type=float, default=300.0)
    parser.add_argument("--checkpoint-every-s", type=float, default=10.0)
    parser.add_argument("--keys-in-memory", type=int, default=MIN_HASHES_PER_RUN)
    parser.add_argument("--shelves", help="folder for the keys of settled records, shared by all workers; default: in the project")
    parser.add_argument("--no-score", action="store_true", help="do not score usage records")
    args = parser.parse_args(arguments)
    return StreamOptions(
        args.project,
        parallelism=args.parallelism,
        groups=args.groups,
        bounds=Bounds(args.epoch_rows, args.epoch_commits),
        polls_per_second=args.polls,
        tick_every=timedelta(seconds=args.tick_every_s),
        checkpoint_every=timedelta(seconds=args.checkpoint_every_s),
        hash_runs_folder=args.shelves or str(state_folder(Project.load(args.project)) / HASH_RUNS),
        keys_in_memory=args.keys_in_memory,
        score=not args.no_score and importlib.util.find_spec("xgboost") is not None,
    )


if __name__ == "__main__":
    build(options_of(), {}).execute("trueup stream")
