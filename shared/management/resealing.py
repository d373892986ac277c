"""Use case: new data keys for one tenant, and everything that its columns hold sealed with them.

In three steps, so that nobody waits long however large the tenant is: the new keys are made; the connectors are gone through a
few at a time, each few in a transaction of their own; the old keys are retired once nothing here needs them. Whoever seals in
between already does it with the new keys. Broken off, it is taken up by the next run with the keys that it made.

The old keys go on opening for as long as something that they sealed is kept elsewhere, and are handed out no more from then on.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlalchemy import Engine, false, func, select
from sqlalchemy.orm import Session, undefer

from shared.adapters.database import unit_of_work
from shared.adapters.receiving_secrets import open_segredo, seal_segredo
from shared.adapters.sealing import KeyRing
from shared.adapters.tables import ChannelConnector, ChannelToken, ChannelWebhook, DataKey, IdempotencyKey, Tenant
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.domain.errors import CorruptData, SealBroken
from shared.management.changes import announce_connector, audited, find
from shared.management.data_keys import add_key, wrapped_keys
from shared.management.opened_tokens import reseal_token
from shared.management.repeated_requests import reseal_digest
from shared.management.rules import flush, rules_enforced
from shared.management.tokens import reseal_fingerprint

_HANDED_OUT_FOR = {
    # Dead letters are kept for 30 days, raw records for 8; both hold what this key sealed.
    KeyPurpose.INGEST: dt.timedelta(days=31),
    # Only for whoever has just read a row and looks for its key now.
    KeyPurpose.CREDENTIAL: dt.timedelta(hours=1),
}
_CONNECTORS_AT_ONCE = 25  # locked together: some tenths of a second
_DIGESTS_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Resealed:
    """What was sealed anew so far. `unreadable`: ids of rows that no key opens (their key was erased); they stay as they are.

    `retired_keys` is 0 until all is done.
    """

    connectors: int = 0
    of_connectors: int = 0
    tokens: int = 0
    webhooks: int = 0
    retired_keys: int = 0
    unreadable: tuple[str, ...] = ()


def reseal_tenant(
    engine: Engine, vault: Vault, tenant_id: str, *, actor: str, connectors_at_once: int = _CONNECTORS_AT_ONCE
) -> Iterator[Resealed]:
    """Tells how far it is after each few connectors; what was told stays done. `engine`: of the owner of the tables.

    Each token that is opened for it leaves its row in the audit log. Raises NotFound, KeyRefused, Unavailable.
    """
    with _work(engine) as session:
        old = _make_keys(session, vault, tenant_id, actor=actor)
        session.commit()
        waiting = _connectors_of(session, tenant_id)
    done = Resealed(of_connectors=len(waiting))
    for first in range(0, len(waiting), connectors_at_once):
        some = waiting[first : first + connectors_at_once]
        with _work(engine) as session:
            done = replace(_reseal(session, vault, tenant_id, some, done, actor=actor), connectors=first + len(some))
            session.commit()
        yield done
    _reseal_digests(engine, vault, tenant_id)
    with _work(engine) as session:
        done = _finish(session, vault, tenant_id, frozenset(waiting), old, done, actor=actor)
        session.commit()
    yield done


@contextmanager
def _work(engine: Engine) -> Iterator[Session]:
    with rules_enforced(), unit_of_work(engine) as session:
        yield session


def _make_keys(session: Session, vault: Vault, tenant_id: str, *, actor: str) -> frozenset[str]:
    """One new key for each purpose, unless an earlier run has made it and was broken off. The tenant is locked for a moment.

    Returns the ids of the keys that this run makes needless.
    """
    find(session, Tenant, tenant_id)
    for purpose in KeyPurpose:
        if _in_force(session, tenant_id, purpose):
            _ring(session, vault, tenant_id, purpose).warm()  # a key service that is slow is waited for before anything is locked
    find(session, Tenant, tenant_id, lock=True)
    for purpose in KeyPurpose:
        if len(_in_force(session, tenant_id, purpose)) == 1:
            add_key(session, vault, tenant_id, purpose, actor=actor)
    return frozenset(key.key_id for purpose in KeyPurpose for key in _in_force(session, tenant_id, purpose)[1:])


def _in_force(session: Session, tenant_id: str, purpose: KeyPurpose) -> Sequence[DataKey]:
    """The newest first; there are several while a resealing is under way."""
    wanted = select(DataKey).where(DataKey.tenant_id == tenant_id, DataKey.purpose == purpose.value, DataKey.retired_at.is_(None))
    return session.scalars(wanted.order_by(DataKey.created_at.desc(), DataKey.key_id.desc())).all()


def _ring(session: Session, vault: Vault, tenant_id: str, purpose: KeyPurpose) -> KeyRing:
    return vault.ring(purpose, tenant_id, wrapped_keys(session, tenant_id, purpose))


def _connectors_of(session: Session, tenant_id: str) -> list[str]:
    return list(
        session.scalars(select(ChannelConnector.id).where(ChannelConnector.tenant_id == tenant_id).order_by(ChannelConnector.id))
    )


def _reseal(session: Session, vault: Vault, tenant_id: str, ids: Sequence[str], done: Resealed, *, actor: str) -> Resealed:
    """Some connectors, locked: who seals for one of them has done so, or waits until this is done. The keys are read behind the
    locks, as everybody does: should they be erased meanwhile, nothing is sealed with them any more."""
    connectors = session.scalars(
        select(ChannelConnector).where(ChannelConnector.id.in_(ids)).order_by(ChannelConnector.id).with_for_update(key_share=True)
    ).all()
    rings = {purpose: _ring(session, vault, tenant_id, purpose) for purpose in KeyPurpose}
    unreadable = list(done.unreadable)
    with session.no_autoflush:  # changed rows are sent together, not one before each further statement
        tokens = _reseal_tokens(session, rings[KeyPurpose.CREDENTIAL], tenant_id, ids, unreadable, actor=actor)
    flush(session)
    webhooks = _reseal_webhooks(session, rings[KeyPurpose.INGEST], tenant_id, ids, unreadable, actor=actor)
    for connector in connectors:
        announce_connector(session, connector.id)  # also one without secrets: its bodies are sealed with the new key from now on
    flush(session)
    return replace(done, tokens=done.tokens + tokens, webhooks=done.webhooks + webhooks, unreadable=tuple(unreadable))


def _reseal_tokens(
    session: Session, ring: KeyRing, tenant_id: str, ids: Sequence[str], unreadable: list[str], *, actor: str
) -> int:
    wanted = select(ChannelToken).where(ChannelToken.connector_id.in_(ids)).order_by(ChannelToken.id)
    count = 0
    for token in session.scalars(wanted.options(undefer(ChannelToken.valor_encrypted))).all():
        if ring.seals_now(token.valor_encrypted):
            continue
        try:
            reseal_token(session, ring, tenant_id, token, actor=actor)
            reseal_fingerprint(ring, tenant_id, token)
            count += 1
        except SealBroken:
            unreadable.append(token.id)
    return count


def _reseal_webhooks(
    session: Session, ring: KeyRing, tenant_id: str, ids: Sequence[str], unreadable: list[str], *, actor: str
) -> int:
    wanted = select(ChannelWebhook).where(ChannelWebhook.connector_id.in_(ids), ChannelWebhook.segredo != "")
    count = 0
    for webhook in session.scalars(wanted.order_by(ChannelWebhook.id)).all():
        if ring.seals_now(webhook.segredo or ""):
            continue
        try:
            secrets = open_segredo(ring, tenant_id, webhook.id, webhook.segredo or "")
        except (SealBroken, CorruptData):
            unreadable.append(webhook.id)
            continue
        with audited(session, webhook, "webhook.resealed", tenant_id=tenant_id, actor=actor):
            webhook.segredo = seal_segredo(ring, tenant_id, webhook.id, secrets)
        count += 1
    return count


def _reseal_digests(engine: Engine, vault: Vault, tenant_id: str) -> None:
    """Of repeated requests, which live for a day; those that are at work now are left to the end."""
    more = True
    while more:
        with _work(engine) as session:
            more = _reseal_some_digests(session, vault, tenant_id, limit=_DIGESTS_AT_ONCE) == _DIGESTS_AT_ONCE
            session.commit()


def _reseal_some_digests(session: Session, vault: Vault, tenant_id: str, *, limit: int | None) -> int:
    """How many were sealed anew. What no key opens cannot be told from the others by a statement: it is passed over once."""
    ring = _ring(session, vault, tenant_id, KeyPurpose.CREDENTIAL)
    old = IdempotencyKey.request_digest.not_like(f"{ring.text_header}%") if ring.has_keys else false()
    wanted = select(IdempotencyKey).where(IdempotencyKey.tenant_id == tenant_id, old).order_by(IdempotencyKey.key).limit(limit)
    count = 0
    for request in session.scalars(wanted.with_for_update(skip_locked=True)):
        reseal_digest(ring, request)
        count += ring.seals_now(request.request_digest)
    return count


def _lock_tenant(session: Session, tenant_id: str) -> None:
    """Who registers a connector, or creates under a key, refers to the tenant before he seals: he is waited for, or waits."""
    session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update())


def _finish(
    session: Session, vault: Vault, tenant_id: str, known: frozenset[str], old: frozenset[str], done: Resealed, *, actor: str
) -> Resealed:
    """What came meanwhile, and the end of the old keys; one that a later run is only replacing now is that run's."""
    _lock_tenant(session, tenant_id)
    new = [connector for connector in _connectors_of(session, tenant_id) if connector not in known]
    if new:
        done = _reseal(session, vault, tenant_id, new, done, actor=actor)
    _reseal_some_digests(session, vault, tenant_id, limit=None)
    now = session.scalars(select(func.now())).one()
    retired = [key for purpose in KeyPurpose for key in _in_force(session, tenant_id, purpose) if key.key_id in old]
    for key in retired:
        with audited(session, key, "data_key.retired", tenant_id=tenant_id, actor=actor):
            key.retired_at = now + _HANDED_OUT_FOR[KeyPurpose(key.purpose)]
    total = done.of_connectors + len(new)
    return replace(done, connectors=total, of_connectors=total, retired_keys=len(retired))
