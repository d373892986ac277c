"""How a command line ends: one clear line, and an exit code that scripts can rely on."""

from __future__ import annotations

import click
import pytest

from services.cli.__main__ import cli
from services.cli.running import MEANINGS, ExitCode, run
from shared.domain.errors import ConfigError, Conflict, InvalidInput, KeyRefused, NotFound, Unavailable


class _Driver(Exception):
    sqlstate = "42P01"


class _Refusal(Exception):
    orig = _Driver('relation "channel_connector" does not exist\nLINE 1: SELECT …')


def ended(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    @click.command()
    def command() -> None:
        raise error

    code = run(command, [])
    out, err = capsys.readouterr()
    assert out == ""
    return code, err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput("a rule"), ExitCode.REFUSED),
        (NotFound("a rule"), ExitCode.REFUSED),
        (Conflict("a rule"), ExitCode.REFUSED),
        (Unavailable("a rule"), ExitCode.UNAVAILABLE),
        (KeyRefused("a rule", reason="disabled"), ExitCode.UNAVAILABLE),
        (ConfigError("a rule"), ExitCode.WRONG_USE),
        (click.UsageError("a rule"), ExitCode.WRONG_USE),
    ],
)
def test_an_expected_end_is_one_line(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(error, capsys)[0] == code
    line = ended(error, capsys)[1]
    assert line.startswith("channels: a rule")
    assert line.count("\n") == 1


def test_ctrl_c_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code, err = ended(KeyboardInterrupt(), capsys)
    assert (code, err.strip()) == (130, "")


def test_a_database_of_another_release_is_told_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    code, err = ended(_Refusal(), capsys)
    assert code == ExitCode.WRONG_USE
    assert 'relation "channel_connector" does not exist' in err
    assert "`channels database migrate`" in err
    assert "LINE 1" not in err


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    @click.command()
    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(command, [])


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["conectors"], "no command 'conectors'; did you mean 'connectors'?"),
        (["tokens", "ad"], "no command 'ad'; did you mean 'add'?"),
        (["tokens", "zzz"], "no command 'zzz'; there are add, list, renew, renewals, revoke, show, update"),
        (["tokens", "list", "--jsn"], "No such option: --jsn"),
        (["connectors", "status", "Meta", "actve"], "'actve' is not one of"),
    ],
)
def test_wrong_use_names_what_there_is(
    arguments: list[str], wanted: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHANNELS_TENANT", "Acme")
    assert run(cli, arguments) == ExitCode.WRONG_USE
    out, err = capsys.readouterr()
    assert (out, wanted in err, "--help` tells more" in err) == ("", True, True), err


def test_help_and_every_code_has_a_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["--help"]) == ExitCode.DONE
    assert "Commands:" in capsys.readouterr().out
    assert set(MEANINGS) == set(ExitCode)
    assert run(cli, ["tokens"]) == ExitCode.WRONG_USE  # the help, on standard error
    assert "Commands:" in capsys.readouterr().err
