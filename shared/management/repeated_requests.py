"""`Idempotency-Key`: a creation that is sent again gets the answer of the first time and creates nothing.

The key's row is written in the transaction of what it guards: a refused creation leaves none, and a repeat that comes while
the first is at work waits for its end. The digest of the request is sealed, because the request may hold a credential.
"""

from __future__ import annotations

import datetime as dt
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Delete, bindparam, delete, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningInsert

from shared.adapters.pipelined_work import send_later
from shared.adapters.reading import ask_all
from shared.adapters.sealing import Aad, KeyRing
from shared.adapters.tables import IdempotencyKey, Tenant, stored_in
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.domain.errors import InvalidInput, SealBroken
from shared.management.data_keys import ring_for, seal, unseal
from shared.management.rules import rules_enforced

KEPT = dt.timedelta(hours=24)
_KEPT_AS_TEXT: ColumnElement[dt.timedelta] = literal_column(f"interval '{KEPT.total_seconds():.0f} seconds'")
_SWEPT_ROWS = 100
_CREATIONS_PER_SWEEP = 16  # each adds one row


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedRequest:
    """Who asks what under which key; `digest` is of the whole request (method, path, body)."""

    tenant_id: str
    key: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAnswer:
    """What was answered the first time."""

    status: int
    headers: Mapping[str, str]
    answer: Mapping[str, Any]


def begin(session: Session, vault: Vault, request: GuardedRequest, *, actor: str) -> KnownAnswer | None:
    """Take the key, or give what was answered under it. Blocks while another transaction holds it (10 s, then Unavailable).

    Raises InvalidInput (`idempotency_key_reused`) when the key came with another request before.
    """
    of = {"tenant": request.tenant_id, "guarded": request.key}
    with rules_enforced():
        # Who reseals the tenant is waited for: what the keys of before seal now would soon open no more.
        send_later(session, _LOCK_TENANT, of)
        ring = ring_for(session, vault, request.tenant_id, KeyPurpose.CREDENTIAL, actor=actor)
        aad = _place(request.tenant_id, request.key)
        [taken] = ask_all(session, (_TAKE, of | {"sealed": seal(ring, request.digest, aad)}))
        if taken:
            if secrets.randbelow(_CREATIONS_PER_SWEEP) == 0:
                send_later(session, _SWEEP, of)  # last: two that had swept could wait for each other's keys
            return None
    known = session.scalars(select(IdempotencyKey).where(*_of(request))).one()
    try:
        same = hmac.compare_digest(unseal(ring, known.request_digest, aad), request.digest)
    except SealBroken:
        same = False  # its key was erased: nobody can tell what was asked
    if not same or known.status is None:
        raise InvalidInput("this Idempotency-Key came with another request before", reason="idempotency_key_reused")
    return KnownAnswer(status=known.status, headers=known.headers or {}, answer=known.answer or {})


def finish(session: Session, request: GuardedRequest, answer: KnownAnswer) -> None:
    """Keep the answer; it holds no secret."""
    kept = {"given_status": answer.status, "given_headers": dict(answer.headers), "given_answer": dict(answer.answer)}
    send_later(session, _KEEP, {"tenant": request.tenant_id, "guarded": request.key} | kept)


def reseal_digest(ring: KeyRing, row: IdempotencyKey) -> None:
    """Seal the digest of one request with the ring's first key; what no key opens stays as it is, until it is swept."""
    aad = _place(row.tenant_id, row.key)
    try:
        row.request_digest = ring.seal_text(ring.open_text(row.request_digest, aad), aad)
    except SealBroken:
        return


def _place(tenant_id: str, key: str) -> Aad:
    return Aad(tenant_id, IdempotencyKey.__tablename__, "request_digest", key)


def _of(request: GuardedRequest) -> tuple[Any, ...]:
    return IdempotencyKey.tenant_id == request.tenant_id, IdempotencyKey.key == request.key


def _sweep() -> Delete:
    # A few old rows; what another one sweeps is left to it.
    old = (
        select(_KEYS.c.key)
        .where(_KEYS.c.tenant_id == _TENANT, _KEYS.c.created_at < func.now() - _KEPT_AS_TEXT)
        .order_by(_KEYS.c.created_at)
        .limit(literal_column(str(_SWEPT_ROWS)))
        .with_for_update(skip_locked=True)
    )
    return delete(_KEYS).where(_KEYS.c.tenant_id == _TENANT, _KEYS.c.key.in_(old))


def _take() -> ReturningInsert[tuple[str]]:
    # An old row that was not swept yet is as good as none; its answer is replaced with the new one's (`_KEEP`). Of a row that is
    # in force nothing comes back.
    new = insert(_KEYS).values(tenant_id=_TENANT, key=_GUARDED, request_digest=bindparam("sealed"))
    again = {"request_digest": new.excluded.request_digest, "created_at": func.now()}
    is_old = _KEYS.c.created_at < func.now() - _KEPT_AS_TEXT
    return new.on_conflict_do_update(index_elements=["tenant_id", "key"], set_=again, where=is_old).returning(_KEYS.c.key)


# Written once: to build them anew would cost more than to run them.
_KEYS = stored_in(IdempotencyKey)
_TENANT, _GUARDED = bindparam("tenant", type_=_KEYS.c.tenant_id.type), bindparam("guarded", type_=_KEYS.c.key.type)
_LOCK_TENANT = select(Tenant.id).where(Tenant.id == _TENANT).with_for_update(read=True, key_share=True)
_SWEEP = _sweep()
_TAKE = _take()
_KEEP = (
    update(_KEYS)
    .where(_KEYS.c.tenant_id == _TENANT, _KEYS.c.key == _GUARDED)
    .values(status=bindparam("given_status"), headers=bindparam("given_headers"), answer=bindparam("given_answer"))
)
