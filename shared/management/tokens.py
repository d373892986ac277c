"""Use cases of `channel_token`: seal and store a credential, take one away. Nothing here reads a credential back."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from shared.adapters.clock import new_uuid7
from shared.adapters.sealing import Aad, KeyRing
from shared.adapters.tables import ChannelConnector, ChannelToken
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose, RenewalState, RenewalTask, TokenKind
from shared.domain.errors import InvalidInput, SealBroken
from shared.domain.renewals import standing_of
from shared.management.changes import announce_connector, audit_gone, audit_new, audited, lock_connector, lock_connector_of
from shared.management.data_keys import ring_for, seal, unseal
from shared.management.lifting import refuse_secrets
from shared.management.rules import rules_enforced

_FINGERPRINT = "fingerprint"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A credential in clear, on its way in. `expires_at` carries a time zone; `metadata` holds scopes and the like.

    `created_at` None: now, by the database's clock.
    """

    kind: TokenKind
    value: str = field(repr=False)
    expires_at: datetime | None = None
    metadata: Mapping[str, Any] | None = None
    id: str | None = None
    created_at: datetime | None = None


def add_token(session: Session, vault: Vault, connector_id: str, new: NewToken, *, actor: str) -> ChannelToken:
    """Seal and store one more token; older ones stay usable. Raises NotFound, InvalidInput, Unavailable."""
    connector = lock_connector(session, connector_id)
    token = seal_token(session, vault, connector, new, actor=actor)
    announce_connector(session, connector.id)
    return token


def describe_token(
    session: Session,
    token_id: str,
    *,
    expires_at: datetime | None,
    metadata: Mapping[str, Any] | None,
    cleared: Collection[str] = (),
    actor: str,
) -> None:
    """Correct what is known about a token; None leaves as it is, unless the name is among the `cleared`.

    Raises Conflict if an active connector would lose its last.
    """
    connector, token = lock_connector_of(session, ChannelToken, token_id)
    refuse_secrets(metadata, "/metadata")
    with audited(session, token, "token.described", tenant_id=connector.tenant_id, actor=actor) as trace:
        token.expires_at = None if "expires_at" in cleared else _checked_expiry(expires_at) or token.expires_at
        if metadata is not None or "metadata" in cleared:
            kept = {name: value for name, value in (token.extra or {}).items() if name == _FINGERPRINT}
            token.extra = {**(metadata or {}), **kept}
    if trace.changed:
        _require_a_token_left(session)
        announce_connector(session, connector.id)


def revoke_token(session: Session, token_id: str, *, actor: str) -> None:
    """Delete a token. Raises Conflict (`token_missing`) if an active connector would be left without a valid one."""
    connector, token = lock_connector_of(session, ChannelToken, token_id)
    audit_gone(session, token, "token.revoked", tenant_id=connector.tenant_id, actor=actor)
    _require_a_token_left(session)
    announce_connector(session, connector.id)


def seal_token(session: Session, vault: Vault, connector: ChannelConnector, new: NewToken, *, actor: str) -> ChannelToken:
    """The part of `add_token` for a caller that holds the connector's lock and announces by itself."""
    ring = ring_for(session, vault, connector.tenant_id, KeyPurpose.CREDENTIAL, actor=actor)
    token = sealed_token(ring, connector.tenant_id, connector.id, new)
    audit_new(session, token, "token.added", tenant_id=connector.tenant_id, actor=actor)
    set_committed_value(token, "renewal", None)  # the rotator has not seen it yet
    return token


def renewal_of(token: ChannelToken) -> dict[str, Any] | None:
    """What is planned for a token: `state` (a RenewalStanding), `due_at` (ISO 8601), `cause`, `action`; None if nobody has
    planned anything yet. Came with the row; asks nothing."""
    row = token.renewal
    if row is None:
        return None
    standing = standing_of(RenewalTask(row["task"]), RenewalState(row["state"]), row["attempt"])
    return {"state": standing.value, **{name: row[name] for name in ("due_at", "cause", "action")}}


def sealed_token(ring: KeyRing, tenant_id: str, connector_id: str, new: NewToken) -> ChannelToken:
    """The row that holds it, not stored yet; the connector is locked before the ring's keys are read. Raises InvalidInput."""
    if not new.value.strip():
        raise InvalidInput("a token cannot be empty", reason="token_empty", pointer="/value")
    refuse_secrets(new.metadata, "/metadata")
    token_id = new.id or new_uuid7()
    fingerprint = seal(ring, _digest(new.value), _aad(tenant_id, "metadata", token_id))
    token = ChannelToken(
        id=token_id,
        connector_id=connector_id,
        kind=new.kind,
        valor_encrypted=seal(ring, new.value.encode(), _aad(tenant_id, "valor_encrypted", token_id)),
        expires_at=_checked_expiry(new.expires_at),
        extra={**(new.metadata or {}), _FINGERPRINT: fingerprint},
    )
    if new.created_at is not None:
        token.created_at = new.created_at
    return token


def holds_value(session: Session, vault: Vault, tenant_id: str, token: ChannelToken, value: str, *, actor: str) -> bool:
    """Whether the token holds this value, told by its sealed digest, so that the credential itself stays closed."""
    sealed = (token.extra or {}).get(_FINGERPRINT)
    if not isinstance(sealed, str):
        return False
    ring = ring_for(session, vault, tenant_id, KeyPurpose.CREDENTIAL, actor=actor)
    try:
        return hmac.compare_digest(unseal(ring, sealed, _aad(tenant_id, "metadata", token.id)), _digest(value))
    except SealBroken:
        return False  # such as after an erasure of keys: the value given now is stored anew


def reseal_fingerprint(ring: KeyRing, tenant_id: str, token: ChannelToken) -> None:
    """Seal the digest in `metadata` with the ring's first key. Raises SealBroken."""
    sealed = (token.extra or {}).get(_FINGERPRINT)
    if isinstance(sealed, str):
        place = _aad(tenant_id, "metadata", token.id)
        token.extra = {**(token.extra or {}), _FINGERPRINT: ring.seal_text(ring.open_text(sealed, place), place)}


def _require_a_token_left(session: Session) -> None:
    # The database's rule waits for the commit; ask it now, while the caller can still be told.
    with rules_enforced():
        session.execute(text("SET CONSTRAINTS connector_keeps_a_token IMMEDIATE"))
        session.execute(text("SET CONSTRAINTS connector_keeps_a_token DEFERRED"))


def _checked_expiry(expires_at: datetime | None) -> datetime | None:
    if expires_at is not None and expires_at.tzinfo is None:
        raise InvalidInput("expires_at needs a time zone", reason="time_zone_missing", pointer="/expires_at")
    return expires_at


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


def _aad(tenant_id: str, column: str, token_id: str) -> Aad:
    return Aad(tenant_id, "channel_token", column, token_id)
