"""Keys that are kept no longer, as hashes in files: they hold what was added, and losing them costs time only."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trueup.errors import LogError
from trueup.log.lake import BucketRange
from trueup.reconcile.domain.record_hashes import Hashes
from trueup.reconcile.incremental import hash_runs as shelves
from trueup.reconcile.incremental.epoch import ReconcilerState
from trueup.reconcile.incremental.hash_runs import ORPHAN_RUN_TTL_S, HashRunStore, remove_stale_stores
from trueup.reconcile.incremental.settled_keys import SettledKeyIndex
from trueup.reconcile.incremental.state_codec import decode_state, encode_state

ALL = BucketRange(0, 3)


def hashes(*values: int) -> Hashes:
    return np.array(values, dtype=np.uint64)


def back_from(memory: ReconcilerState, shelf: HashRunStore | None) -> ReconcilerState | None:
    """A memory that has been bytes."""
    told = encode_state(memory, ALL)
    return decode_state(told.head, dict(enumerate(told.runs)), dict(enumerate(told.segments)), ALL, shelf)


@settings(deadline=None, max_examples=60)
@given(
    additions=st.lists(st.lists(st.integers(0, 40) | st.integers(2**64 - 9, 2**64 - 1), max_size=12), max_size=12),
    least=st.integers(1, 9),
    at_once=st.integers(1, 5),
)
def test_a_set_with_a_shelf_holds_what_was_added_and_nothing_else(
    additions: list[list[int]], least: int, at_once: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shelf = HashRunStore(tmp_path_factory.mktemp("shelf"), least)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shelves, "_CHUNK", at_once)
        gone = SettledKeyIndex(store=shelf)
        for some in additions:
            gone = gone.add(hashes(*some))
    added = {value for some in additions for value in some}
    asked = hashes(*range(42), *range(2**64 - 12, 2**64))
    assert gone.contains(asked).tolist() == [int(value) in added for value in asked]
    runs = [*(file.hashes for file in gone.files), *gone.runs]
    assert all(np.all(run[1:] > run[:-1]) for run in runs)
    assert sum(map(len, gone.runs)) < least
    for kind in (gone.runs, gone.files):
        assert all(len(a) > 2 * len(b) for a, b in itertools.pairwise(kind))


def test_a_memory_names_its_files_and_comes_back_with_them(tmp_path: Path) -> None:
    shelf = HashRunStore(tmp_path, min_hashes=3)
    gone = SettledKeyIndex(store=shelf).add(hashes(*range(9))).add(hashes(50, 51, 52)).add(hashes(99))
    assert ([len(file) for file in gone.files], [len(run) for run in gone.runs]) == ([9, 3], [1])
    told = encode_state(ReconcilerState(1, settled_keys=gone), ALL)
    assert len(told.runs) == 1 and len(told.head) < 400
    back = back_from(ReconcilerState(1, settled_keys=gone), shelf)
    assert back is not None
    assert back.settled_keys.contains(hashes(3, 51, 99, 100)).tolist() == [True, True, True, False]
    assert len(back.settled_keys.add(hashes(*range(200, 260)))) == 73


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "changed", "no shelf"])
def test_a_memory_whose_files_are_not_whole_is_made_of_the_log_again(damage: str, tmp_path: Path) -> None:
    shelf = HashRunStore(tmp_path, min_hashes=1)
    gone = SettledKeyIndex(store=shelf).add(hashes(*range(9)))
    path, data = gone.files[0].path, gone.files[0].path.read_bytes()
    path.unlink()
    damaged = {"empty": b"", "cut": data[:-8], "changed": data[:-1] + b"\1", "no shelf": data}
    if damage in damaged:
        path.write_bytes(damaged[damage])
    assert back_from(ReconcilerState(1, settled_keys=gone), None if damage == "no shelf" else shelf) is None


def test_a_folder_that_cannot_be_written_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LogError, match=r"cannot be written: Not a directory.*make room"):
        SettledKeyIndex(store=HashRunStore(tmp_path / "file" / "shelf", min_hashes=1)).add(hashes(1))


def test_the_same_hashes_are_the_same_file(tmp_path: Path) -> None:
    shelf = HashRunStore(tmp_path, min_hashes=1)
    first = SettledKeyIndex(store=shelf).add(hashes(1, 2)).add(hashes(3))
    assert SettledKeyIndex(store=shelf).add(hashes(3, 1, 2)).files[0].path == first.files[0].path


def test_a_file_that_no_memory_names_stays_while_a_checkpoint_may_name_it(tmp_path: Path) -> None:
    shelf = HashRunStore(tmp_path, min_hashes=1)
    before = SettledKeyIndex(store=shelf).add(hashes(1, 2))
    old, left = before.files[0].path, tmp_path / "1.part"
    left.write_bytes(b"of a writer that was killed")
    for path in (old, left):
        os.utime(path, (0, 0))
    after = before.add(hashes(3))
    assert old.exists() and not left.exists()
    # Long after it was joined with another.
    at_s = old.stat().st_mtime - ORPHAN_RUN_TTL_S - 60
    os.utime(old, (at_s, at_s))
    later = after.add(hashes(*range(10, 20)))
    assert not old.exists()
    assert later.contains(hashes(1, 2, 3, 10)).all()


def test_a_file_that_is_needed_stays_however_old_it_is(tmp_path: Path) -> None:
    shelf = HashRunStore(tmp_path, min_hashes=1)
    gone = SettledKeyIndex(store=shelf).add(hashes(*range(20)))
    os.utime(gone.files[0].path, (0, 0))
    later = gone.add(hashes(99))
    assert back_from(ReconcilerState(1, settled_keys=later), shelf) is not None


def test_shelves_with_other_names_go_and_nothing_else_beside_them(tmp_path: Path) -> None:
    mine, *_ = (
        SettledKeyIndex(store=HashRunStore(tmp_path / name, min_hashes=1)).add(hashes(1)) for name in ("0-3", "0-7", "8-15")
    )
    (tmp_path / "0-7" / "killed.part").write_bytes(b"")
    (tmp_path / "8-15" / "notes.txt").write_text("of somebody else")
    (tmp_path / "2024").mkdir()
    (tmp_path / "1-2").write_text("a file")
    remove_stale_stores(tmp_path, [ALL])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0-3", "1-2", "2024", "8-15"]
    assert [p.name for p in (tmp_path / "8-15").iterdir()] == ["notes.txt"]
    assert mine.files[0].verify_checksum() and mine.files[0].path.exists()
    for nothing in ("none", "1-2"):
        remove_stale_stores(tmp_path / nothing, [ALL])
