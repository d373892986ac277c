"""`channels export`: the configuration as a file that `channels apply` takes back."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from services.cli.addresses import EdgeSettings
from services.cli.groups import Command
from services.cli.managing import actor, vault, working
from services.cli.printing import print_json
from shared.adapters.database import act_for, create_engine_for, unit_of_work
from shared.adapters.tables import Tenant
from shared.domain.errors import InvalidInput
from shared.management.manifest_export import Exporter, export_tenants
from shared.management.manifest_writing import as_data, as_yaml
from shared.management.naming import require_tenant, tenant_id_of
from shared.management.rules import rules_enforced
from shared.runtime.settings import DatabaseSettings, load, require

_EXAMPLES = (
    "channels export --tenant Acme -o acme.yaml",
    "channels export --all > channels.yaml",
    "channels export --tenant Acme | channels apply -f - --dry-run     # changes nothing",
    "channels export --tenant Acme --json | jq .secrets               # what another installation must be given",
)


@click.command(cls=Command, examples=_EXAMPLES)
@click.option("--tenant", "tenants", multiple=True, envvar="CHANNELS_TENANT", help="Name or id; repeated; or in CHANNELS_TENANT.")
@click.option("--all", "everybody", is_flag=True, help="All tenants (asks the database as CHANNELS_DATABASE_WORKER_URL).")
@click.option("--archived", is_flag=True, help="Archived connectors too.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file instead of standard output.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: manifest, secrets to be supplied, notes.")
def export(tenants: tuple[str, ...], everybody: bool, archived: bool, output: Path | None, as_json: bool) -> None:
    """Write the configuration as a file that `channels apply` takes back.

    Secrets never leave: the file names environment variables in their place, and its head tells which. The installation that it
    came from keeps its own secrets when it takes the file back; another one makes the same configuration of it.
    """
    if not tenants and not everybody:
        raise click.UsageError("give --tenant NAME (or CHANNELS_TENANT), or --all")
    exporter = Exporter(vault=vault(), public_url=load(EdgeSettings).address, actor=actor(), archived=archived)
    with working("channels-export") as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})  # one moment for the whole file
        ids = _all_tenants() if everybody else _named(session, tenants)
        exported = export_tenants(session, ids, exporter)
        session.rollback()
    secrets = [asdict(source) for source in exported.sources.sources]
    if as_json:
        print_json({"manifest": as_data(exported.manifest), "secrets": secrets, "notes": exported.notes})
    elif output is None:
        click.echo(as_yaml(exported), nl=False)
    else:
        _write(output, as_yaml(exported))
        click.echo(f"wrote {output}: {len(ids)} tenant(s); {len(secrets)} secrets are named in it and in no place told")


def _named(session: Session, tenants: Sequence[str]) -> list[str]:
    ids = []
    for given in tenants:
        ids.append(tenant_id_of(session, given))
        act_for(session, ids[-1])
        require_tenant(session, ids[-1])
    return list(dict.fromkeys(ids))


def _all_tenants() -> list[str]:
    # The role of the use cases sees one tenant at a time; only a role that works for all knows which there are.
    engine = create_engine_for(
        require(load(DatabaseSettings).database_worker_url, "CHANNELS_DATABASE_WORKER_URL"),
        pool_size=1,
        application_name="channels-export",
    )
    try:
        with rules_enforced(), unit_of_work(engine) as session:
            return list(session.scalars(select(Tenant.id).order_by(Tenant.id)))
    finally:
        engine.dispose()


def _write(path: Path, text: str) -> None:
    # Whole or not at all: a file that was there is not lost to a full disk.
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            file.write(text)
        os.replace(file.name, path)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}") from error
