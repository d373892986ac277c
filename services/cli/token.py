"""`channels token`: bearer tokens for the management API of a developer's machine."""

from __future__ import annotations

import getpass
from uuid import UUID

import click

from services.cli.groups import Group
from shared.adapters.development_keys import DEVELOPMENT_ISSUER, DevelopmentKey, development_directory
from shared.domain.errors import ConfigError
from shared.domain.identity import Permission
from shared.runtime.settings import IdentitySettings, StackSettings, load

_TENANT_ID = "0198c0de-0000-7000-8000-000000000001"
_EXAMPLES = (
    f"channels token mint --tenant {_TENANT_ID}",
    f"channels token mint --tenant {_TENANT_ID} --permission channel.read --permission channel.manage",
)


@click.group(cls=Group, examples=_EXAMPLES[:1])
def token() -> None:
    """Mint a bearer token for the API of this machine."""


@token.command(
    examples=_EXAMPLES, epilog="As `Authorization: Bearer …` in calls to http://127.0.0.1:8090/v1/connectors and the like."
)
@click.option("--tenant", "tenant_id", type=click.UUID, required=True, help="Id of the tenant to act for.")
@click.option(
    "--permission",
    "permissions",
    type=click.Choice([permission.value for permission in Permission]),
    multiple=True,
    default=(Permission.READ.value,),
    show_default=True,
    help="May be given several times.",
)
@click.option("--subject", default=None, help="Who acts; it stands in the audit log.  [default: the user of this machine]")
@click.option("--minutes", type=click.IntRange(1, 7 * 24 * 60), default=60, show_default=True, help="How long it holds.")
def mint(tenant_id: UUID, permissions: tuple[str, ...], subject: str | None, minutes: int) -> None:
    """Print a token signed with the local development key, which is made at the first use.

    A service outside development refuses every token of this key.
    """
    stack, settings = load(StackSettings), load(IdentitySettings)
    if stack.environment != "development":
        raise ConfigError(f"CHANNELS_ENVIRONMENT is {stack.environment}: tokens of a local key are for development only")
    claims = {
        "iss": settings.control_issuer or DEVELOPMENT_ISSUER,
        "aud": settings.control_audience,
        "sub": subject or f"cli:{getpass.getuser()}",
        settings.control_tenant_claim: str(tenant_id),
        settings.control_permissions_claim: sorted(set(permissions)),
    }
    click.echo(DevelopmentKey(development_directory(stack.home)).sign(claims, seconds=minutes * 60))
