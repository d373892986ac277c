"""Values on a command line: settings as `name=text` or `name:=json`, files, times; and secrets, which never stand there."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import yaml

from shared.domain.errors import InvalidInput
from shared.management.lifting import refuse_secrets

Command = TypeVar("Command", bound=Callable[..., Any])

_MOST_BYTES = 1_048_576
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True)


class Moment(click.ParamType):
    """A time; without a zone it is UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        """With its zone."""
        if isinstance(value, dt.datetime):
            return value
        try:
            moment = dt.datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value[:40]!r} is no time; such as 2030-01-31 or 2030-01-31T12:00:00-03:00", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def configured(command: Command) -> Command:
    """The options that give a `config`."""
    each = click.option(
        "--config", "settings", multiple=True, metavar="NAME=TEXT", help="One setting, NAME:=JSON for other than text; repeated."
    )
    whole = click.option("--config-file", type=_FILE, help="All settings, as YAML or JSON; `-`: standard input.")
    return each(whole(command))


def noted(command: Command) -> Command:
    """The option that gives `metadata`."""
    told = "What is to be noted, NAME:=JSON for other than text; repeated."
    return click.option("--metadata", "notes", multiple=True, metavar="NAME=TEXT", help=told)(command)


def config_of(settings: Sequence[str], config_file: Path | None, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The whole config: from the file, else what is known, with the single settings over it.

    A credential may come by file (it is moved to a token), not on the command line, where others can read it.
    """
    config = dict(known or {}) if config_file is None else document_of(config_file)
    given = members_of(settings, "--config")
    try:
        refuse_secrets(given, "")
    except InvalidInput as error:
        name = error.pointer.strip("/").partition("/")[0]
        raise click.UsageError(f"{name} looks like a credential: `channels tokens add` takes it, or --config-file") from None
    return {**config, **given}


def members_of(given: Sequence[str], option: str) -> dict[str, Any]:
    """`name=text` and `name:=json` as one object."""
    found: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name.strip(":"):
            raise click.UsageError(f"{option} takes NAME=TEXT or NAME:=JSON")  # without the text: it may be a secret
        try:
            found[name.removesuffix(":")] = yaml.safe_load(value) if name.endswith(":") else value
        except yaml.YAMLError:
            raise click.UsageError(f"{option} {name}= is not JSON") from None
    return found


def document_of(path: Path) -> dict[str, Any]:
    """One YAML or JSON object of a file."""
    text = _text(path)
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise InvalidInput(f"{path} is neither YAML nor JSON") from None  # no cause: it quotes the text
    if not isinstance(found, dict):
        raise InvalidInput(f"{path} must hold an object of names and values")
    return found


def secret_from(command: Command) -> Command:
    """The options that say where a secret is; no option takes the secret itself."""
    by_file = click.option("--value-file", type=_FILE, help="The file that holds it; `-`: standard input.")
    by_name = click.option("--value-env", metavar="NAME", help="The environment variable that holds it.")
    return by_file(by_name(command))


def secret_of(value_file: Path | None, value_env: str | None, default_env: str, told: str) -> str:
    """The secret: from the file, the variable, the usual variable, else typed unseen, or piped in."""
    if value_file is not None and value_env is not None:
        raise click.UsageError("give one of --value-file and --value-env")
    if value_file is not None:
        secret = _text(value_file)
    elif value_env is not None:
        secret = os.environ.get(value_env, "")  # what the caller points to, no setting
        if not secret:
            raise InvalidInput(f"environment variable {value_env} is not set", reason="secret_unavailable")
    elif default_env in os.environ:
        secret = os.environ[default_env]
    elif sys.stdin.isatty():
        secret = click.prompt(told, hide_input=True)
    else:
        secret = click.get_text_stream("stdin").read(_MOST_BYTES)
    secret = secret.removesuffix("\n").removesuffix("\r")
    if not secret.strip():
        raise InvalidInput(f"no value: give --value-file, --value-env or {default_env}", reason="secret_unavailable")
    return secret


def _text(path: Path) -> str:
    try:
        if str(path) == "-":
            return str(click.get_text_stream("stdin").read(_MOST_BYTES))
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError):
        raise InvalidInput(f"{path} cannot be read as UTF-8 text") from None
