"""Check of anchors: compares the lake with anchors, and reports each difference with the newest anchor before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import duckdb

from trueup.log.lake import Lake
from trueup.proof.anchors import compare
from trueup.proof.anchors.compare import Difference, SignedAnchor
from trueup.proof.anchors.destination import anchors_in
from trueup.proof.anchors.head import current_snapshot, data_files, hash_file, identity
from trueup.proof.anchors.keys import PublicKeys
from trueup.proof.anchors.rows import bounded_memory
from trueup.proof.anchors.statement import AnchorError, read
from trueup.proof.fault import Fault

CHECK = "anchors"


@dataclass(frozen=True)
class AnchorCheck:
    """Result of the comparison.

    Parameters
    ----------
    anchors:
        Number of given anchors.
    agreeing:
        The names of the anchors that fully agree with the lake, oldest first.
    faults:
        The differences; `since` is the newest agreeing anchor that is older than all disagreeing ones.
    """

    anchors: int
    agreeing: tuple[str, ...]
    faults: tuple[Fault, ...] = field(default_factory=tuple)

    @property
    def newest_agreeing(self) -> str | None:
        """Name of the newest anchor that agrees with the lake."""
        return self.agreeing[-1] if self.agreeing else None


def check_anchors(lake: Lake, paths: Sequence[Path], keys: PublicKeys) -> AnchorCheck:
    """Compare the lake with the anchors that the paths name: files, or folders with all anchors in them.

    The lake's connection must have no other user. Raises `TrueupError` for a path without an anchor, `duckdb.Error` where
    the catalog cannot be read.
    """
    files = [(entry, path.is_dir()) for path in paths for entry in anchors_in(path)]
    loaded, faults = _load_anchors(files, keys)
    lake_id = identity(lake)
    others = [a for a in loaded if a.statement.lake != lake_id]
    faults += [_other_lake_fault(a, lake_id) for a in others]
    anchors = sorted((a for a in loaded if a.statement.lake == lake_id), key=lambda a: a.order)
    faults += _find_gaps(anchors)
    if not anchors:
        return AnchorCheck(len(files), (), tuple(faults))
    with bounded_memory(lake):
        differences = [*compare.differences(lake, anchors), *_compare_files(lake, anchors)]
    disagreeing = {index for difference in differences for index in difference.disagreeing}
    agreeing = [index for index in range(len(anchors)) if index not in disagreeing]
    for difference in differences:
        older = [index for index in agreeing if index < min(difference.disagreeing)]
        newer = [index for index in agreeing if index > min(difference.disagreeing)]
        hint = f"; {anchors[newer[0]].name}, which is newer, agrees: the change was made before it" if newer else ""
        since = anchors[older[-1]].name if older else None
        faults.append(Fault("tampered", CHECK, difference.where, difference.detail + hint, since))
    return AnchorCheck(len(files), tuple(anchors[index].name for index in agreeing), tuple(faults))


def _load_anchors(files: Iterable[tuple[Path, bool]], keys: PublicKeys) -> tuple[list[SignedAnchor], list[Fault]]:
    """Return the anchors with a valid signature, each once, and the faults of the other anchors."""
    loaded: dict[str, SignedAnchor] = {}
    faults = []
    for path, is_from_folder in files:
        try:
            anchor = read(path)
            keys.check(anchor, where=path.name)
        except AnchorError as error:
            faults.append(Fault("tampered", CHECK, path.name, error.what))
            continue
        loaded.setdefault(anchor.sha256, SignedAnchor(path.name, anchor, is_from_folder))
    return list(loaded.values()), faults


def _other_lake_fault(anchor: SignedAnchor, lake_id: str) -> Fault:
    detail = (
        f"the anchor is of the lake {anchor.statement.lake}, this is the lake {lake_id}: "
        "the anchor is of another project, or the lake was rebuilt"
    )
    return Fault("tampered", CHECK, anchor.name, detail)


def _find_gaps(anchors: Sequence[SignedAnchor]) -> list[Fault]:
    """Return faults of a folder's anchors that do not refer to their predecessor: an anchor is missing or was inserted."""
    faults = []
    from_folder = sorted((a for a in anchors if a.is_from_folder), key=lambda a: a.statement.sequence_no)
    for before, after in pairwise(from_folder):
        if after.anchor.statement.previous == before.anchor.sha256:
            continue
        first, last = before.statement.sequence_no + 1, after.statement.sequence_no - 1
        if first <= last:
            numbers = f"{first}" if first == last else f"{first} to {last}"
            detail = f"the sequence of anchors lacks number {numbers}, between {before.name} and this one"
            faults.append(Fault("unavailable", CHECK, after.name, detail))
        else:
            detail = f"the anchor does not refer to {before.name} as its predecessor: one of them is not of this sequence"
            faults.append(Fault("tampered", CHECK, after.name, detail))
    return faults


def _compare_files(lake: Lake, anchors: Sequence[SignedAnchor]) -> list[Difference]:
    """Return differences of data files whose bytes differ from those that an anchor states.

    Files that a merge has replaced since are omitted: their rows are compared instead.
    """
    now = set(data_files(lake, current_snapshot(lake)))
    stated: dict[str, dict[tuple[int, str], list[int]]] = {}
    for index, anchor in enumerate(anchors):
        for file in anchor.statement.files:
            if file.path in now:
                stated.setdefault(file.path, {}).setdefault((file.size_bytes, file.sha256), []).append(index)
    differences = []
    for path, values in sorted(stated.items()):
        try:
            value, detail = hash_file(lake, path), ""
        except FileNotFoundError:
            value, detail = (-1, ""), "the data file is missing"
        except (OSError, duckdb.Error) as error:
            value, detail = (-1, ""), f"the data file cannot be read: {(str(error).splitlines() or [''])[0]}"
        wrong = sorted(index for other, indexes in values.items() if other != value for index in indexes)
        if wrong:
            size = next(f.size_bytes for f in anchors[wrong[0]].statement.files if f.path == path)
            detail = detail or f"the data file has other bytes than {anchors[wrong[0]].name} states: {size} then, {value[0]} now"
            differences.append(Difference(path, detail, tuple(wrong)))
    return differences
