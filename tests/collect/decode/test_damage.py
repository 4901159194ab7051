from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from trueup.collect.ingest import IngestSummary
from trueup.config import Project
from trueup.events.reasons import REASONS
from trueup.log.lake import Lake
from trueup.proof.verify import verify

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]

FILES = 4
KEPT = "SELECT source_row, source_offset, source_length, raw, reason FROM lake.events.quarantine WHERE source_id = ?"
GOOD = "SELECT source_row, source_offset, source_length FROM lake.events.usage WHERE source_id = ?"


def line(chance: random.Random, number: int) -> bytes:
    caller = chance.choice(["998900%06d", '"998900%06d"', "Zoë %d", '"say ""%d"""'])
    return f"{number},{caller % number},2024-05-{1 + number % 28:02} 10:{number % 60:02}:00,{number % 3_600}.5".encode()


def flip_bits(chance: random.Random, good: bytes) -> bytes:
    damaged = bytearray(good)
    for _ in range(chance.randint(1, 4)):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def cut_line(chance: random.Random, good: bytes) -> bytes:
    return good[: chance.randrange(1, len(good))]


def join_lines(chance: random.Random, good: bytes) -> bytes:
    return good + chance.choice([b"", b",", b'"']) + line(chance, chance.randrange(10**6))


def swap_fields(chance: random.Random, good: bytes) -> bytes:
    fields = good.split(b",")
    chance.shuffle(fields)
    return b",".join(fields)


def mistype_field(chance: random.Random, good: bytes) -> bytes:
    fields = good.split(b",")
    fields[chance.randrange(len(fields))] = chance.choice(
        [b"", b"x", b"-1", b"1e99", b"2099-01-01", b"NaN", b'"', b"\xff\xfe", b"\x00"]
    )
    return b",".join(fields)


DAMAGES = (flip_bits, cut_line, join_lines, swap_fields, mistype_field)


def damaged_files(lines: int, seed: int) -> list[bytes]:
    """Return files of which four lines in five are damaged; line ends from damage count as lines."""
    chance = random.Random(seed)
    files = []
    for number in range(FILES):
        made = []
        for index in range(lines // FILES):
            good = line(chance, number * lines + index)
            made.append(chance.choice(DAMAGES)(chance, good) if chance.random() < 0.8 else good)
        files.append(b"id,caller,at,seconds\n" + chance.choice([b"\n", b"\r\n"]).join(made) + b"\n")
    return files


def check_damage(calls: Write, take_in: TakeIn, lines: int, seed: int) -> None:
    files = damaged_files(lines, seed)
    project = calls({f"{number}.csv": content for number, content in enumerate(files)})
    summary = take_in(project)
    assert not summary.errors
    with Lake.open(project, read_only=True) as lake:
        for unit in summary.units:
            content = Path(project.directory, unit.path).read_bytes()
            records = [text for text in content.replace(b"\r", b"\n").split(b"\n") if text][1:]
            assert unit.records == len(records) == unit.accepted + unit.duplicate + unit.quarantined
            assert unit.accepted >= lines // FILES // 10
            values = [f"msc@{hashlib.sha256(content).hexdigest()[:32]}"]
            kept = lake.connection.execute(KEPT, values).fetchall()
            good = lake.connection.execute(GOOD, values).fetchall()
            assert (len(kept), len(good)) == (unit.quarantined, unit.accepted)
            for row, offset, length, raw, reason in kept:
                assert raw == content[offset : offset + length] == records[row]
                assert reason in REASONS
            for row, offset, length in good:
                assert content[offset : offset + length] == records[row]
        verified = verify(lake, only=("counts", "event_ids", "units"))
        assert verified.sound
        assert verified.checks[-1].compared == sum(unit.records for unit in summary.units)


def test_damaged_lines_are_counted_quarantined_and_proven(calls: Write, take_in: TakeIn) -> None:
    check_damage(calls, take_in, 6_000, 1)


@pytest.mark.slow
def test_a_hundred_thousand_damaged_lines_are_counted_quarantined_and_proven(calls: Write, take_in: TakeIn) -> None:
    check_damage(calls, take_in, 128_000, 3)
