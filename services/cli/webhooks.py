"""`channels webhooks`: which classes of events a connector takes, and where its provider posts them."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.addresses import EdgeSettings
from services.cli.groups import Group
from services.cli.managing import CONNECTOR, acting, actor, done, every, for_tenant, listing, show, show_one, showing, vault
from services.cli.printing import print_fields, print_json
from services.cli.values import secret_from, secret_of
from services.cli.webhook_secrets import secrets
from shared.adapters.tables import ChannelWebhook
from shared.domain.enums import SecretUse, WebhookEvent, WebhookStatus
from shared.management.lists import AccountFilter, list_accounts, list_parts
from shared.management.removal import delete_webhook
from shared.management.webhooks import NewSecret, NewWebhook, create_webhook, receiving_url, update_webhook
from shared.runtime.settings import load

_EVENTS = click.Choice([event.value for event in WebhookEvent])
_ID = "0198c0de-0000-7000-8000-000000000001"
_CREATING = (
    "channels webhooks create --connector Meta --value-env META_APP_SECRET      # all five classes, one secret",
    "channels webhooks create --connector Meta --evento message_in --disabled",
)


@click.group(
    cls=Group, examples=("channels webhooks url --connector Meta", "channels webhooks list --connector Meta", *_CREATING)
)
def webhooks() -> None:
    """Addresses, event classes and secrets of webhooks."""


webhooks.add_command(secrets)


@webhooks.command("list", examples=("channels webhooks list --connector Meta",))
@CONNECTOR
@listing
def list_(tenant: str, connector: str, limit: int | None, as_json: bool) -> None:
    """One row per class of events, without secrets."""
    with acting(tenant) as work:
        found = work.connector(connector)
        rows = every(lambda asked: list_parts(work.session, work.tenant, ChannelWebhook, found.id, asked), limit)
    show(rows, ("id", "evento", "status", "has_secret", "ultimo_evento_em", "url"), as_json=as_json)


@webhooks.command("show", examples=(f"channels webhooks show {_ID}",))
@click.argument("webhook_id")
@showing
def show_(tenant: str, webhook_id: str, as_json: bool) -> None:
    """One class of events."""
    with acting(tenant) as work:
        row = work.part(ChannelWebhook, webhook_id)
    show_one(row, as_json=as_json)


@webhooks.command(examples=("channels webhooks url --connector Meta", "channels webhooks url --connector Meta --json"))
@CONNECTOR
@showing
def url(tenant: str, connector: str, as_json: bool) -> None:
    """Print the address to give to the provider, and those of single accounts.

    It begins with CHANNELS_PUBLIC_URL, else with this machine's edge. One address serves all accounts and classes of events;
    an account's own is for providers that want one each.
    """
    address = load(EdgeSettings).address
    with acting(tenant) as work:
        found = work.connector(connector)
        wanted = AccountFilter(connector_id=found.id)
        accounts = every(lambda asked: list_accounts(work.session, work.tenant, wanted, asked))
    by_account = {row.identidade: row.webhook_url or receiving_url(address, found.id, row.id) for row in accounts}
    if as_json:
        print_json({"connector_id": found.id, "url": receiving_url(address, found.id), "accounts": by_account})
    else:
        print_fields({"connector": receiving_url(address, found.id), **by_account})


@webhooks.command(examples=_CREATING)
@CONNECTOR
@click.option("--evento", "events", type=_EVENTS, multiple=True, help="Repeated; left out: each class that has no row yet.")
@click.option("--use", type=click.Choice([use.value for use in SecretUse]), default=SecretUse.SIGN.value, show_default=True)
@secret_from
@click.option("--url", "address", help="Where the provider posts to. [default: the connector's address at the edge]")
@click.option("--disabled", is_flag=True, help="Take nothing in yet; needs no secret.")
@showing
def create(
    tenant: str,
    connector: str,
    events: tuple[str, ...],
    use: str,
    value_file: Path | None,
    value_env: str | None,
    address: str | None,
    disabled: bool,
    as_json: bool,
) -> None:
    """Take classes of events in. The secret: a file, a variable, CHANNELS_NEW_SECRET, typed, or piped in.

    A provider that also proves its set-up call needs a second secret: `channels webhooks secrets add --use handshake`.
    """
    with acting(tenant) as work:
        found = work.connector(connector)  # before the question, which might be in vain
        rows = every(lambda asked: list_parts(work.session, work.tenant, ChannelWebhook, found.id, asked))
        known = {row.evento for row in rows}
    wanted = [WebhookEvent(event) for event in events] or [event for event in WebhookEvent if event not in known]
    if not wanted:
        raise click.UsageError("every class of events has a row; see `channels webhooks activate` and `secrets add`")
    given: list[NewSecret] = []
    if not disabled or value_file is not None or value_env is not None:
        value = secret_of(value_file, value_env, "CHANNELS_NEW_SECRET", "Secret")
        given = [NewSecret(use=SecretUse(use), value=value)]
    status = WebhookStatus.DISABLED if disabled else WebhookStatus.ACTIVE
    address = address or receiving_url(load(EdgeSettings).address, found.id)
    with acting(tenant, change=True) as work:
        sealer, parent = vault(), work.connector(found.id, change=True)
        new = [NewWebhook(evento=event, url=address, secrets=given, status=status) for event in wanted]
        rows = [create_webhook(work.session, sealer, parent.id, one, actor=actor()) for one in new]
    show(rows, ("id", "evento", "status", "url"), as_json=as_json)


@webhooks.command(examples=(f"channels webhooks activate {_ID}",))
@click.argument("webhook_id")
@showing
def activate(tenant: str, webhook_id: str, as_json: bool) -> None:
    """Take this class of events in; it needs a secret."""
    _change(tenant, webhook_id, as_json, status=WebhookStatus.ACTIVE)


@webhooks.command(examples=(f"channels webhooks deactivate {_ID}",))
@click.argument("webhook_id")
@showing
def deactivate(tenant: str, webhook_id: str, as_json: bool) -> None:
    """Count this class of events as rejected from now on; the provider is answered as before."""
    _change(tenant, webhook_id, as_json, status=WebhookStatus.DISABLED)


@webhooks.command(examples=(f"channels webhooks update {_ID} --url https://edge.example.org/webhooks/one",))
@click.argument("webhook_id")
@click.option("--url", "address", required=True, help="Where the provider posts to.")
@showing
def update(tenant: str, webhook_id: str, address: str, as_json: bool) -> None:
    """Change the address."""
    _change(tenant, webhook_id, as_json, address=address)


@webhooks.command(examples=(f"channels webhooks delete {_ID}",))
@click.argument("webhook_id")
@for_tenant
def delete(tenant: str, webhook_id: str) -> None:
    """Take a class of events away, with its secrets."""
    with acting(tenant, change=True) as work:
        row = work.part(ChannelWebhook, webhook_id, change=True)
        delete_webhook(work.session, row.id, actor=actor())
    click.echo(f"deleted {row.id}")


def _change(
    tenant: str, webhook_id: str, as_json: bool, *, address: str | None = None, status: WebhookStatus | None = None
) -> None:
    with acting(tenant, change=True) as work:
        row = work.part(ChannelWebhook, webhook_id, change=True)
        row = update_webhook(work.session, row.id, url=address, status=status, actor=actor())
    done(row, f"{row.id} ({row.evento}) is {row.status}, at {row.url}", as_json=as_json)
