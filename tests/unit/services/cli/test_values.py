"""Values on a command line; secrets come by file, variable, pipe or typing, and stand in no message."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path

import click
import pytest

from services.cli.values import Moment, config_of, document_of, members_of, secret_of
from shared.domain.errors import InvalidInput


def test_text_stays_text_and_json_is_said() -> None:
    given = ("id=100000000000000", "on:=true", 'list:=["a"]', "empty=", "a=b=c")
    assert members_of(given, "--config") == {"id": "100000000000000", "on": True, "list": ["a"], "empty": "", "a": "b=c"}


@pytest.mark.parametrize("given", ["canary", "=canary", ":=canary", "a:=[canary"])
def test_a_wrong_member_is_not_repeated(given: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        members_of((given,), "--config")
    assert "canary" not in str(caught.value)


@pytest.mark.req(2)
@pytest.mark.parametrize("given", ["access_token=canary", "note=EAAcanary0000000000000000", "a:={password: canary}"])
def test_a_credential_does_not_belong_on_the_command_line(given: str) -> None:
    with pytest.raises(click.UsageError, match="looks like a credential: `channels tokens add` takes it") as caught:
        config_of((given,), None)
    assert "canary" not in str(caught.value)


def test_single_settings_stand_over_the_file_and_the_file_over_what_is_known(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1\nb: 2\n")
    assert config_of(("b=x",), path, {"c": 3}) == {"a": 1, "b": "x"}
    assert config_of(("b=x",), None, {"c": 3}) == {"b": "x", "c": 3}


@pytest.mark.parametrize("text", ["[canary", "- canary", "canary", "a: 2030-99-99 canary: x"])
def test_a_wrong_file_is_not_repeated(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        document_of(path)
    assert "canary" not in str(caught.value)


def test_a_secret_has_many_ways_in_but_no_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    path.write_text("from-file\r\n")
    assert secret_of(path, None, "USUAL", "Token") == "from-file"
    monkeypatch.setenv("OTHER", "from-variable")
    assert secret_of(None, "OTHER", "USUAL", "Token") == "from-variable"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"from-pipe\n")))
    assert secret_of(None, None, "USUAL", "Token") == "from-pipe"
    monkeypatch.setenv("USUAL", "from-usual")
    assert secret_of(None, None, "USUAL", "Token") == "from-usual"
    with pytest.raises(click.UsageError):
        secret_of(path, "OTHER", "USUAL", "Token")
    for variable in ("MISSING", "EMPTY"):
        monkeypatch.setenv("EMPTY", "")
        with pytest.raises(InvalidInput, match=f"environment variable {variable} is not set"):
            secret_of(None, variable, "USUAL", "Token")
    path.write_text(" \n")
    with pytest.raises(InvalidInput, match="no value"):
        secret_of(path, None, "USUAL", "Token")


def test_a_time_without_a_zone_is_utc() -> None:
    convert = Moment().convert
    assert convert("2030-01-31", None, None) == dt.datetime(2030, 1, 31, tzinfo=dt.UTC)
    assert convert("2030-01-31T12:00:00-03:00", None, None) == dt.datetime(2030, 1, 31, 15, tzinfo=dt.UTC)
    with pytest.raises(click.BadParameter):
        convert("tomorrow", None, None)
