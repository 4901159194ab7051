"""The lake changed in ways that only a statement signed before can show, and in ways that are allowed."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewriting import both, delete, edit, rehashed, with_new_id
from small_project import clock, reconcile
from tampering import TAMPERINGS, by, record

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.errors import ConfigError, LogError, TrueupError
from trueup.log.lake import Lake
from trueup.proof.anchors.blocks import FAN_OUT, Block, block_of, extend
from trueup.proof.anchors.check import Checked, check_anchors
from trueup.proof.anchors.keys import make_key, read_private_key, read_public_keys
from trueup.proof.anchors.make import Anchored, Request, anchor
from trueup.proof.anchors.statement import Anchor, AnchorError, read
from trueup.reconcile.results.digest import digests
from trueup.warehouse.close import close
from trueup.warehouse.maintain import maintain
from trueup.warehouse.publish import publish

MORE = """id,caller,called,start,seconds,imei
u8,A5,B1,2024-03-02 13:00:00,7,15
"""


@pytest.fixture(scope="module")
def _anchored(_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(_template, tmp_path_factory.mktemp("anchors") / "anchored"))
    make_key(folder / "key")
    write_anchor(folder)
    return folder


@pytest.fixture
def anchored(_anchored: Path, tmp_path: Path) -> Path:
    """A copy of the small project with one anchor of it."""
    return Path(shutil.copytree(_anchored, tmp_path / "project"))


def write_anchor(folder: Path, to: Path | None = None, *, key: str = "key", recompute: bool = False) -> Anchored:
    return anchor(Project.load(folder), Request(folder / key, to, None, recompute), clock=clock)


def check(folder: Path, *paths: Path, key: Path | None = None) -> Checked:
    keys = read_public_keys([key or folder / "key.pub"])
    wanted = list(paths) or [folder / "anchors"]
    with Lake.open(Project.load(folder), read_only=True) as lake:
        return check_anchors(lake, wanted, keys)


def ingest_more(folder: Path, name: str = "msc-3.csv", text: str = MORE) -> None:
    (folder / "landing" / name).write_text(text, "utf-8")
    assert not ingest(Project.load(folder), clock=clock).errors


def places(checked: Checked) -> list[str]:
    return [fault.where for fault in checked.faults]


def edit_catalog(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "lake/catalog.sqlite")) as catalog, catalog:
        for statement in statements:
            catalog.execute(statement)


# --- what is found ----------------------------------------------------------------------------------------------------

# Tamperings of different tables do not hide one another: several are made at once, and each must be named.
AT_ONCE: list[dict[str, tuple[str, ...]]] = [
    {
        "usage_quantity_with_its_id": ("usage, position 2", "landing/msc-1.csv of msc", "events/usage/day=2024-03-01"),
        "charge_amount_with_its_id": ("charge, position 4", "landing/billing-1.csv of billing"),
        "subscriber_status": ("subscriber, position",),
        "policy_altered": ("declaration, position",),
        "position_time_altered": ("position, position 4",),
        "quarantine_bytes_altered": ("quarantine, position",),
        "finding_money_altered": ("finding, after position", "digest state", "digest history"),
        "score_party_altered": ("score, after position",),
        "decision_altered_with_its_id": ("decision, after position",),
    },
    {
        "usage_attributes": ("usage, position", "events/usage/day=2024-03-01"),
        "charge_currency": ("charge, position 4",),
        "tick_altered": ("declaration, position",),
        "control_path_altered_chain_rehashed": ("control, position", "source msc, control row 1"),
        "finding_members_altered": ("finding, after position",),
        "scoring_altered": ("scoring, after position",),
        "ledger_altered": ("ledger, after position",),
        "placement_altered": ("placement, after position",),
    },
    {
        "usage_bucket": ("usage, position",),
        "close_removed": ("declaration, position",),
        "decision_removed": ("decision, after position", "2 rows then, 1 now"),
        "finding_history_row_removed": ("finding, after position", "digest history"),
        "consumer_set_back": ("consumer, after position",),
        "score_rows_deleted": ("score, after position", "digest scores"),
        "quarantine_row_removed": ("quarantine, position", "1 row then, 0 now"),
    },
]
ALONE: dict[str, tuple[str, ...]] = {
    "usage_source_offset": ("usage, position", "landing/msc-1.csv"),
    "position_removed": ("position, ",),
    "control_row_removed_at_the_end": ("source billing, control row 1", "the log has none"),
    "usage_file_removed": ("events/usage/day=", "the data file is missing"),
    "usage_byte_flipped": ("events/usage/day=", "holds other bytes"),
    "finding_file_removed": ("events/finding/", "the data file is missing"),
}


@pytest.mark.parametrize("wanted", AT_ONCE)
def test_an_anchor_names_each_of_many_changes(anchored: Path, wanted: dict[str, tuple[str, ...]]) -> None:
    for name in wanted:
        TAMPERINGS[name].apply(anchored)
    checked = check(anchored)
    for name, texts in wanted.items():
        for text in texts:
            assert any(text in f"{fault.where}: {fault.detail}" for fault in checked.faults), (name, text, checked.faults)
    assert checked.agreeing == ()


@pytest.mark.parametrize("name", ALONE)
def test_an_anchor_names_a_change_that_damages_the_log(anchored: Path, name: str) -> None:
    TAMPERINGS[name].apply(anchored)
    checked = check(anchored)
    for text in ALONE[name]:
        assert any(text in f"{fault.where}: {fault.detail}" for fault in checked.faults), (text, checked.faults)


def test_a_chain_rehashed_after_its_unit_was_rewritten_is_found(anchored: Path) -> None:
    first = by("path", "landing/msc-1.csv")
    both(
        with_new_id("usage", record("u3"), quantity_micros=1_000_000),
        rehashed(first, sha256="0" * 64, source_id="msc@" + "0" * 32),
    )(anchored)
    assert {"usage, position 2", "control, position 2", "source msc, control row 1"} <= set(places(check(anchored)))


def test_the_end_of_the_log_removed_with_its_positions_and_control_rows_is_found(anchored: Path) -> None:
    with Lake.open(Project.load(anchored), read_only=True) as lake:
        last = lake.last_position()
        snapshot = lake.snapshot_of(last - 1)
    # As if the last commits had never been: no file of them is left in the catalog.
    edit_catalog(
        anchored,
        f"DELETE FROM ducklake_data_file WHERE begin_snapshot > {snapshot}",
        f"DELETE FROM ducklake_snapshot WHERE snapshot_id > {snapshot}",
    )
    checked = check(anchored)
    (end,) = [fault for fault in checked.faults if fault.where == f"position {last}"]
    assert "the end of the log was removed" in end.detail
    with pytest.raises(LogError, match="contradicts its newest anchor"):
        write_anchor(anchored)


def test_results_removed_after_the_last_position_are_found(anchored: Path) -> None:
    edit_catalog(
        anchored,
        "DELETE FROM ducklake_data_file WHERE begin_snapshot = (SELECT max(snapshot_id) FROM ducklake_snapshot)",
        "DELETE FROM ducklake_snapshot WHERE snapshot_id = (SELECT max(snapshot_id) FROM ducklake_snapshot)",
    )
    found = check(anchored).faults
    assert any("commits of results were removed" in fault.detail for fault in found)
    assert any(fault.where.startswith("decision, after position") for fault in found)


def test_rows_added_to_an_old_commit_are_found(anchored: Path) -> None:
    TAMPERINGS["event_added_to_a_unit"].apply(anchored)
    TAMPERINGS["finding_added"].apply(anchored)
    assert any("4 rows then, 5 now" in fault.detail for fault in check(anchored).faults)
    assert any(fault.where.startswith("finding, ") for fault in check(anchored).faults)


def test_rows_added_to_a_table_that_was_empty_are_found(anchored: Path) -> None:
    project = Project.load(anchored)
    with Lake.open(project) as lake:
        lake.connection.execute("INSERT INTO lake.events.drift (position, transactions) VALUES (1, 1)")
    assert check(anchored).faults == ()  # A commit of its own is newer than the anchor.
    edit_catalog(
        anchored, "UPDATE ducklake_data_file SET begin_snapshot = 3 WHERE path IN (SELECT max(path) FROM ducklake_data_file)"
    )
    (fault,) = check(anchored).faults
    assert (fault.where.split(",")[0], "0 rows then, 1 now" in fault.detail) == ("drift", True)


def test_a_lake_built_anew_from_altered_files_is_found_even_under_the_identity_of_the_old_one(anchored: Path) -> None:
    with closing(sqlite3.connect(anchored / "lake/catalog.sqlite")) as catalog:
        (identity,) = catalog.execute("SELECT schema_uuid FROM ducklake_schema WHERE schema_name = 'events'").fetchone()
    TAMPERINGS["lake_rebuilt_from_altered_files"].apply(anchored)
    (fault,) = check(anchored).faults
    assert "the lake was built anew" in fault.detail
    with pytest.raises(LogError, match="are of another lake"):
        write_anchor(anchored)
    edit_catalog(anchored, f"UPDATE ducklake_schema SET schema_uuid = '{identity}' WHERE schema_name = 'events'")
    found = places(check(anchored))
    assert {"usage, position 2", "control, position 2", "source msc, control row 1"} <= set(found)


# --- anchors themselves -----------------------------------------------------------------------------------------------


def test_an_anchor_that_was_altered_is_named(anchored: Path) -> None:
    (path,) = (anchored / "anchors").glob("*.json")
    altered = json.loads(path.read_text("utf-8"))
    altered["statement"]["reconciled_position"] = 3
    path.write_text(json.dumps(altered), "utf-8")
    (fault,) = check(anchored).faults
    assert (fault.where, fault.detail) == (
        path.name,
        "its signature does not match its content: it was changed after it was signed",
    )
    with pytest.raises(AnchorError, match="the anchor before this one cannot be trusted"):
        write_anchor(anchored)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"statement": {}, "signature": ""}'])
def test_a_file_that_is_no_anchor_is_named(anchored: Path, content: bytes) -> None:
    (path,) = (anchored / "anchors").glob("*.json")
    path.write_bytes(content)
    (fault,) = check(anchored).faults
    assert fault.where == path.name
    assert "no anchor of this version" in fault.detail


def test_an_anchor_signed_by_another_key_is_named(anchored: Path) -> None:
    make_key(anchored / "other")
    write_anchor(anchored, anchored / "elsewhere", key="other")
    (fault,) = check(anchored, anchored / "elsewhere").faults
    assert "is not among the public keys given" in fault.detail
    with pytest.raises(AnchorError, match="list its key in"):
        write_anchor(anchored, key="other")


def test_a_key_is_replaced_by_trusting_the_old_one_as_well(anchored: Path) -> None:
    make_key(anchored / "new")
    path = anchored / "trueup.toml"
    path.write_text(path.read_text("utf-8") + '[anchor]\nkey = "new"\npublic_keys = ["key.pub"]\n', "utf-8")
    ingest_more(anchored)
    assert anchor(Project.load(anchored), Request(), clock=clock).sequence_no == 2
    keys = read_public_keys([anchored / "key.pub", anchored / "new.pub"])
    with Lake.open(Project.load(anchored), read_only=True) as lake:
        checked = check_anchors(lake, [anchored / "anchors"], keys)
    assert (len(checked.agreeing), checked.faults) == (2, ())


def test_a_lost_anchor_is_noticed_in_its_folder(anchored: Path) -> None:
    for number in (3, 4):
        ingest_more(anchored, f"msc-{number}.csv", MORE.replace("u8", f"u{number}9"))
        write_anchor(anchored)
    first, second, third = sorted((anchored / "anchors").glob("*.json"))
    second.unlink()
    (fault,) = check(anchored).faults
    assert (fault.kind, fault.where) == ("unavailable", third.name)
    assert fault.detail == f"the sequence of anchors lacks number 2, between {first.name} and this one"
    assert check(anchored, first, third).faults == ()  # Anchors named one by one are no sequence.


def test_a_change_between_two_anchors_names_the_older_one_as_the_last_that_agrees(anchored: Path) -> None:
    ingest_more(anchored)
    reconcile(Project.load(anchored))
    write_anchor(anchored)
    older, newer = sorted(path.name for path in (anchored / "anchors").glob("*.json"))
    edit("usage", record("u8"), attributes='{"imei":"99"}')(anchored)
    checked = check(anchored)
    assert checked.agreeing == (older,)
    assert checked.newest_agreeing == older
    assert {(fault.since, newer in fault.detail) for fault in checked.faults} == {(older, True)}
    (rows,) = [fault for fault in checked.faults if fault.where.startswith("usage, ")]
    assert "landing/msc-3.csv of msc" in rows.detail
    # What the older one covers was changed after it was made: no anchor is older than that.
    edit("usage", record("u3"), attributes='{"imei":"99"}')(anchored)
    again = check(anchored)
    assert again.agreeing == ()
    assert {fault.since for fault in again.faults} == {None}


def test_an_anchor_made_after_a_change_without_the_older_ones_shows_when_it_was_made(anchored: Path) -> None:
    (older,) = (anchored / "anchors").glob("*.json")
    edit("usage", record("u3"), attributes='{"imei":"99"}')(anchored)
    write_anchor(anchored, anchored / "others")
    (newer,) = (anchored / "others").glob("*.json")
    renamed = newer.rename(newer.with_name("late.json"))
    checked = check(anchored, older, renamed)
    assert checked.agreeing == ("late.json",)
    assert all("late.json, which is newer, agrees: the change was made before it" in fault.detail for fault in checked.faults)
    assert {fault.since for fault in checked.faults} == {None}


# --- what is allowed --------------------------------------------------------------------------------------------------


def _new_commits(folder: Path) -> Path:
    ingest_more(folder)
    close(Project.load(folder), "msc", date(2024, 3, 5), clock=clock)
    reconcile(Project.load(folder))
    return folder


def _merged(folder: Path) -> Path:
    assert maintain(Project.load(folder), clock=clock).merged
    return folder


def _merged_and_expired(folder: Path) -> Path:
    _merged(folder)
    with Lake.open(Project.load(folder)) as lake:
        lake.connection.execute("CALL ducklake_expire_snapshots('lake', older_than => now())")
        lake.connection.execute("CALL ducklake_cleanup_old_files('lake', cleanup_all => true)")
    return folder


def _published(folder: Path) -> Path:
    publish(Project.load(folder), folder / "leakage.duckdb")
    return folder


def _moved(folder: Path) -> Path:
    return folder.rename(folder.with_name("elsewhere"))


@pytest.mark.parametrize("changes", [(_new_commits, _published, _merged), (_merged_and_expired, _moved)])
def test_what_operators_do_leaves_an_anchor_in_agreement(anchored: Path, changes: tuple[Callable[[Path], Path], ...]) -> None:
    folder = anchored
    for change in changes:
        folder = change(folder)
    checked = check(folder)
    assert (len(checked.agreeing), checked.faults) == (1, ())
    write_anchor(folder)
    checked = check(folder)
    assert (len(checked.agreeing), checked.faults) == (2, ())


def test_a_column_that_a_later_version_adds_changes_no_digest(anchored: Path) -> None:
    with Lake.open(Project.load(anchored)) as lake:
        lake.connection.execute("ALTER TABLE lake.events.usage ADD COLUMN beam VARCHAR")
    assert check(anchored).faults == ()
    write_anchor(anchored)
    assert check(anchored).faults == ()


def test_an_anchor_that_goes_on_from_another_equals_one_of_everything(anchored: Path) -> None:
    _merged(_new_commits(anchored))
    written = write_anchor(anchored)
    full = write_anchor(anchored, anchored / "full.json")
    following, whole = read(Path(written.path)).statement, read(Path(full.path)).statement
    assert (following.sequence_no, whole.sequence_no) == (2, 1)
    assert not following.has_all_files
    assert {file.path for file in following.files} <= {file.path for file in whole.files}
    own = {"sequence_no", "previous", "files", "has_all_files"}
    assert following.model_dump(exclude=own) == whole.model_dump(exclude=own)


def test_the_same_log_and_key_give_the_same_anchor(anchored: Path) -> None:
    first, second = (write_anchor(anchored, anchored / f"{name}.json") for name in "ab")
    assert Path(first.path).read_bytes() == Path(second.path).read_bytes()


def test_an_anchor_states_the_digests_that_are_printed(anchored: Path) -> None:
    statement = read(next((anchored / "anchors").glob("*.json"))).statement
    with Lake.open(Project.load(anchored), read_only=True) as lake:
        history = lake.connection.execute("FROM lake.events.finding").pl()
    assert {"state": statement.digests.state, "history": statement.digests.history} == digests(history)
    assert statement.digests.scores is not None


def test_nothing_new_writes_no_anchor(anchored: Path) -> None:
    again = write_anchor(anchored)
    assert (again.is_new, len(list((anchored / "anchors").glob("*.json")))) == (False, 1)


# --- signing ----------------------------------------------------------------------------------------------------------


def test_a_lake_that_lost_rows_is_not_anchored(anchored: Path) -> None:
    delete("score", by("party", "A1"))(anchored)
    with pytest.raises(LogError, match="contradicts its newest anchor and is not anchored: score: 2 rows then, 1 now"):
        write_anchor(anchored)


def test_a_lake_with_altered_rows_is_not_anchored_when_all_is_read_again(anchored: Path) -> None:
    edit("usage", record("u3"), bucket=0)(anchored)
    ingest_more(anchored)
    assert write_anchor(anchored).is_new  # Only what is new was read: the older anchor's digests go on, and do not hold.
    assert any(fault.where == "usage, position 2" for fault in check(anchored).faults)
    with pytest.raises(LogError, match="usage, position 2"):
        write_anchor(anchored, recompute=True)


def test_a_new_key_is_readable_by_its_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    made = make_key(tmp_path / "key")
    assert Path(made.private_key).stat().st_mode & 0o777 == 0o600
    assert read_private_key(tmp_path / "key").fingerprint == made.fingerprint
    assert list(read_public_keys([tmp_path / "key.pub"]).by_fingerprint) == [made.fingerprint]
    with pytest.raises(ConfigError, match="is left alone"):
        make_key(tmp_path / "key")
    (tmp_path / "key.pub").unlink()
    with pytest.raises(ConfigError, match="is left alone"):
        make_key(tmp_path / "key")


def _open_to_all(path: Path) -> None:
    path.chmod(0o644)


def _of_another_kind(path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    pem = generate_private_key(SECP256R1()).private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    path.write_bytes(pem)


def _encrypted(path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as s

    key = s.load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret")))


def _missing(path: Path) -> None:
    path.unlink()


def _garbage(path: Path) -> None:
    path.write_text("-----BEGIN PRIVATE KEY-----\nnone\n")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_open_to_all, r"others than its owner can use the private key \(mode 0644\).*chmod 600"),
        (_of_another_kind, "not of the kind Ed25519"),
        (_encrypted, "is encrypted"),
        (_missing, "cannot be read.*--new-key"),
        (_garbage, "no private key in PEM"),
        (_pipe, "no regular file"),
    ],
)
def test_a_key_that_cannot_be_used_says_why_and_is_never_shown(tmp_path: Path, change: Callable[[Path], None], says: str) -> None:
    make_key(tmp_path / "key")
    secret = (tmp_path / "key").read_text().splitlines()[1]
    change(tmp_path / "key")
    with pytest.raises(ConfigError, match=says) as error:
        read_private_key(tmp_path / "key")
    assert secret not in str(error.value)


def test_a_key_shows_its_fingerprint_and_nothing_else(tmp_path: Path) -> None:
    made = make_key(tmp_path / "key")
    assert repr(read_private_key(tmp_path / "key")) == f"SigningKey({made.fingerprint})"


# --- where anchors go -------------------------------------------------------------------------------------------------


def test_an_anchor_is_never_overwritten(anchored: Path) -> None:
    write_anchor(anchored, anchored / "one.json")
    before = (anchored / "one.json").read_bytes()
    ingest_more(anchored)
    with pytest.raises(TrueupError, match="an anchor is never overwritten"):
        write_anchor(anchored, anchored / "one.json")
    assert (anchored / "one.json").read_bytes() == before


def send(folder: Path, command: str) -> Anchored:
    shutil.rmtree(folder / "anchors", ignore_errors=True)
    return anchor(Project.load(folder), Request(folder / "key", None, command), clock=clock)


def test_a_command_reads_the_anchor_under_its_name_and_no_shell_reads_the_command(
    anchored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(anchored)
    script = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"
    made = send(anchored, f'"{sys.executable}" -c "{script}" {{name}} $(touch shell) ; touch shell')
    assert (anchored / made.name).read_bytes() == Path(made.path).read_bytes()
    assert not (anchored / "shell").exists()


def test_a_command_that_fails_leaves_no_anchor_behind(anchored: Path) -> None:
    for command, says in {
        "false": "ended with status 1",
        "sh -c 'echo refused >&2; exit 3'": "ended with status 3: refused",
        "there-is-no-such-program": "cannot be started",
        "echo 'open": "cannot be split",
        " ": "is empty",
    }.items():
        with pytest.raises(TrueupError, match=says):
            send(anchored, command)
        assert not list(anchored.glob("anchors/*.json"))


def test_a_command_that_does_not_end_is_stopped(anchored: Path) -> None:
    path = anchored / "trueup.toml"
    path.write_text(path.read_text("utf-8") + '[anchor]\ntimeout = "200ms"\n', "utf-8")
    with pytest.raises(TrueupError, match=r"took longer than 0\.2 s"):
        send(anchored, "sh -c 'sleep 600 & wait'")


# --- blocks -----------------------------------------------------------------------------------------------------------


def commits(number: int) -> list[Block]:
    return [Block(1, n % 7, n, f"{n:064x}") for n in range(1, number + 1)]


@given(st.integers(0, 700), st.lists(st.integers(0, 700), max_size=5))
def test_blocks_do_not_depend_on_how_often_they_were_extended(number: int, cuts: list[int]) -> None:
    every, blocks, at = commits(number), list[Block](), 0
    for cut in sorted(c for c in cuts if c <= number):
        blocks, at = extend(blocks, every[at:cut]), cut
    assert extend(blocks, every[at:]) == extend([], every)


def test_many_commits_are_few_blocks() -> None:
    blocks = extend([], commits(5000))
    assert sum(block.commits for block in blocks) == 5000
    assert sum(block.rows for block in blocks) == sum(n % 7 for n in range(1, 5001))
    assert len(blocks) <= 4 * (FAN_OUT - 1)


def test_a_block_covers_exactly_its_commits() -> None:
    every = commits(FAN_OUT)
    whole = block_of(every)
    assert whole is not None
    assert extend([], every) == [whole]
    assert block_of(every[:-1]) is None
    assert block_of([*every[:-1], Block(1, 0, FAN_OUT, "f" * 64)]) != whole


def test_an_anchor_is_small_and_reads_as_it_was_written(anchored: Path) -> None:
    (path,) = (anchored / "anchors").glob("*.json")
    assert path.stat().st_size < 64 << 10
    assert Anchor.parse(path.read_bytes(), where="").to_bytes() == path.read_bytes()
