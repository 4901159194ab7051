"""Secrets of the configuration are masked in all output, and nothing else is masked."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import pytest

from trueup import secret
from trueup.config import Project, expand, parse
from trueup.errors import ConfigError, LogError
from trueup.secret import mask, mask_data, remember, remember_url, remember_variable, without_credentials


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start each test without known secrets, and drop those that the test adds."""
    monkeypatch.setattr(secret, "_known", secret._Known({}, {}))


@pytest.mark.parametrize("text", ["%s", "'%s'", '"%s"', "password=%s)", "x%sy"])
def test_a_credential_is_masked_in_every_part_of_a_text(text: str) -> None:
    remember("hunter2-secret")
    assert mask(text % "hunter2-secret") == text % "***"


@pytest.mark.parametrize("quoted", [
    "p@ss'w\\o\"rd", "p@ss''w\\o\"rd", "p@ss\\'w\\\\o\"rd", "p%40ss%27w%5Co%22rd", json.dumps("p@ss'w\\o\"rd")[1:-1],
])  # fmt: skip
def test_a_credential_is_masked_however_a_text_quotes_it(quoted: str) -> None:
    remember("p@ss'w\\o\"rd")
    assert mask(f"at {quoted} failed") == "at *** failed"


def test_an_error_is_made_without_the_secret_and_stays_so_when_it_is_pickled_or_shown_raw() -> None:
    remember("hunter2-secret")
    error = LogError("bad hunter2-secret", where="hunter2-secret", todo="drop hunter2-secret")
    for text in (str(error), repr(error), str(error.args), str(pickle.loads(pickle.dumps(error))), error.where):  # noqa: S301
        assert "hunter2" not in text
    early = LogError("bad later-secret")
    remember("later-secret")
    assert str(early) == "bad ***"


def test_the_value_of_a_variable_is_its_name_in_messages_and_stays_in_results() -> None:
    remember_variable("LANDING", "/srv/landing")
    assert mask("no file matches /srv/landing/msc/*.csv") == "no file matches ${LANDING}/msc/*.csv"
    assert mask("/srv/landings and /usr/srv/landing") == "/srv/landings and /usr/srv/landing"
    assert mask_data("/srv/landing/a.csv") == "/srv/landing/a.csv"


def test_a_value_too_short_to_differ_from_words_is_not_masked() -> None:
    remember("trip")
    remember_variable("WHERE", "data")
    assert mask("a trip to the data") == "a trip to the data"


@dataclass
class Row:
    text: str
    number: int


def test_a_result_is_masked_text_by_text_and_keeps_its_numbers() -> None:
    remember("12345678")
    assert mask_data([{"a 12345678": "x12345678", "b": 12345678}, Row("12345678", 1)]) == [
        {"a ***": "x***", "b": 12345678},
        {"text": "***", "number": 1},
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sqlite:lake/catalog.sqlite", "sqlite:lake/catalog.sqlite"),
        ("postgres:host=h password=hunter2-secret", "postgres:***"),
        ("postgresql://u:hunter2-secret@h/d", "postgresql:***"),
        ("s3://key:hunter2-secret@bucket/lake", "s3://bucket/lake (***)"),
        ("s3://bucket/lake?s3_secret_access_key=hunter2-secret", "s3://bucket/lake (***)"),
        ("s3://bucket/lake", "s3://bucket/lake"),
    ],
)
def test_a_place_is_shown_without_its_credentials(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
    config = parse(f'[lake]\ncatalog = "{text}"\ndata = "{text}"')
    for rendered in (repr(config), str(config), config.model_dump_json(), str(config.lake.catalog)):
        assert "hunter2" not in rendered
    assert config.lake.catalog.get_secret_value() == text


def test_the_credentials_of_a_url_are_masked_from_then_on() -> None:
    remember_url("s3://accesskey:p%40ssword@bucket/lake?s3_session_token=abcdefgh")
    assert mask("accesskey p@ssword p%40ssword abcdefgh bucket") == "*** *** *** *** bucket"


def test_a_variable_that_is_not_set_or_not_utf8_is_named_without_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="variable NO_SUCH is not set") as raised:
        expand("postgres:password=hunter2-secret host=${NO_SUCH}")
    assert "hunter2" not in str(raised.value)
    monkeypatch.setenv("BYTES", "caf\udce9")
    with pytest.raises(ConfigError, match="variable BYTES is not UTF-8"):
        expand("${BYTES}/x")


def test_a_project_folder_that_is_not_utf8_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"caf\\xe9"):
        Project(Path("/tmp/caf\udce9"), parse(""))
