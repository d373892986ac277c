"""docs/CLI.md: every command with its options and examples, out of the commands themselves.

`make cli` (`python -m services.cli.reference`) writes it; a test fails when the committed page says something else.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from services.cli.__main__ import COMMANDS, cli
from services.cli.running import MEANINGS

PAGE = Path(__file__).parents[2] / "docs" / "CLI.md"

_HEAD = """# The command line

Written by `make cli` from the commands themselves; do not edit. A test fails when it is stale.

`channels --help`, and `--help` behind every command, tell the same.

## What all commands share

**Settings** are environment variables (`CHANNELS_…`, see [CONFIGURATION.md](CONFIGURATION.md)). On the machine where
`channels up` runs none is needed: addresses and keys are read from `CHANNELS_HOME` (`.channels`).

**Names.** A tenant is given by name or id (`--tenant`, or `CHANNELS_TENANT`), a connector by its `nome` or id, an account by
its `identidade` in any spelling or by id, units and flows by name or id. Tokens, webhooks and fallbacks have ids only. A name
that does not exist is answered with those that do.

**Secrets** are never arguments. `--value-file PATH` (`-`: standard input), `--value-env NAME`, the variable named in the help,
typed unseen at a terminal, or piped in. None is ever printed, neither in clear nor sealed.

**Output.** Tables for people: no colours, columns that align in any script, control characters spelled out. `--json` for
programs: one document on standard output. `list` gives an array, `show` and a change an object, with the fields of the
management API (`schemas/openapi.json`): columns by their names in the database, times in ISO 8601 with their zone, `null`
where there is no value; a token has no value and a webhook has `has_secret`. Fields may be added, none is renamed or taken away
without a major version. `apply --json` and `export --json` are described with their commands. Errors and hints go to standard
error, one line that begins with `channels:`.

**Acting.** Commands that change something go through the same use cases as the API: the same rules, one transaction, an entry in
the audit log as `cli:<user of the machine>`.

## Exit codes

| code | meaning |
|---|---|
"""

_APPLY = """
With `--json` the report is one object:

| field | holds |
|---|---|
| `dry_run` | whether nothing was written |
| `counts` | `create`, `change`, `remove`, `unchanged`: objects |
| `differences` | `action`, `kind` (the table without `channel_`), `id`, `name`, `parent_id`, `fields`: name -> `{old, new}`; JSON members with dots; secrets are `***` |
| `not_in_file` | `kind`, `id`, `name`, `parent_id` of what is in force and not named |
| `tenants`, `connectors` | what stands now, with ids and webhook addresses |
| `notes` | what a person should know |
| `changes` | `action`, `subject_type`, `subject_id`, as in the audit log |

In a dry run the ids that it made up are `null`.
"""  # noqa: E501 - a table's row is one line

_EXPORT = """
With `--json`: `manifest` (what `apply -f` takes), `secrets` (`env` and, in words, what it is to hold) and `notes`.
"""
_MORE = {"channels apply": _APPLY, "channels export": _EXPORT}


def page() -> str:
    """The whole page."""
    codes = "".join(f"| {code.value} | {told} |\n" for code, told in MEANINGS.items())
    context = click.Context(cli, info_name="channels")
    listed = "".join(f"| [`{name}`](#channels-{name}) | {COMMANDS[name][2]} |\n" for name in cli.list_commands(context))
    parts = [_HEAD + codes, f"## Commands\n\n| command | |\n|---|---|\n{listed}"]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None  # noqa: S101 - it was just listed
        parts += _section(command, click.Context(command, info_name=name, parent=context), 2)
    return "\n".join(parts)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command and group, with the words that call it."""
    waiting: list[tuple[click.Context, click.Command]] = [(click.Context(cli, info_name="channels"), cli)]
    while waiting:
        context, command = waiting.pop(0)
        yield context.command_path, command
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None  # noqa: S101 - it was just listed
                waiting.append((click.Context(found, info_name=name, parent=context), found))


def _section(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    path = context.command_path
    lines = [f"{'#' * level} {path}", "", _paragraphs(command.help or "")]
    if not isinstance(command, click.Group):
        lines += ["", "```", " ".join([path, *command.collect_usage_pieces(context)]), "```"]
        lines += _options(command, context)
    examples = getattr(command, "examples", ())
    if examples:
        lines += ["", "```", *examples, "```"]
    if command.epilog:
        lines += ["", _paragraphs(command.epilog)]
    yield "\n".join(lines) + "\n" + _MORE.get(path, "")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None  # noqa: S101 - it was just listed
            yield from _section(found, click.Context(found, info_name=name, parent=context), level + 1)


def _options(command: click.Command, context: click.Context) -> list[str]:
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [record for record in records if record is not None and "--help" not in record[0]]
    if not rows:
        return []
    return ["", "| option | |", "|---|---|", *(f"| `{_cell(names)}` | {_cell(told)} |" for names, told in rows)]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _paragraphs(text: str) -> str:
    return inspect.cleandoc(text).replace("\b\n", "")


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE.name)
