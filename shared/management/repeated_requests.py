"""`Idempotency-Key`: a creation that is sent again gets the answer of the first time and creates nothing.

The key's row is written in the transaction of what it guards: a refused creation leaves none, and a repeat that comes while
the first is at work waits for its end. The digest of the request is sealed, because the request may hold a credential.
"""

from __future__ import annotations

import datetime as dt
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from shared.adapters.sealing import Aad, KeyRing
from shared.adapters.tables import IdempotencyKey, Tenant
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.domain.errors import InvalidInput, SealBroken
from shared.management.data_keys import ring_for
from shared.management.rules import rules_enforced

KEPT = dt.timedelta(hours=24)
_SWEPT_ROWS = 100


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
    with rules_enforced():
        # Who reseals the tenant is waited for: what the keys of before seal now would soon open no more.
        session.execute(select(Tenant.id).where(Tenant.id == request.tenant_id).with_for_update(read=True, key_share=True))
    ring = ring_for(session, vault, request.tenant_id, KeyPurpose.CREDENTIAL, actor=actor)
    aad = _place(request.tenant_id, request.key)
    _sweep(session, request.tenant_id)
    sealed = ring.seal_text(request.digest, aad)
    row = insert(IdempotencyKey).values(tenant_id=request.tenant_id, key=request.key, request_digest=sealed)
    with rules_enforced():
        taken = session.scalar(row.on_conflict_do_nothing().returning(IdempotencyKey.key))
    if taken is not None:
        return None
    known = session.scalars(select(IdempotencyKey).where(*_of(request))).one()
    try:
        same = hmac.compare_digest(ring.open_text(known.request_digest, aad), request.digest)
    except SealBroken:
        same = False  # its key was erased: nobody can tell what was asked
    if not same or known.status is None:
        raise InvalidInput("this Idempotency-Key came with another request before", reason="idempotency_key_reused")
    return KnownAnswer(status=known.status, headers=known.headers or {}, answer=known.answer or {})


def finish(session: Session, request: GuardedRequest, answer: KnownAnswer) -> None:
    """Keep the answer; it holds no secret."""
    kept = {"status": answer.status, "headers": dict(answer.headers), "answer": dict(answer.answer)}
    session.execute(update(IdempotencyKey).where(*_of(request)).values(**kept))


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


def _sweep(session: Session, tenant_id: str) -> None:
    # A few old rows at each creation; what another one sweeps is left to it.
    old = (
        select(IdempotencyKey.key)
        .where(IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.created_at < func.now() - KEPT)
        .limit(_SWEPT_ROWS)
        .with_for_update(skip_locked=True)
    )
    keys = session.scalars(old).all()
    if keys:
        session.execute(delete(IdempotencyKey).where(IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.key.in_(keys)))
