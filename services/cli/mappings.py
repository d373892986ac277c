"""`channels mappings`: which internal id stands for which key of a provider."""

from __future__ import annotations

import click

from services.cli.groups import Command
from services.cli.managing import acting, every, listing, show
from shared.domain.enums import EntityType
from shared.domain.errors import InvalidInput
from shared.management.lists import MappingFilter, list_mappings
from shared.management.naming import is_id

_EXAMPLES = (
    "channels mappings --key phone:5511900000001",
    "channels mappings --id 0198c0de-0000-7000-8000-000000000001",
    "channels mappings --account 5511900000001 --type contact --limit 20",
)


@click.command(cls=Command, examples=_EXAMPLES)
@click.option("--key", "chave_externa", help="The provider's key, such as phone:5511900000001.")
@click.option("--id", "entidade_id", help="The internal id.")
@click.option("--type", "entidade_type", type=click.Choice([each.value for each in EntityType]))
@click.option("--connector", help="Name or id.")
@click.option("--account", help="`identidade` or id.")
@listing
def mappings(
    tenant: str,
    chave_externa: str | None,
    entidade_id: str | None,
    entidade_type: str | None,
    connector: str | None,
    account: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Look up by either side. At least one of --key, --id, --connector and --account must be given."""
    if not (chave_externa or entidade_id or connector or account):
        raise click.UsageError("give --key, --id, --connector or --account")
    if entidade_id is not None and is_id(entidade_id) is None:
        raise InvalidInput(f"--id {entidade_id[:64]!r} is no id")
    with acting(tenant) as work:
        wanted = MappingFilter(
            chave_externa=chave_externa,
            entidade_id=entidade_id,
            entidade_type=EntityType(entidade_type) if entidade_type else None,
            connector_id=work.connector(connector).id if connector else None,
            account_id=work.account(account).id if account else None,
        )
        rows = every(lambda asked: list_mappings(work.session, work.tenant, wanted, asked), limit)
    show(rows, ("entidade_type", "entidade_id", "account_id", "chave_externa"), as_json=as_json)
