"""`channels connectors`: create, change, move between states, delete and list; what is known of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from services.cli.groups import Group
from services.cli.managing import acting, actor, done, every, for_tenant, listing, show, show_one, showing, vault
from services.cli.printing import print_json
from services.cli.values import Moment, config_of, configured
from shared.domain.enums import ConnectorStatus, ConnectorType, HealthStatus, UsageType
from shared.management.connectors import NewConnector, archive_connector, change_status, create_connector, update_connector
from shared.management.lifting import REFERENCES
from shared.management.lists import CheckFilter, ConnectorFilter, UsageFilter, list_checks, list_connectors, list_usage
from shared.management.removal import delete_connector
from shared.providers import provider_of

_COLUMNS = ("id", "tipo", "nome", "status", "ultimo_heartbeat")
_STATES = click.Choice([status.value for status in ConnectorStatus])
_TYPES = click.Choice([tipo.value for tipo in ConnectorType])
_BY_HAND = "changed by hand"


@click.group(cls=Group, examples=("channels connectors list", "channels connectors show Meta"))
def connectors() -> None:
    """Create, change, move and list connectors. CONNECTOR is a name (`nome`) or an id."""


@connectors.command("list", examples=("channels connectors list --status error", "channels connectors list --json"))
@click.option("--tipo", type=_TYPES)
@click.option("--status", type=_STATES)
@click.option("--nome", help="The exact name.")
@listing
def list_(tenant: str, tipo: str | None, status: str | None, nome: str | None, limit: int | None, as_json: bool) -> None:
    """Oldest first."""
    wanted = ConnectorFilter(
        tipo=ConnectorType(tipo) if tipo else None, status=ConnectorStatus(status) if status else None, nome=nome
    )
    with acting(tenant) as work:
        rows = every(lambda asked: list_connectors(work.session, work.tenant, wanted, asked), limit)
    show(rows, _COLUMNS, as_json=as_json)


@connectors.command("show", examples=("channels connectors show Meta", "channels connectors show Meta --json"))
@click.argument("connector")
@showing
def show_(tenant: str, connector: str, as_json: bool) -> None:
    """One connector."""
    with acting(tenant) as work:
        row = work.connector(connector)
    show_one(row, as_json=as_json)


@connectors.command(
    examples=(
        "channels connectors create --tipo whatsapp_official --nome Meta --config waba_id=100000000000000",
        "channels connectors create --tipo email --nome Mail --config-file mail.yaml",
    )
)
@click.option("--tipo", type=_TYPES, required=True)
@click.option("--nome", required=True)
@click.option("--projeto-referencia", help="The provider's own id of the project.")
@configured
@showing
def create(
    tenant: str,
    tipo: str,
    nome: str,
    projeto_referencia: str | None,
    settings: tuple[str, ...],
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Register a connector, pending. `channels connectors schema` tells its settings.

    It becomes active with a token (where its provider needs one) and a check that did not fail.
    """
    config = config_of(settings, config_file)
    with acting(tenant, change=True) as work:
        new = NewConnector(
            tenant_id=work.tenant, tipo=ConnectorType(tipo), nome=nome, config=config, projeto_referencia=projeto_referencia
        )
        row = create_connector(work.session, vault(), new, actor=actor())
    done(row, f"created {row.id}", as_json=as_json)


@connectors.command(
    examples=(
        "channels connectors update Meta --nome 'Meta Brasil'",
        "channels connectors update Meta --config graph_version=v23.0 --unset app_id",
    )
)
@click.argument("connector")
@click.option("--nome")
@click.option("--projeto-referencia")
@click.option("--unset", "unset", multiple=True, metavar="NAME", help="Take one setting away; repeated.")
@configured
@showing
def update(
    tenant: str,
    connector: str,
    nome: str | None,
    projeto_referencia: str | None,
    unset: tuple[str, ...],
    settings: tuple[str, ...],
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Change what is given. --config-file replaces all settings, --config and --unset single ones."""
    changes: dict[str, Any] = {"nome": nome, "projeto_referencia": projeto_referencia}
    changes = {name: value for name, value in changes.items() if value is not None}
    with acting(tenant, change=True) as work:
        row = work.connector(connector, change=True)
        if settings or config_file is not None or unset:
            known = {name: value for name, value in row.config.items() if name != REFERENCES}
            config = config_of(settings, config_file, known)
            changes["config"] = {name: value for name, value in config.items() if name not in unset}
        if not changes:
            raise click.UsageError("nothing to change is given")
        row = update_connector(work.session, vault(), row.id, changes, actor=actor())
    done(row, f"updated {row.id}", as_json=as_json)


@connectors.command(examples=("channels connectors status Meta active", "channels connectors status Meta pending"))
@click.argument("connector")
@click.argument("wanted", type=_STATES)
@for_tenant
def status(tenant: str, connector: str, wanted: str) -> None:
    """Move it to another state; its accounts follow when it leaves `active`, and return with it."""
    with acting(tenant, change=True) as work:
        row = work.connector(connector, change=True)
        change_status(work.session, row.id, ConnectorStatus(wanted), cause=_BY_HAND, actor=actor())
    click.echo(f"{row.id} is {row.status}")


@connectors.command(examples=("channels connectors archive Meta",))
@click.argument("connector")
@for_tenant
def archive(tenant: str, connector: str) -> None:
    """Take it out of use for good; what it carried stays."""
    with acting(tenant, change=True) as work:
        row = archive_connector(work.session, work.connector(connector, change=True).id, actor=actor())
    click.echo(f"{row.id} is {row.status}")


@connectors.command(examples=("channels connectors delete Meta",))
@click.argument("connector")
@for_tenant
def delete(tenant: str, connector: str) -> None:
    """Delete one that never carried anything; archive others."""
    with acting(tenant, change=True) as work:
        row = work.connector(connector, change=True)
        delete_connector(work.session, row.id, actor=actor())
    click.echo(f"deleted {row.id}")


@connectors.command(examples=("channels connectors checks Meta --status failed", "channels connectors checks Meta --limit 5"))
@click.argument("connector")
@click.option("--status", type=click.Choice([one.value for one in HealthStatus]))
@click.option("--since", type=Moment(), help="Such as 2030-01-31 or 2030-01-31T12:00:00-03:00; without a zone UTC.")
@listing
def checks(tenant: str, connector: str, status: str | None, since: Any, limit: int | None, as_json: bool) -> None:
    """Its health checks, newest first."""
    with acting(tenant) as work:
        connector_id = work.connector(connector).id
        wanted = CheckFilter(connector_id=connector_id, status=HealthStatus(status) if status else None, since=since)
        rows = every(lambda asked: list_checks(work.session, work.tenant, wanted, asked), limit)
    show(rows, ("executado_em", "status", "account_id", "duracao_ms", "mensagem"), as_json=as_json)


@connectors.command(examples=("channels connectors usage Meta --from 2030-01-01 --to 2030-01-31",))
@click.argument("connector")
@click.option("--tipo", type=click.Choice([one.value for one in UsageType]))
@click.option("--from", "first_day", type=click.DateTime(["%Y-%m-%d"]), help="First day.")
@click.option("--to", "last_day", type=click.DateTime(["%Y-%m-%d"]), help="Last day.")
@listing
def usage(tenant: str, connector: str, tipo: str | None, first_day: Any, last_day: Any, limit: int | None, as_json: bool) -> None:
    """Volumes per day and type, newest day first; of its accounts, and its own without an account."""
    with acting(tenant) as work:
        wanted = UsageFilter(
            connector_id=work.connector(connector).id,
            tipo=UsageType(tipo) if tipo else None,
            first_day=first_day and first_day.date(),
            last_day=last_day and last_day.date(),
        )
        rows = every(lambda asked: list_usage(work.session, work.tenant, wanted, asked), limit)
    show(rows, ("data", "tipo", "quantidade", "account_id"), as_json=as_json)


@connectors.command(examples=("channels connectors schema whatsapp_official",))
@click.argument("tipo", type=_TYPES)
def schema(tipo: str) -> None:
    """JSON Schema of a type's settings, for connectors and for accounts. Needs no database."""
    print_json(provider_of(ConnectorType(tipo)).settings.schema())
