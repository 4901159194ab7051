"""Hash runs of settled keys in files: they contain the added hashes, and a lost file costs a rebuild, never a finding."""

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
from trueup.reconcile.incremental import hash_runs
from trueup.reconcile.incremental.epoch import ReconcilerState
from trueup.reconcile.incremental.hash_runs import ORPHAN_RUN_TTL_S, HashRunStore, remove_stale_stores
from trueup.reconcile.incremental.settled_keys import SettledKeyIndex
from trueup.reconcile.incremental.state_codec import decode_state, encode_state

ALL = BucketRange(0, 3)


def hashes(*values: int) -> Hashes:
    return np.array(values, dtype=np.uint64)


def round_trip(state: ReconcilerState, store: HashRunStore | None) -> ReconcilerState | None:
    """Encode a state and decode it."""
    encoded = encode_state(state, ALL)
    return decode_state(encoded.head, dict(enumerate(encoded.runs)), dict(enumerate(encoded.segments)), ALL, store)


@settings(deadline=None, max_examples=60)
@given(
    additions=st.lists(st.lists(st.integers(0, 40) | st.integers(2**64 - 9, 2**64 - 1), max_size=12), max_size=12),
    min_hashes=st.integers(1, 9),
    chunk=st.integers(1, 5),
)
def test_an_index_with_files_contains_the_added_hashes_and_no_others(
    additions: list[list[int]], min_hashes: int, chunk: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = HashRunStore(tmp_path_factory.mktemp("store"), min_hashes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_runs, "_CHUNK", chunk)
        settled = SettledKeyIndex(store=store)
        for addition in additions:
            settled = settled.add(hashes(*addition))
    added = {value for addition in additions for value in addition}
    candidates = hashes(*range(42), *range(2**64 - 12, 2**64))
    assert settled.contains(candidates).tolist() == [int(value) in added for value in candidates]
    runs = [*(file.hashes for file in settled.files), *settled.runs]
    assert all(np.all(run[1:] > run[:-1]) for run in runs)
    assert sum(map(len, settled.runs)) < min_hashes
    for kind in (settled.runs, settled.files):
        assert all(len(a) > 2 * len(b) for a, b in itertools.pairwise(kind))


def test_a_state_refers_to_its_files_and_is_restored_with_them(tmp_path: Path) -> None:
    store = HashRunStore(tmp_path, min_hashes=3)
    settled = SettledKeyIndex(store=store).add(hashes(*range(9))).add(hashes(50, 51, 52)).add(hashes(99))
    assert ([len(file) for file in settled.files], [len(run) for run in settled.runs]) == ([9, 3], [1])
    encoded = encode_state(ReconcilerState(1, settled_keys=settled), ALL)
    assert len(encoded.runs) == 1 and len(encoded.head) < 400
    restored = round_trip(ReconcilerState(1, settled_keys=settled), store)
    assert restored is not None
    assert restored.settled_keys.contains(hashes(3, 51, 99, 100)).tolist() == [True, True, True, False]
    assert len(restored.settled_keys.add(hashes(*range(200, 260)))) == 73


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "changed", "no store"])
def test_a_state_with_a_missing_or_damaged_file_is_discarded(damage: str, tmp_path: Path) -> None:
    store = HashRunStore(tmp_path, min_hashes=1)
    settled = SettledKeyIndex(store=store).add(hashes(*range(9)))
    path, data = settled.files[0].path, settled.files[0].path.read_bytes()
    path.unlink()
    damaged = {"empty": b"", "cut": data[:-8], "changed": data[:-1] + b"\1", "no store": data}
    if damage in damaged:
        path.write_bytes(damaged[damage])
    assert round_trip(ReconcilerState(1, settled_keys=settled), None if damage == "no store" else store) is None


def test_a_folder_that_cannot_be_written_raises_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LogError, match=r"cannot be written: Not a directory.*make room"):
        SettledKeyIndex(store=HashRunStore(tmp_path / "file" / "store", min_hashes=1)).add(hashes(1))


def test_equal_hashes_have_the_same_file(tmp_path: Path) -> None:
    store = HashRunStore(tmp_path, min_hashes=1)
    first = SettledKeyIndex(store=store).add(hashes(1, 2)).add(hashes(3))
    assert SettledKeyIndex(store=store).add(hashes(3, 1, 2)).files[0].path == first.files[0].path


def test_an_orphaned_file_stays_while_a_checkpoint_may_refer_to_it(tmp_path: Path) -> None:
    store = HashRunStore(tmp_path, min_hashes=1)
    before = SettledKeyIndex(store=store).add(hashes(1, 2))
    old, partial = before.files[0].path, tmp_path / "1.part"
    partial.write_bytes(b"of a killed writer")
    for path in (old, partial):
        os.utime(path, (0, 0))
    after = before.add(hashes(3))
    assert old.exists() and not partial.exists()
    # Past the retention of files that were merged into another.
    at_s = old.stat().st_mtime - ORPHAN_RUN_TTL_S - 60
    os.utime(old, (at_s, at_s))
    later = after.add(hashes(*range(10, 20)))
    assert not old.exists()
    assert later.contains(hashes(1, 2, 3, 10)).all()


def test_a_file_in_use_stays_at_any_age(tmp_path: Path) -> None:
    store = HashRunStore(tmp_path, min_hashes=1)
    settled = SettledKeyIndex(store=store).add(hashes(*range(20)))
    os.utime(settled.files[0].path, (0, 0))
    later = settled.add(hashes(99))
    assert round_trip(ReconcilerState(1, settled_keys=later), store) is not None


def test_stores_of_other_bucket_ranges_are_removed_and_nothing_else(tmp_path: Path) -> None:
    own, *_ = (SettledKeyIndex(store=HashRunStore(tmp_path / name, min_hashes=1)).add(hashes(1)) for name in ("0-3", "0-7", "8-15"))
    (tmp_path / "0-7" / "killed.part").write_bytes(b"")
    (tmp_path / "8-15" / "notes.txt").write_text("of another program")
    (tmp_path / "2024").mkdir()
    (tmp_path / "1-2").write_text("a file")
    remove_stale_stores(tmp_path, [ALL])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0-3", "1-2", "2024", "8-15"]
    assert [p.name for p in (tmp_path / "8-15").iterdir()] == ["notes.txt"]
    assert own.files[0].verify_checksum() and own.files[0].path.exists()
    for absent in ("none", "1-2"):
        remove_stale_stores(tmp_path / absent, [ALL])
