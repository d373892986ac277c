"""`channels webhooks secrets`: the receiving secrets of a connector, changed with an overlap."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from pathlib import Path

import click

from services.cli.groups import Group
from services.cli.managing import acting_for_connector, actor, one_connector, vault
from services.cli.printing import print_json, print_table
from services.cli.values import Moment, secret_from, secret_of
from shared.domain.enums import SecretUse
from shared.management.provider_rotation import DEFAULT_OVERLAP_SECONDS, NewRotation, rotate_secret
from shared.management.secret_rotation import KnownSecret, add_secret, expire_secret, list_secrets
from shared.management.webhooks import NewSecret

_ID = "0198c0de-0000-7000-8000-000000000001"
_TURNING = (
    "channels webhooks secrets add --connector Meta       # asks for the new value; both hold from now on",
    "channels webhooks secrets list --connector Meta      # once the provider has it: wait until only the new one is used",
    f"channels webhooks secrets expire --connector Meta --secret {_ID}/0",
)

_ROTATING = "channels webhooks secrets rotate --connector Meta --use handshake --overlap-seconds 3600"


@click.group(cls=Group, examples=_TURNING)
def secrets() -> None:
    """Add, rotate, expire and list the secrets that prove webhooks. Values are never printed."""


@secrets.command(examples=(_TURNING[0], "channels webhooks secrets add --connector Meta --value-env NEW_SECRET"))
@one_connector
@click.option("--use", type=click.Choice([use.value for use in SecretUse]), default=SecretUse.SIGN.value, show_default=True)
@secret_from
@click.option("--not-before", type=Moment(), help="It proves nothing earlier; without a zone UTC.")
@click.option("--not-after", type=Moment(), help="It proves nothing later.")
def add(
    connector: str,
    tenant: str | None,
    use: str,
    value_file: Path | None,
    value_env: str | None,
    not_before: dt.datetime | None,
    not_after: dt.datetime | None,
) -> None:
    """One more secret, beside those that are there. The value: a file, a variable, CHANNELS_NEW_SECRET, typed, or piped in."""
    with acting_for_connector(connector, tenant) as (_, found):
        connector_id = found  # before the question, which might be in vain
    value = secret_of(value_file, value_env, "CHANNELS_NEW_SECRET", "New secret")
    new = NewSecret(use=SecretUse(use), value=value, not_before_ms=_ms(not_before), not_after_ms=_ms(not_after))
    with acting_for_connector(connector_id, tenant) as (session, _):
        secret_id = add_secret(session, vault(), connector_id, new, actor=actor())
        session.commit()
    click.echo(f"added {secret_id}")


@secrets.command(examples=(_TURNING[2], f"{_TURNING[2]} --at 2030-01-31T12:00:00-03:00"))
@one_connector
@click.option("--secret", "secret_id", required=True, help="Id, as `list` shows it.")
@click.option("--at", type=Moment(), help="Without a zone UTC; default: now.")
def expire(connector: str, tenant: str | None, secret_id: str, at: dt.datetime | None) -> None:
    """From a time on, the secret proves nothing; another one must be there that does."""
    at_ms = _ms(at or dt.datetime.now(dt.UTC)) or 0
    with acting_for_connector(connector, tenant) as (session, connector_id):
        expire_secret(session, vault(), connector_id, secret_id, at_ms, actor=actor())
        session.commit()
    click.echo(f"{secret_id} holds until {_told(at_ms)}")


@secrets.command(examples=("channels webhooks secrets rotate --connector Bot", _ROTATING))
@one_connector
@click.option("--use", type=click.Choice([use.value for use in SecretUse]), default=SecretUse.SIGN.value, show_default=True)
@click.option(
    "--overlap-seconds",
    type=click.IntRange(0, 30 * 86_400),
    default=DEFAULT_OVERLAP_SECONDS,
    show_default=True,
    help="How long the old ones hold once the provider has the new one.",
)
@secret_from
def rotate(
    connector: str, tenant: str | None, use: str, overlap_seconds: int, value_file: Path | None, value_env: str | None
) -> None:
    """Replace a secret that we register at the provider: the new one holds at once, sync registers it, then the old ones end.

    Without a value a new one is made. It is never shown: nobody but the provider needs it.
    """
    given = value_file is not None or value_env is not None
    value = secret_of(value_file, value_env, "CHANNELS_NEW_SECRET", "New secret") if given else None
    new = NewRotation(use=SecretUse(use), overlap_seconds=overlap_seconds, value=value)
    with acting_for_connector(connector, tenant) as (session, connector_id):
        secret_id = rotate_secret(session, vault(), connector_id, new, actor=actor())
        session.commit()
    click.echo(f"added {secret_id}; `channels connectors syncs` shows when the provider has it")


@secrets.command("list", examples=("channels webhooks secrets list --connector Meta --json",))
@one_connector
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(connector: str, tenant: str | None, as_json: bool) -> None:
    """Each secret with its times, and when it last proved a webhook (a few seconds late)."""
    with acting_for_connector(connector, tenant) as (session, connector_id):
        found = list_secrets(session, vault(), connector_id, actor=actor())
    if as_json:
        print_json([{**asdict(one), "last_used_at": one.last_used_at and one.last_used_at.isoformat()} for one in found])
    elif found:
        print_table([_line(one) for one in found], ("id", "use", "state", "from", "until", "last used", "classes"))
    else:
        click.echo("none")


def _line(one: KnownSecret) -> dict[str, object]:
    used = one.last_used_at.strftime("%Y-%m-%d %H:%M:%S") if one.last_used_at else "never"
    return {
        "id": one.id,
        "use": one.use.value,
        "state": one.state,
        "from": _told(one.not_before_ms),
        "until": _told(one.not_after_ms),
        "last used": "not noted" if one.use is SecretUse.HANDSHAKE else used,  # a handshake leaves no record
        "classes": ", ".join(one.webhooks),
    }


def _told(at_ms: int | None) -> str:
    return "always" if at_ms is None else dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _ms(at: dt.datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1000)
