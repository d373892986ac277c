"""`channels provider scaffold`: begin a new provider with its folder, its name, and tests that list what remains."""

from __future__ import annotations

import re
from pathlib import Path

import click

from services.cli.groups import Group
from services.cli.provider_files import files_of
from shared.domain.errors import Conflict, InvalidInput

_ROOT = Path(__file__).parents[2]
_TIPO = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_NAMES = "shared/providers/names.py"
_ENUMS = "shared/domain/enums.py"
_TUPLE = re.compile(r"(FOLDERS: tuple\[str, \.\.\.\] = \()(.*?)(\)\n)", re.DOTALL)


@click.group(cls=Group, examples=("channels provider scaffold example_chat",))
def provider() -> None:
    """Begin a new provider."""


@provider.command("scaffold", examples=("channels provider scaffold example_chat",))
@click.argument("tipo")
@click.option("--root", type=click.Path(exists=True, file_okay=False, path_type=Path), default=_ROOT, help="The checkout.")
def scaffold_command(tipo: str, root: Path) -> None:
    """Create shared/providers/TIPO with failing tests that list what remains, and add its name to names.py."""
    for path in scaffold(tipo, root):
        click.echo(f"created    {path}")
    click.echo(f"changed    {_NAMES}")
    click.echo(f"\nWhat remains: make test ARGS='tests/unit/shared/providers/{tipo} tests/contract/providers -k {tipo}'")


def scaffold(tipo: str, root: Path) -> list[str]:
    """Write the files; returns their paths. Raises InvalidInput for a name that is no connector type, Conflict if it exists."""
    if _TIPO.fullmatch(tipo) is None or tipo == "future":
        raise InvalidInput(f"{tipo!r} cannot be a connector type: small letters, digits and single underscores")
    if f' = "{tipo}"\n' not in (root / _ENUMS).read_text():
        raise InvalidInput(f"add {tipo.upper()} to ConnectorType in {_ENUMS} first (and to the database's enum by a migration)")
    files = files_of(tipo)
    if (root / "shared" / "providers" / tipo).exists():
        raise Conflict(f"shared/providers/{tipo} is there already")
    names = root / _NAMES
    changed = _with_name(names.read_text(), tipo)
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    names.write_text(changed)
    return list(files)


def _with_name(text: str, tipo: str) -> str:
    """The module with one more name in its tuple; raises Conflict if it is in it or there is no such tuple."""
    match = _TUPLE.search(text)
    if match is None or f'"{tipo}"' in match[2]:
        raise Conflict(f"{_NAMES} names {tipo} already, or its tuple FOLDERS was moved")
    known = re.findall(r'"(\w+)"', match[2])
    listed = "".join(f'    "{name}",\n' for name in [*known, tipo])
    return f"{text[: match.start()]}{match[1]}\n{listed}{match[3]}{text[match.end() :]}"
