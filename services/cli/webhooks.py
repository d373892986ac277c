"""`channels webhooks`: the receiving secrets of a connector, changed with an overlap."""

from __future__ import annotations

import datetime as dt
import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click
from sqlalchemy.orm import Session

from shared.adapters.database import create_engine_for, unit_of_work
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose, SecretUse
from shared.management.acting import act_for_connector
from shared.management.rules import rules_enforced
from shared.management.secret_rotation import KnownSecret, add_secret, expire_secret, list_secrets
from shared.management.webhooks import NewSecret
from shared.runtime.keys import key_provider
from shared.runtime.settings import DatabaseSettings, VaultSettings, load, require

_CONNECTOR = click.option("--connector", "connector_id", required=True, help="Id of the connector.")
_EXAMPLES = """
\b
Change a secret without refusing a single webhook:
  channels webhooks secrets add --connector ID        (asks for the new value; both hold from now on)
  … give the new secret to the provider …
  channels webhooks secrets list --connector ID       (wait until only the new one is used)
  channels webhooks secrets expire --connector ID --secret ID/0
"""


@click.group()
def webhooks() -> None:
    """Look after webhooks."""


@webhooks.group(epilog=_EXAMPLES)
def secrets() -> None:
    """Add, expire and list the secrets that prove webhooks. Values are never printed."""


@secrets.command()
@_CONNECTOR
@click.option("--use", type=click.Choice([use.value for use in SecretUse]), default=SecretUse.SIGN.value, show_default=True)
@click.option("--value", envvar="CHANNELS_NEW_SECRET", prompt="New secret", hide_input=True, help="Better left out: it asks.")
@click.option("--not-before", type=click.DateTime(), help="UTC; proves nothing earlier.")
@click.option("--not-after", type=click.DateTime(), help="UTC; proves nothing later.")
def add(connector_id: str, use: str, value: str, not_before: dt.datetime | None, not_after: dt.datetime | None) -> None:
    """One more secret, beside those that are there. The value: typed, or in CHANNELS_NEW_SECRET."""
    new = NewSecret(use=SecretUse(use), value=value, not_before_ms=_ms(not_before), not_after_ms=_ms(not_after))
    with _session(connector_id) as session:
        secret_id = add_secret(session, _vault(), connector_id, new, actor=_actor())
        session.commit()
    click.echo(f"added {secret_id}")


@secrets.command()
@_CONNECTOR
@click.option("--secret", "secret_id", required=True, help="Id, as `list` shows it.")
@click.option("--at", type=click.DateTime(), help="UTC; default: now.")
def expire(connector_id: str, secret_id: str, at: dt.datetime | None) -> None:
    """From a time on, the secret proves nothing; another one must be there that does."""
    at_ms = _ms(at or dt.datetime.now(dt.UTC).replace(tzinfo=None)) or 0
    with _session(connector_id) as session:
        expire_secret(session, _vault(), connector_id, secret_id, at_ms, actor=_actor())
        session.commit()
    click.echo(f"{secret_id} holds until {_told(at_ms)}")


@secrets.command("list")
@_CONNECTOR
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(connector_id: str, as_json: bool) -> None:
    """Each secret with its times, and when it last proved a webhook (a few seconds late)."""
    with _session(connector_id) as session:
        found = list_secrets(session, _vault(), connector_id, actor=_actor())
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2, default=str))
        return
    for one in found:
        click.echo(_line(one))
    if not found:
        click.echo("none")


def _line(one: KnownSecret) -> str:
    used = one.last_used_at.strftime("%Y-%m-%d %H:%M:%S") if one.last_used_at else "never"
    used = "not noted" if one.use is SecretUse.HANDSHAKE else used  # a handshake leaves no record
    times = f"{_told(one.not_before_ms)} .. {_told(one.not_after_ms)}"
    return f"{one.id}  {one.use.value:<9}  {one.state:<7}  {times}  last used {used}  ({', '.join(one.webhooks)})"


def _told(at_ms: int | None) -> str:
    return "always" if at_ms is None else dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _ms(at: dt.datetime | None) -> int | None:
    return None if at is None else int(at.replace(tzinfo=dt.UTC).timestamp() * 1000)


@contextmanager
def _session(connector_id: str) -> Iterator[Session]:
    """For the tenant of the connector; raises NotFound."""
    url = require(load(DatabaseSettings).database_api_url, "CHANNELS_DATABASE_API_URL")
    engine = create_engine_for(url, application_name="channels-webhooks")
    try:
        with rules_enforced(), unit_of_work(engine) as session:
            act_for_connector(session, connector_id)
            yield session
    finally:
        engine.dispose()


def _vault() -> Vault:
    return Vault(key_provider(load(VaultSettings), tuple(KeyPurpose)))


def _actor() -> str:
    return f"cli:{getpass.getuser()}"
