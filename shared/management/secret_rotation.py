"""Use cases: receiving secrets of a connector come and go with an overlap, so that no genuine webhook is ever refused.

A provider has one secret per connector; its webhook rows usually all hold it. A secret is named by the id it has in one row,
and what is done to it is done in every row that holds the same value.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.adapters.receiving_secrets import number_of
from shared.adapters.tables import ChannelConnector, ChannelWebhook, SecretUse
from shared.adapters.vault import Vault
from shared.domain.enums import SecretUse as Use
from shared.domain.errors import Conflict, InvalidInput, NotFound
from shared.management.changes import announce_connector, audited, find, lock_connector
from shared.management.sync_requests import ask_for_sync
from shared.management.webhooks import NewSecret, known_secrets, next_number, seal_secrets
from shared.providers.contract import ReceivingSecret

MAX_SECRETS = 16  # the edge tries each of them

Secrets = tuple[ReceivingSecret, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSecret:
    """What may be told of a secret. `state`: waiting, live, expired; `last_used_at`: of the last webhook that it proved."""

    id: str
    use: Use
    state: str
    not_before_ms: int | None
    not_after_ms: int | None
    last_used_at: dt.datetime | None
    webhooks: tuple[str, ...]


def add_secret(session: Session, vault: Vault, connector_id: str, new: NewSecret, *, actor: str, asking: bool = True) -> str:
    """A further secret in every webhook row of the connector; the others stay as they are. Returns its id in the first row.

    `asking` False: the caller asks sync by itself.

    Raises NotFound, Conflict (`webhook_missing`, `secret_known`, `secrets_too_many`), InvalidInput.
    """
    if new.not_before_ms is not None and new.not_after_ms is not None and new.not_after_ms <= new.not_before_ms:
        raise InvalidInput("a secret cannot end before it begins", reason="secret_times", pointer="/not_after_ms")
    connector = lock_connector(session, connector_id)
    rows = _rows(session, connector)
    if not rows:
        raise Conflict("the connector has no webhook row; register one first", reason="webhook_missing")
    value = new.value.encode()
    added = ReceivingSecret(id="", use=new.use, value=value, not_before_ms=new.not_before_ms, not_after_ms=new.not_after_ms)

    def with_it(webhook_id: str, known: Secrets) -> Secrets:
        if any((one.use, one.value) == (new.use, value) for one in known):
            raise Conflict("the connector has this secret", reason="secret_known")
        if len(known) >= MAX_SECRETS:
            raise Conflict(f"a webhook row holds at most {MAX_SECRETS} secrets; replace its list", reason="secrets_too_many")
        return (*known, replace(added, id=f"{webhook_id}/{next_number(session, webhook_id, known)}"))

    changed = _change(session, vault, connector, rows, with_it, "webhook.secret_added", actor=actor)
    if asking:
        ask_for_sync(session, connector, None, "secrets_changed")
    return changed[0][-1].id


def expire_secret(session: Session, vault: Vault, connector_id: str, secret_id: str, not_after_ms: int, *, actor: str) -> None:
    """The secret proves nothing after that time, in no row. Raises NotFound, Conflict (`secret_last`) without one that stays."""
    connector = lock_connector(session, connector_id)
    rows = _rows(session, connector)
    known = {row.id: known_secrets(session, vault, connector, row, actor=actor) for row in rows}
    named = next((one for secrets in known.values() for one in secrets if one.id == secret_id), None)
    if named is None:
        raise NotFound(f"connector {connector.id} has no secret {secret_id[:80]}")

    last_ms = max(not_after_ms, _now_ms(session))  # a time that has passed ends it now, and now another one must be live

    def ended(_: str, secrets: Secrets) -> Secrets:
        if not any(_same(one, named) for one in secrets):
            return secrets
        if not any(one.use is named.use and not _same(one, named) and _outlives(one, last_ms) for one in secrets):
            raise Conflict("no other secret would be live after it; add the new one first", reason="secret_last")
        return tuple(replace(one, not_after_ms=not_after_ms) if _same(one, named) else one for one in secrets)

    _change(session, vault, connector, rows, ended, "webhook.secret_expired", actor=actor)
    ask_for_sync(session, connector, None, "secrets_changed")


def end_others(
    session: Session, vault: Vault, connector: ChannelConnector, secret_id: str, not_after_ms: int, *, actor: str
) -> None:
    """Every other secret of the same use ends at that time, unless it ends before; the connector is locked.

    Nothing happens if the secret is gone: somebody has changed the list meanwhile.
    """
    rows = _rows(session, connector)
    known = [one for row in rows for one in known_secrets(session, vault, connector, row, actor=actor)]
    kept = next((one for one in known if one.id == secret_id), None)
    if kept is None:
        return

    def ended(_: str, secrets: Secrets) -> Secrets:
        if not any(_same(one, kept) for one in secrets):
            return secrets  # without the new one, this row would be left with none
        return tuple(_ending(one, not_after_ms) if one.use is kept.use and not _same(one, kept) else one for one in secrets)

    _change(session, vault, connector, rows, ended, "webhook.secret_expired", actor=actor)


def _ending(secret: ReceivingSecret, not_after_ms: int) -> ReceivingSecret:
    ends = not_after_ms if secret.not_after_ms is None else min(secret.not_after_ms, not_after_ms)
    return replace(secret, not_after_ms=ends)


def list_secrets(session: Session, vault: Vault, connector_id: str, *, actor: str) -> list[KnownSecret]:
    """Each secret once, without its value, in the order of the rows. Raises NotFound, Unavailable, KeyRefused."""
    return [told for told, _ in _known(session, vault, connector_id, actor=actor)]


def secrets_of_webhook(session: Session, vault: Vault, webhook: ChannelWebhook, *, actor: str) -> list[KnownSecret]:
    """Those of one row, by the ids that they have in it, in its order. Raises as `list_secrets`."""
    found = []
    for told, ids in _known(session, vault, webhook.connector_id, actor=actor):
        found += [(number, replace(told, id=one)) for one in ids if (number := number_of(webhook.id, one)) is not None]
    return [told for _, told in sorted(found, key=lambda pair: pair[0])]


def _known(session: Session, vault: Vault, connector_id: str, *, actor: str) -> list[tuple[KnownSecret, tuple[str, ...]]]:
    # What may be told of each secret, and its ids in all rows that hold it.
    connector = find(session, ChannelConnector, connector_id)
    now_ms = _now_ms(session)
    rows = _rows(session, connector)
    wanted = select(SecretUse).where(SecretUse.webhook_id.in_([row.id for row in rows]))
    used = {(one.webhook_id, one.secret): one.last_used_at for one in session.scalars(wanted)}
    found: dict[tuple[object, ...], list[tuple[ChannelWebhook, ReceivingSecret]]] = {}
    for row in rows:
        for secret in known_secrets(session, vault, connector, row, actor=actor):
            found.setdefault((secret.use, secret.value, secret.not_before_ms, secret.not_after_ms), []).append((row, secret))
    return [(_told(held, used, now_ms), tuple(one.id for _, one in held)) for held in found.values()]


def _told(
    held: list[tuple[ChannelWebhook, ReceivingSecret]], used: dict[tuple[str, int], dt.datetime], now_ms: int
) -> KnownSecret:
    secret = held[0][1]
    times = [used.get((row.id, number_of(row.id, one.id) or 0)) for row, one in held]
    return KnownSecret(
        id=secret.id,
        use=secret.use,
        state=_state(secret, now_ms),
        not_before_ms=secret.not_before_ms,
        not_after_ms=secret.not_after_ms,
        last_used_at=max((time for time in times if time is not None), default=None),
        webhooks=tuple(row.evento.value for row, _ in held),
    )


def _state(secret: ReceivingSecret, now_ms: int) -> str:
    if secret.not_before_ms is not None and now_ms < secret.not_before_ms:
        return "waiting"
    return "live" if secret.not_after_ms is None or now_ms <= secret.not_after_ms else "expired"


def _change(
    session: Session,
    vault: Vault,
    connector: ChannelConnector,
    rows: Sequence[ChannelWebhook],
    change: Callable[[str, Secrets], Secrets],
    action: str,
    *,
    actor: str,
) -> list[Secrets]:
    results = []
    for row in rows:
        known = known_secrets(session, vault, connector, row, actor=actor)
        results.append(change(row.id, known))
        if results[-1] != known:
            with audited(session, row, action, tenant_id=connector.tenant_id, actor=actor):
                seal_secrets(session, vault, connector, row, results[-1], actor=actor)
    announce_connector(session, connector.id)
    return results


def _rows(session: Session, connector: ChannelConnector) -> Sequence[ChannelWebhook]:
    wanted = select(ChannelWebhook).where(ChannelWebhook.connector_id == connector.id).order_by(ChannelWebhook.id)
    return session.scalars(wanted.execution_options(populate_existing=True)).all()


def _same(one: ReceivingSecret, other: ReceivingSecret) -> bool:
    return (one.use, one.value) == (other.use, other.value)


def _outlives(secret: ReceivingSecret, ms: int) -> bool:
    return (secret.not_before_ms is None or secret.not_before_ms <= ms) and (
        secret.not_after_ms is None or secret.not_after_ms > ms
    )


def _now_ms(session: Session) -> int:
    now = session.scalar(select(func.now()))
    assert now is not None  # noqa: S101  a clock always answers
    return int(now.timestamp() * 1000)
