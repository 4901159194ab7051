"""Anchors: changes that only an earlier signed statement can show, and changes that are permitted."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewriting import both, delete, edit, edit_and_rehash, with_new_id
from small_project import NOW, clock, reconcile
from tampering import TAMPERINGS, by, record

from trueup.collect import ingest as ingest_module
from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.errors import ConfigError, LogError, TrueupError
from trueup.log.lake import Lake
from trueup.proof.anchors.blocks import FAN_OUT, Block, block_of, extend
from trueup.proof.anchors.check import AnchorCheck, check_anchors
from trueup.proof.anchors.head import hash_file
from trueup.proof.anchors.keys import make_key, read_private_key, read_public_keys
from trueup.proof.anchors.make import AnchorResult, Request, anchor
from trueup.proof.anchors.statement import Anchor, AnchorError, read
from trueup.proof.verify import verify
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
    """Return a copy of the small project with one anchor."""
    return Path(shutil.copytree(_anchored, tmp_path / "project"))


def write_anchor(folder: Path, to: Path | None = None, *, key: str = "key", recompute: bool = False) -> AnchorResult:
    return anchor(Project.load(folder), Request(folder / key, to, None, recompute), clock=clock)


def check(folder: Path, *paths: Path, key: Path | None = None) -> AnchorCheck:
    keys = read_public_keys([key or folder / "key.pub"])
    expected = list(paths) or [folder / "anchors"]
    with Lake.open(Project.load(folder), read_only=True) as lake:
        return check_anchors(lake, expected, keys)


def ingest_more(folder: Path, name: str = "msc-3.csv", text: str = MORE) -> None:
    (folder / "landing" / name).write_text(text, "utf-8")
    assert not ingest(Project.load(folder), clock=clock).errors


def fault_places(checked: AnchorCheck) -> list[str]:
    return [fault.where for fault in checked.faults]


def edit_catalog(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "lake/catalog.sqlite")) as catalog, catalog:
        for statement in statements:
            catalog.execute(statement)


# --- detected changes -------------------------------------------------------------------------------------------------

# Changes of different tables do not hide each other: several are applied at once, and each must be named.
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
    "usage_byte_flipped": ("events/usage/day=", "has other bytes"),
    "finding_file_removed": ("events/finding/", "the data file is missing"),
}


@pytest.mark.parametrize("expected", AT_ONCE)
def test_an_anchor_names_each_of_many_changes(anchored: Path, expected: dict[str, tuple[str, ...]]) -> None:
    for name in expected:
        TAMPERINGS[name].apply(anchored)
    checked = check(anchored)
    for name, texts in expected.items():
        for text in texts:
            assert any(text in f"{fault.where}: {fault.detail}" for fault in checked.faults), (name, text, checked.faults)
    assert checked.agreeing == ()


@pytest.mark.parametrize("name", ALONE)
def test_an_anchor_names_a_change_that_damages_the_log(anchored: Path, name: str) -> None:
    TAMPERINGS[name].apply(anchored)
    checked = check(anchored)
    for text in ALONE[name]:
        assert any(text in f"{fault.where}: {fault.detail}" for fault in checked.faults), (text, checked.faults)


def test_an_anchor_names_a_rewritten_unit_with_a_rehashed_chain(anchored: Path) -> None:
    first = by("path", "landing/msc-1.csv")
    both(
        with_new_id("usage", record("u3"), quantity_micros=1_000_000),
        edit_and_rehash(first, sha256="0" * 64, source_id="msc@" + "0" * 32),
    )(anchored)
    assert {"usage, position 2", "control, position 2", "source msc, control row 1"} <= set(fault_places(check(anchored)))


def test_an_anchor_names_a_removed_end_of_the_log(anchored: Path) -> None:
    with Lake.open(Project.load(anchored), read_only=True) as lake:
        last = lake.last_position()
        snapshot = lake.snapshot_of(last - 1)
    # Remove every trace of the last commits: the catalog lists none of their files.
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


def test_an_anchor_names_the_removed_last_part_of_the_newest_unit(anchored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_module, "PART_RECORDS", 2)
    ingest_more(anchored, text=MORE + "u9,A5,B1,2024-03-02 13:05:00,7,15\nu10,A5,B1,2024-03-02 13:10:00,7,15\n")
    write_anchor(anchored)
    with Lake.open(Project.load(anchored), read_only=True) as lake:
        tick = lake.last_position()
        query = "SELECT event_id FROM lake.events.declaration WHERE snapshot_id = ?"
        ((tick_id,),) = lake.connection.execute(query, [lake.snapshot_of(tick)]).fetchall()
    both(
        delete("usage", record("u10")),
        delete("control", lambda row: row["path"] == "landing/msc-3.csv" and row["part_no"] == 1),
        delete("declaration", by("event_id", tick_id)),
        delete("position", lambda row: row["position"] >= tick - 1),
    )(anchored)
    with Lake.open(Project.load(anchored), read_only=True) as lake:
        verified = verify(lake)
    # The log now equals that of an interrupted ingestion, so only the anchor proves the removal.
    assert verified.sound
    assert any("msc-3.csv" in note and "its last part is not committed" in note for c in verified.checks for note in c.notes)
    assert {f"position {tick}", "source msc, control row 3"} <= set(fault_places(check(anchored)))


def test_an_anchor_names_results_removed_after_the_last_position(anchored: Path) -> None:
    edit_catalog(
        anchored,
        "DELETE FROM ducklake_data_file WHERE begin_snapshot = (SELECT max(snapshot_id) FROM ducklake_snapshot)",
        "DELETE FROM ducklake_snapshot WHERE snapshot_id = (SELECT max(snapshot_id) FROM ducklake_snapshot)",
    )
    faults = check(anchored).faults
    assert any("commits of results were removed" in fault.detail for fault in faults)
    assert any(fault.where.startswith("decision, after position") for fault in faults)


def test_an_anchor_names_rows_added_to_an_old_commit(anchored: Path) -> None:
    TAMPERINGS["event_added_to_a_unit"].apply(anchored)
    TAMPERINGS["finding_added"].apply(anchored)
    assert any("4 rows then, 5 now" in fault.detail for fault in check(anchored).faults)
    assert any(fault.where.startswith("finding, ") for fault in check(anchored).faults)


def test_an_anchor_names_rows_added_to_an_empty_table(anchored: Path) -> None:
    project = Project.load(anchored)
    with Lake.open(project) as lake:
        lake.connection.execute("INSERT INTO lake.events.drift (position, transactions) VALUES (1, 1)")
    assert check(anchored).faults == ()  # A separate commit is newer than the anchor.
    edit_catalog(
        anchored, "UPDATE ducklake_data_file SET begin_snapshot = 3 WHERE path IN (SELECT max(path) FROM ducklake_data_file)"
    )
    (fault,) = check(anchored).faults
    assert (fault.where.split(",")[0], "0 rows then, 1 now" in fault.detail) == ("drift", True)


def test_an_anchor_names_a_lake_rebuilt_from_altered_files_under_the_old_identity(anchored: Path) -> None:
    with closing(sqlite3.connect(anchored / "lake/catalog.sqlite")) as catalog:
        (identity,) = catalog.execute("SELECT schema_uuid FROM ducklake_schema WHERE schema_name = 'events'").fetchone()
    TAMPERINGS["lake_rebuilt_from_altered_files"].apply(anchored)
    (fault,) = check(anchored).faults
    assert "the lake was rebuilt" in fault.detail
    with pytest.raises(LogError, match="are of another lake"):
        write_anchor(anchored)
    edit_catalog(anchored, f"UPDATE ducklake_schema SET schema_uuid = '{identity}' WHERE schema_name = 'events'")
    faults = fault_places(check(anchored))
    assert {"usage, position 2", "control, position 2", "source msc, control row 1"} <= set(faults)


# --- anchors themselves -----------------------------------------------------------------------------------------------


def test_the_check_names_an_altered_anchor(anchored: Path) -> None:
    (path,) = (anchored / "anchors").glob("*.json")
    altered = json.loads(path.read_text("utf-8"))
    altered["statement"]["reconciled_position"] = 3
    path.write_text(json.dumps(altered), "utf-8")
    (fault,) = check(anchored).faults
    assert (fault.where, fault.detail) == (
        path.name,
        "its signature does not match its content: it was changed after it was signed",
    )
    with pytest.raises(AnchorError, match="the previous anchor cannot be trusted"):
        write_anchor(anchored)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"statement": {}, "signature": ""}'])
def test_the_check_names_a_file_that_is_not_an_anchor(anchored: Path, content: bytes) -> None:
    (path,) = (anchored / "anchors").glob("*.json")
    path.write_bytes(content)
    (fault,) = check(anchored).faults
    assert fault.where == path.name
    assert "not an anchor of this version" in fault.detail


def test_the_check_names_an_anchor_of_another_key(anchored: Path) -> None:
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
    unchanged = anchor(Project.load(anchored), Request(to_command="false"), clock=clock)
    assert (unchanged.sequence_no, unchanged.is_new) == (1, False)
    ingest_more(anchored)
    assert anchor(Project.load(anchored), Request(), clock=clock).sequence_no == 2
    keys = read_public_keys([anchored / "key.pub", anchored / "new.pub"])
    with Lake.open(Project.load(anchored), read_only=True) as lake:
        checked = check_anchors(lake, [anchored / "anchors"], keys)
    assert (len(checked.agreeing), checked.faults) == (2, ())


def test_the_check_names_a_lost_anchor_of_a_folder(anchored: Path) -> None:
    for number in (3, 4):
        ingest_more(anchored, f"msc-{number}.csv", MORE.replace("u8", f"u{number}9"))
        write_anchor(anchored)
    first, second, third = sorted((anchored / "anchors").glob("*.json"))
    second.unlink()
    (fault,) = check(anchored).faults
    assert (fault.kind, fault.where) == ("unavailable", third.name)
    assert fault.detail == f"the sequence of anchors lacks number 2, between {first.name} and this one"
    assert check(anchored, first, third).faults == ()  # Anchors named one by one need no complete sequence.


def test_a_change_between_two_anchors_names_the_older_one_as_last_in_agreement(anchored: Path) -> None:
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
    # A row that the older anchor covers was changed after that anchor, so no earlier anchor agrees.
    edit("usage", record("u3"), attributes='{"imei":"99"}')(anchored)
    second_check = check(anchored)
    assert second_check.agreeing == ()
    assert {fault.since for fault in second_check.faults} == {None}


def test_a_newer_anchor_in_agreement_dates_a_change_before_it(anchored: Path) -> None:
    (older,) = (anchored / "anchors").glob("*.json")
    edit("usage", record("u3"), attributes='{"imei":"99"}')(anchored)
    write_anchor(anchored, anchored / "others")
    (newer,) = (anchored / "others").glob("*.json")
    renamed = newer.rename(newer.with_name("late.json"))
    checked = check(anchored, older, renamed)
    assert checked.agreeing == ("late.json",)
    assert all("late.json, which is newer, agrees: the change was made before it" in fault.detail for fault in checked.faults)
    assert {fault.since for fault in checked.faults} == {None}


# --- permitted changes ------------------------------------------------------------------------------------------------


def next_midnight() -> datetime:
    return NOW + timedelta(days=1)


def _add_commits(folder: Path) -> Path:
    ingest_more(folder)
    close(Project.load(folder), "msc", date(2024, 3, 5), clock=next_midnight)
    reconcile(Project.load(folder), next_midnight)
    return folder


def _merge_files(folder: Path) -> Path:
    assert maintain(Project.load(folder), clock=clock).merged
    return folder


def _merge_and_expire(folder: Path) -> Path:
    _merge_files(folder)
    with Lake.open(Project.load(folder)) as lake:
        lake.connection.execute("CALL ducklake_expire_snapshots('lake', older_than => now())")
        lake.connection.execute("CALL ducklake_cleanup_old_files('lake', cleanup_all => true)")
    return folder


def _publish_tables(folder: Path) -> Path:
    publish(Project.load(folder), folder / "leakage.duckdb")
    return folder


def _move_folder(folder: Path) -> Path:
    return folder.rename(folder.with_name("elsewhere"))


@pytest.mark.parametrize("changes", [(_add_commits, _publish_tables, _merge_files), (_merge_and_expire, _move_folder)])
def test_maintenance_leaves_an_anchor_in_agreement(anchored: Path, changes: tuple[Callable[[Path], Path], ...]) -> None:
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


def test_an_anchor_that_continues_another_equals_a_full_one(anchored: Path) -> None:
    _merge_files(_add_commits(anchored))
    written = write_anchor(anchored)
    full = write_anchor(anchored, anchored / "full.json")
    continued, full_statement = read(Path(written.path)).statement, read(Path(full.path)).statement
    assert (continued.sequence_no, full_statement.sequence_no) == (2, 1)
    assert not continued.has_all_files
    assert {file.path for file in continued.files} <= {file.path for file in full_statement.files}
    differing_fields = {"sequence_no", "previous", "files", "has_all_files"}
    assert continued.model_dump(exclude=differing_fields) == full_statement.model_dump(exclude=differing_fields)


def test_a_data_file_that_is_a_named_pipe_is_no_data_file(anchored: Path) -> None:
    with Lake.open(Project.load(anchored), read_only=True) as lake:
        os.mkfifo(anchored / "lake/data/pipe.parquet")
        with pytest.raises(OSError, match="this is a named pipe"):
            hash_file(lake, "pipe.parquet")


def test_the_same_log_and_key_give_the_same_anchor(anchored: Path) -> None:
    first, second = (write_anchor(anchored, anchored / f"{name}.json") for name in "ab")
    assert Path(first.path).read_bytes() == Path(second.path).read_bytes()


def test_an_anchor_states_the_printed_digests(anchored: Path) -> None:
    statement = read(next((anchored / "anchors").glob("*.json"))).statement
    with Lake.open(Project.load(anchored), read_only=True) as lake:
        history = lake.connection.execute("FROM lake.events.finding").pl()
    assert {"state": statement.digests.state, "history": statement.digests.history} == digests(history)
    assert statement.digests.scores is not None


def test_without_new_commits_no_anchor_is_written(anchored: Path) -> None:
    second_check = write_anchor(anchored)
    assert (second_check.is_new, len(list((anchored / "anchors").glob("*.json")))) == (False, 1)


# --- signing ----------------------------------------------------------------------------------------------------------


def test_a_lake_that_lost_rows_is_not_anchored(anchored: Path) -> None:
    delete("score", by("subscriber", "A1"))(anchored)
    with pytest.raises(LogError, match="contradicts its newest anchor and is not anchored: score: 2 rows then, 1 now"):
        write_anchor(anchored)


def test_recompute_refuses_to_anchor_a_lake_with_altered_rows(anchored: Path) -> None:
    edit("usage", record("u3"), bucket=0)(anchored)
    ingest_more(anchored)
    assert write_anchor(anchored).is_new  # Only new rows were read: the wrong digests of the older anchor are copied.
    assert any(fault.where == "usage, position 2" for fault in check(anchored).faults)
    with pytest.raises(LogError, match="usage, position 2"):
        write_anchor(anchored, recompute=True)


def test_a_new_key_is_readable_by_its_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    result = make_key(tmp_path / "keys" / "anchor")
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert Path(result.private_key).stat().st_mode & 0o777 == 0o600
    assert read_private_key(tmp_path / "keys" / "anchor").fingerprint == result.fingerprint
    assert list(read_public_keys([tmp_path / "keys" / "anchor.pub"]).by_fingerprint) == [result.fingerprint]
    with pytest.raises(ConfigError, match="is not replaced"):
        make_key(tmp_path / "keys" / "anchor")
    (tmp_path / "keys" / "anchor.pub").unlink()
    with pytest.raises(ConfigError, match="is not replaced"):
        make_key(tmp_path / "keys" / "anchor")


def _open_to_all(path: Path) -> None:
    path.chmod(0o644)


def _write_other_kind(path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    pem = generate_private_key(SECP256R1()).private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    path.write_bytes(pem)


def _encrypt_key(path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as s

    key = s.load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret")))


def _remove_key(path: Path) -> None:
    path.unlink()


def _write_garbage(path: Path) -> None:
    path.write_text("-----BEGIN PRIVATE KEY-----\nnone\n")


def _replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_open_to_all, r"users other than its owner can use the private key \(mode 0644\).*chmod 600"),
        (_write_other_kind, "not of the kind Ed25519"),
        (_encrypt_key, "is encrypted"),
        (_remove_key, "cannot be read.*--new-key"),
        (_write_garbage, "not a private key in PEM"),
        (_replace_by_pipe, "not a regular file"),
    ],
)
def test_an_unusable_key_is_refused_with_a_reason_and_never_shown(
    tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    make_key(tmp_path / "key")
    secret = (tmp_path / "key").read_text().splitlines()[1]
    change(tmp_path / "key")
    with pytest.raises(ConfigError, match=message) as error:
        read_private_key(tmp_path / "key")
    assert secret not in str(error.value)


def test_a_key_shows_its_fingerprint_and_nothing_else(tmp_path: Path) -> None:
    result = make_key(tmp_path / "key")
    assert repr(read_private_key(tmp_path / "key")) == f"SigningKey({result.fingerprint})"


# --- destinations -----------------------------------------------------------------------------------------------------


def test_an_anchor_is_never_overwritten(anchored: Path) -> None:
    write_anchor(anchored, anchored / "one.json")
    before = (anchored / "one.json").read_bytes()
    ingest_more(anchored)
    with pytest.raises(TrueupError, match="an anchor is never overwritten"):
        write_anchor(anchored, anchored / "one.json")
    assert (anchored / "one.json").read_bytes() == before


def send(folder: Path, command: str) -> AnchorResult:
    shutil.rmtree(folder / "anchors", ignore_errors=True)
    return anchor(Project.load(folder), Request(folder / "key", None, command), clock=clock)


def test_a_command_receives_the_anchor_and_runs_without_a_shell(anchored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(anchored)
    script = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"
    result = send(anchored, f'"{sys.executable}" -c "{script}" {{name}} $(touch shell) ; touch shell')
    assert (anchored / result.name).read_bytes() == Path(result.path).read_bytes()
    assert not (anchored / "shell").exists()


def test_a_failing_command_leaves_no_anchor(anchored: Path) -> None:
    for command, message in {
        "false": "ended with status 1",
        "sh -c 'echo refused >&2; exit 3'": "ended with status 3: refused",
        "there-is-no-such-program": "cannot be started",
        "echo 'open": "cannot be split",
        " ": "is empty",
    }.items():
        with pytest.raises(TrueupError, match=message):
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
    all_commits, blocks, at = commits(number), list[Block](), 0
    for cut in sorted(c for c in cuts if c <= number):
        blocks, at = extend(blocks, all_commits[at:cut]), cut
    assert extend(blocks, all_commits[at:]) == extend([], all_commits)


def test_many_commits_fold_into_few_blocks() -> None:
    blocks = extend([], commits(5000))
    assert sum(block.commits for block in blocks) == 5000
    assert sum(block.rows for block in blocks) == sum(n % 7 for n in range(1, 5001))
    assert len(blocks) <= 4 * (FAN_OUT - 1)


def test_a_block_covers_exactly_its_commits() -> None:
    all_commits = commits(FAN_OUT)
    full_statement = block_of(all_commits)
    assert full_statement is not None
    assert extend([], all_commits) == [full_statement]
    assert block_of(all_commits[:-1]) is None
    assert block_of([*all_commits[:-1], Block(1, 0, FAN_OUT, "f" * 64)]) != full_statement


def test_an_anchor_is_small_and_survives_a_round_trip(anchored: Path) -> None:
    (path,) = (anchored / "anchors").glob("*.json")
    assert path.stat().st_size < 64 << 10
    assert Anchor.parse(path.read_bytes(), where="").to_bytes() == path.read_bytes()
