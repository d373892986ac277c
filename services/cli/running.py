"""Runs the command line: every expected end is one clear line on standard error and an exit code that scripts can rely on."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import click

from shared.domain.errors import ChannelsError, ConfigError

_UNDEFINED = "42"  # SQLSTATE class: a table, a column or a right is missing


class ExitCode(IntEnum):
    """What a command ends with (docs/CLI.md)."""

    DONE = 0
    REFUSED = 1
    WRONG_USE = 2
    PENDING = 3
    UNAVAILABLE = 4
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.REFUSED: "refused: a rule, a fault in what was given, something that does not exist; or a check that found faults",
    ExitCode.WRONG_USE: "wrong use of the command, or a wrong or missing setting",
    ExitCode.PENDING: "`apply --dry-run --exit-code`: there is something to change",
    ExitCode.UNAVAILABLE: "Kafka, PostgreSQL or the key service does not answer; time may heal it",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C), or a question was answered with no",
}


def run(command: click.Command, arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code. What nobody expected passes as it is: its traceback is wanted."""
    try:
        ended = command.main(list(arguments), prog_name="channels", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:  # a group without a command: the help, on standard error
        error.show()
        return ExitCode.WRONG_USE
    except click.Abort:
        return ExitCode.INTERRUPTED
    except Exception as error:
        told, code = _end(error)
        if told is None:
            raise
        click.echo(f"channels: {told}", err=True)
        return code
    return ended if isinstance(ended, int) else ExitCode.DONE


def _end(error: Exception) -> tuple[str | None, int]:
    match error:
        case click.ClickException():
            return _of_click(error), error.exit_code
        case ConfigError():
            return str(error), ExitCode.WRONG_USE
        case ChannelsError():
            if _no_answer(error.__cause__):
                return _of_database(error.__cause__)
            if error.retryable and str(error).startswith("Kafka:"):
                mend = "start the embedded stack with `channels up`, or set CHANNELS_KAFKA_BOOTSTRAP"
                return f"no answer from {error}; {mend}", ExitCode.UNAVAILABLE
            return str(error), ExitCode.UNAVAILABLE if error.retryable else ExitCode.REFUSED
        case _:
            return _of_database(error)


def _of_click(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{message} (`{error.ctx.command_path} --help` tells more)"
    return message


def _of_database(error: BaseException | None) -> tuple[str | None, int]:
    """What SQLAlchemy raised, by its names: a command that knows no database must not pay for the import."""
    first = str(getattr(error, "orig", error)).strip().partition("\n")[0]
    if _no_answer(error):
        mend = "start the embedded stack with `channels up`, or set CHANNELS_DATABASE_…_URL"
        return f"no answer from the database ({first}); {mend}", ExitCode.UNAVAILABLE
    if type(error).__module__ == "sqlalchemy.exc" and type(error).__name__ == "ArgumentError":
        return "a CHANNELS_DATABASE_…_URL is no address; such as postgresql://role@host/name", ExitCode.WRONG_USE
    if str(_state(error)).startswith(_UNDEFINED):
        mend = "bring it up to date: `channels database migrate`"
        return f"the database is not as this release expects ({first}); {mend}", ExitCode.WRONG_USE
    return None, ExitCode.WRONG_USE


def _no_answer(error: BaseException | None) -> bool:
    # Raised on our side of the wire: no connection, or none any more.
    return type(error).__name__ == "OperationalError" and _state(error) is None


def _state(error: BaseException | None) -> object:
    return getattr(getattr(error, "orig", error), "sqlstate", None)
