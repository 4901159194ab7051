from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from trueup.collect.discover.units import Unit, find_files, open_unit
from trueup.collect.discover.unpack import decompress
from trueup.config import Config, Project, SourceConfig
from trueup.errors import SourceError

Write = Callable[..., Project]
LINES = b"id,caller,at,seconds\n" + b"".join(b"%d,a,2024-05-01,1\n" % i for i in range(2_000))


@contextmanager
def unit_of(project: Project) -> Iterator[Unit]:
    source = project.config.source[0]
    (path,) = find_files(project, source).paths
    with open_unit(project, source, path) as unit:
        yield unit


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.csv", b"", "the file is empty"),
        ("cut.csv.gz", gzip.compress(LINES, mtime=0)[:-5], "cut short"),
        ("damaged.gz", gzip.compress(LINES, mtime=0)[:40] + b"\0\0\0" + gzip.compress(LINES, mtime=0)[43:], "damaged|cut short"),
        ("cut.zst", zstandard.compress(LINES)[:-5], "cut short"),
        ("damaged.zst", zstandard.compress(LINES)[:20] + b"\xff" * 9, "damaged|cut short"),
        ("hollow.gz", gzip.compress(b"", mtime=0), "empty once decompressed"),
        ("program", bytes(range(256)) * 9, "binary"),
        ("archive.gz", gzip.compress(bytes(range(256)) * 9, mtime=0), "binary"),
        ("excel.csv", "id,caller".encode("utf-16"), "UTF-16"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_an_invalid_unit_is_an_error_of_one_line(calls: Write, name: str, content: bytes, says: str) -> None:
    project = calls({name: content})
    with pytest.raises(SourceError, match=says) as raised, unit_of(project) as unit:
        unit.check_readable_to_end()
        unit.check_text()
    assert f"landing/{name}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_directories_missing_and_unreadable_files_have_different_errors(calls: Write) -> None:
    project = calls({"shut.csv": LINES})
    (project.directory / "landing" / "folder").mkdir()
    source = project.config.source[0].model_copy(update={"path": ("landing/*", "landing/none.csv", "landing/*.parquet")})
    found = find_files(project, source)
    assert [path.name for path in found.paths] == ["folder", "shut.csv"]
    assert [str(error) for error in found.errors] == ["there is no such file (landing/none.csv); check `path` of source msc"]
    assert found.notices == ["source msc: no file matches landing/*.parquet"]
    with pytest.raises(SourceError, match="directory"), open_unit(project, source, found.paths[0]):
        pass
    if os.geteuid() != 0:
        found.paths[1].chmod(0)
        with pytest.raises(SourceError, match="cannot be read"), open_unit(project, source, found.paths[1]):
            pass


@contextmanager
def as_another_user() -> Iterator[None]:
    """Give up the rights of root, whom no folder refuses."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_an_unreadable_subfolder_is_an_error_and_the_files_of_others_are_found(calls: Write) -> None:
    project = calls()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for inner in ("open", "shut"):
            (folder / inner).mkdir(mode=0o755)
            (folder / inner / "a.csv").write_bytes(LINES)
        (folder / "open/circle.txt").symlink_to("circle.txt")
        (folder / "shut").chmod(0)
        paths = (f"{folder}/**/*.csv", f"{folder}/shut/*.csv", f"{folder}/shut/a.csv", f"{folder}/*/a.csv/*", f"{folder}/none/*")
        source = project.config.source[0].model_copy(update={"path": paths})
        with as_another_user():
            found = find_files(project, source)
        (folder / "shut").chmod(0o700)
    assert found.paths == [folder / "open/a.csv"]
    assert [error.where for error in found.unreadable] == [*[f"{folder}/shut"] * 2, f"{folder}/shut/a.csv", f"{folder}/shut/a.csv"]
    assert {error.what.partition(":")[2] for error in found.errors} == {" Permission denied, so files in it may be missing"}
    assert (found.errors, found.missing) == (found.unreadable, [folder / "none"])


def test_a_file_matched_by_two_patterns_is_one_unit(calls: Write) -> None:
    project = calls({"a.csv": LINES})
    source = project.config.source[0].model_copy(update={"path": ("landing/*", "landing/a.csv")})
    assert len(find_files(project, source).paths) == 1


def test_a_file_that_changes_after_it_was_fingerprinted_is_still_growing(calls: Write) -> None:
    project = calls({"a.csv": LINES})
    with unit_of(project) as unit:
        unit.check_unchanged()
        with unit.path.open("ab") as more:
            more.write(b"9999,a,2024-05-01,1\n")
        with pytest.raises(SourceError, match="still growing"):
            unit.check_unchanged()


@pytest.mark.skipif(not Path("/proc/self/fdinfo").is_dir(), reason="only Linux shows which process has a file open")
def test_a_file_that_another_process_holds_open_for_writing_is_still_growing(calls: Write) -> None:
    project = calls({"a.csv": LINES})
    hold = "import sys; f = open(sys.argv[1], 'ab'); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(project.directory / "landing" / "a.csv")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with unit_of(project) as unit, pytest.raises(SourceError, match="still growing"):
            unit.check_readable_to_end()
        writer.communicate()
    with unit_of(project) as unit:
        unit.check_readable_to_end()


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.sampled_from(["", "gzip", "zstd"]), st.data())
def test_any_bytes_of_the_decompressed_stream_can_be_read_again(
    tmp_path_factory: pytest.TempPathFactory, members: list[bytes], compression: str, data: st.DataObject
) -> None:
    squeeze = {"": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}[compression]
    path = tmp_path_factory.mktemp("units") / "file"
    path.write_bytes(b"".join(squeeze(member) for member in members))
    whole = b"".join(members)
    written = path.read_bytes()
    for size in (1, 7, 1 << 20):
        chunks = [written[at : at + size] for at in range(0, len(written), size)]
        assert b"".join(decompress(chunks, compression, "x")) == whole  # type: ignore[arg-type]
    if path.stat().st_size:
        start = data.draw(st.integers(0, len(whole)))
        length = data.draw(st.integers(0, len(whole) - start))
        source = SourceConfig(name="x", stream="usage", path=("file",), identity="content")
        with open_unit(Project(path.parent, Config()), source, path) as unit:
            # Bytes that begin like a compressed file by chance are read as one.
            if unit.compression == compression:
                assert unit.bytes_at(start, length) == whole[start : start + length]
                with pytest.raises(SourceError, match="ends before"):
                    unit.bytes_at(start, len(whole) + 1)
