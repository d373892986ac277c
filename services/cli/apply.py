"""`channels apply`: create and update connectors, accounts, webhooks and secrets from a file."""

from __future__ import annotations

import os
from pathlib import Path

import click

from services.cli.addresses import EdgeSettings
from services.cli.differences import as_data, told
from services.cli.groups import Command
from services.cli.managing import actor, working
from services.cli.printing import print_json
from services.cli.running import ExitCode
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.domain.errors import InvalidInput
from shared.management.manifest_apply import apply_text
from shared.management.manifest_check import SecretSources
from shared.management.manifest_pass import Applier
from shared.runtime.keys import key_provider
from shared.runtime.settings import VaultSettings, load

_EXAMPLES = (
    "channels apply -f channels.yaml --dry-run",
    "META_TOKEN=… META_APP_SECRET=… channels apply -f channels.yaml",
    "channels apply -f channels.yaml --dry-run --exit-code    # 3: the installation is not as the file says",
    "channels export --tenant Acme | channels apply -f -      # changes nothing",
)


@click.command(cls=Command, examples=_EXAMPLES)
@click.option(
    "-f",
    "--file",
    "path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    required=True,
    help="The manifest; `-`: standard input.",
)
@click.option("--dry-run", is_flag=True, help="Tell what would change, and write nothing.")
@click.option("--exit-code", is_flag=True, help="With --dry-run: end with 3 if there is something to change.")
@click.option("--prune", is_flag=True, help="Take out of force what the file does not name: nothing is deleted but fallbacks.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def apply(path: Path, dry_run: bool, exit_code: bool, prune: bool, as_json: bool) -> None:
    """Bring connectors, accounts and webhooks to what a file says. All or nothing; a second run changes nothing.

    The form of the file: docs/CONFIGURATION.md. Secrets are never printed. With --prune connectors of the file's tenants that
    it does not name are archived; accounts are turned off, webhooks disabled, tokens revoked, fallbacks deleted.
    """
    if exit_code and not dry_run:
        raise click.UsageError("--exit-code goes with --dry-run")
    text, name, directory = _read(path)
    applier = Applier(
        vault=Vault(key_provider(load(VaultSettings), tuple(KeyPurpose))),
        sources=SecretSources(environ=os.environ, directory=directory),  # what the file itself refers to, not settings
        public_url=load(EdgeSettings).address,
        actor=actor(),
    )
    with working("channels-apply") as session:
        report = apply_text(session, text, applier, name=name, prune=prune)
        if not dry_run:
            session.commit()
    if as_json:
        print_json(as_data(report, dry_run=dry_run))
    else:
        click.echo(told(report, dry_run=dry_run))
    if exit_code and report.differences:
        raise click.exceptions.Exit(ExitCode.PENDING)


def _read(path: Path) -> tuple[str, str, Path]:
    if str(path) == "-":
        return click.get_text_stream("stdin", encoding="utf-8").read(), "standard input", Path()
    try:
        return path.read_text(encoding="utf-8"), str(path), path.parent
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} is not UTF-8 text") from None
