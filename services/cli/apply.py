"""`channels apply`: create and update connectors, accounts, webhooks and secrets from a file."""

from __future__ import annotations

import getpass
import json
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

from shared.adapters.database import create_engine_for, unit_of_work
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.management.manifest_apply import apply_text
from shared.management.manifest_check import SecretSources
from shared.management.manifest_pass import Applier, Report
from shared.management.rules import rules_enforced
from shared.runtime.keys import key_provider
from shared.runtime.settings import DatabaseSettings, Section, VaultSettings, load, require

_EXAMPLES = """
\b
Examples:
  channels apply -f channels.yaml --dry-run
  META_TOKEN=… META_APP_SECRET=… channels apply -f channels.yaml

The form of the file: docs/CONFIGURATION.md. Secrets are never printed.
"""


class EdgeSettings(Section):
    """Where providers reach the edge: `public_url`, or this machine's ingest port."""

    public_url: str | None = None
    ingest_port: int = 8080

    @property
    def address(self) -> str:
        """Start of every webhook address."""
        return self.public_url or f"http://127.0.0.1:{self.ingest_port}"


@click.command(epilog=_EXAMPLES)
@click.option(
    "-f",
    "--file",
    "path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The manifest.",
)
@click.option("--dry-run", is_flag=True, help="Tell what would change, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def apply(path: Path, dry_run: bool, as_json: bool) -> None:
    """Create connectors, accounts and webhooks from a file. All or nothing; a second run changes nothing."""
    database_url = require(load(DatabaseSettings).database_api_url, "CHANNELS_DATABASE_API_URL")
    applier = Applier(
        vault=Vault(key_provider(load(VaultSettings), tuple(KeyPurpose))),
        sources=SecretSources(environ=os.environ, directory=path.parent),  # what the file itself refers to, not settings
        public_url=load(EdgeSettings).address,
        actor=f"cli:{getpass.getuser()}",
    )
    engine = create_engine_for(database_url, application_name="channels-apply")
    try:
        with rules_enforced(), unit_of_work(engine) as session:
            report = apply_text(session, path.read_text(), applier, name=str(path))
            if not dry_run:
                session.commit()
    finally:
        engine.dispose()
    click.echo(json.dumps(asdict(report), indent=2) if as_json else _told(report, dry_run))


def _told(report: Report, dry_run: bool) -> str:
    told = "would be made (dry run: none was)" if dry_run else "made"
    counted = Counter(change.action for change in report.changes)
    lines = [f"{count:>4} x {action}" for action, count in counted.items()]
    lines.append(f"{counted.total()} change(s) {told}" if counted else "nothing to change: everything is as the file says")
    for connector in report.connectors:
        lines.append(f"\n{connector.nome} ({connector.tipo}, {connector.status})  {connector.id}")
        lines.append(f"  webhook  {connector.webhook_url}")
        lines += [f"  account  {account.identidade} ({account.status})  {account.id}" for account in connector.accounts]
    return "\n".join([*lines, *(f"note: {note}" for note in report.notes)])
