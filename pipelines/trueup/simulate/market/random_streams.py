"""Derive seeded random streams: an independent stream for every (stage, day, region)."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stage(IntEnum):
    """The purpose of a random stream. Each value keeps its meaning, because otherwise old seeds would give other files."""

    POPULATION = 1
    GRAPH = 2
    NUMBERS = 3
    INCIDENTS = 4
    LEAK_PLAN = 5
    TRAFFIC = 6
    IOT = 7
    SESSIONS = 8
    LEAKS = 9
    BILLING = 10
    COPIES = 11
    PROBES = 12
    CONTRACTS = 13
    TRANSIT = 14
    BILLS = 15


def stream(seed: int, stage: Stage, *path: int) -> np.random.Generator:
    """Return the generator of one stage; equal arguments give equal numbers."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(int(stage), *path))))
