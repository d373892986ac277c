"""Opens a credential for the one use it is there for. Each plaintext read leaves a row in the audit log, with the reader's name.

Runs as the role `channels_credential`, with the key-encryption key of purpose `credential`; no other role can read the column.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session, undefer

from shared.adapters.sealing import Aad, KeyRing
from shared.adapters.tables import AuditLog, ChannelConnector, ChannelToken
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose, TokenKind
from shared.domain.errors import ChannelsError, SealBroken, Unavailable
from shared.management.data_keys import wrapped_keys, wrapped_keys_of

_TRACES = text(
    "INSERT INTO audit_log (tenant_id, actor, action, subject_type, subject_id)"
    " SELECT c.tenant_id, :actor, 'token.opened', 'channel_token', t.id FROM unnest(CAST(:ids AS uuid[])) AS opened (id)"
    " JOIN channel_token t ON t.id = opened.id JOIN channel_connector c ON c.id = t.connector_id"
)
_ACCOUNT = "account"  # metadata: the identidade that the token is for; without it, for all accounts of its connector


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedToken:
    """A credential in clear; do not keep it longer than the call it is for."""

    token_id: str
    kind: TokenKind
    value: str = field(repr=False)
    expires_at: datetime | None


def newest_token(session: Session, connector_id: str, kinds: Collection[TokenKind], identidade: str) -> str | None:
    """Id of the token that `open_token` would open; opens nothing. One named for the account goes before one for all."""
    rows = session.execute(
        select(ChannelToken.id, ChannelToken.extra)
        .where(ChannelToken.connector_id == connector_id, ChannelToken.kind.in_(kinds))
        .order_by(ChannelToken.created_at.desc(), ChannelToken.id.desc())
    ).all()
    for wanted in (identidade, None):
        for token_id, extra in rows:
            if (extra or {}).get(_ACCOUNT) == wanted:
                return str(token_id)
    return None


def open_token(session: Session, vault: Vault, token_id: str, *, actor: str) -> OpenedToken | None:
    """The token in clear, None if it is gone; the audit row is written before. The caller commits.

    Raises SealBroken, UnknownKey, Unavailable.
    """
    token = session.get(ChannelToken, token_id, options=[undefer(ChannelToken.valor_encrypted)])
    connector = None if token is None else session.get(ChannelConnector, token.connector_id)
    if token is None or connector is None:
        return None
    tenant = connector.tenant_id
    ring = vault.ring(KeyPurpose.CREDENTIAL, tenant, wrapped_keys(session, tenant, KeyPurpose.CREDENTIAL))
    value = _opened(session, ring, tenant, token, actor=actor)
    return OpenedToken(token_id=token.id, kind=token.kind, value=value.decode(), expires_at=token.expires_at)


def open_tokens(
    session: Session, vault: Vault, token_ids: Collection[str], *, actor: str
) -> dict[str, OpenedToken | ChannelsError]:
    """The same for many at once, each with its audit row; one that is gone is left out.

    What could not be opened has its error: SealBroken, UnknownKey, KeyRefused, Unavailable. May block on the key service.
    """
    rows = session.execute(
        select(
            *(
                ChannelToken.id,
                ChannelToken.kind,
                ChannelToken.valor_encrypted,
                ChannelToken.expires_at,
                ChannelConnector.tenant_id,
            )
        )
        .join(ChannelConnector, ChannelConnector.id == ChannelToken.connector_id)
        .where(ChannelToken.id.in_(token_ids))
    ).all()
    if not rows:
        return {}
    session.execute(_TRACES, {"ids": [row.id for row in rows], "actor": actor})
    keys = wrapped_keys_of(session, {row.tenant_id for row in rows}, KeyPurpose.CREDENTIAL)
    rings = {tenant: vault.ring(KeyPurpose.CREDENTIAL, tenant, wrapped) for tenant, wrapped in keys.items()}
    found: dict[str, OpenedToken | ChannelsError] = {}
    for row in rows:
        try:
            value = rings[row.tenant_id].open_text(row.valor_encrypted, _place(row.tenant_id, row.id)).decode()
            found[row.id] = OpenedToken(token_id=row.id, kind=row.kind, value=value, expires_at=row.expires_at)
        except (SealBroken, Unavailable) as error:
            found[row.id] = error
    return found


def reseal_token(session: Session, ring: KeyRing, tenant_id: str, token: ChannelToken, *, actor: str) -> None:
    """Seal the token with the ring's first key; `valor_encrypted` is loaded, the connector locked. Raises SealBroken."""
    value = _opened(session, ring, tenant_id, token, actor=actor)
    token.valor_encrypted = ring.seal_text(value, _place(tenant_id, token.id))


def _opened(session: Session, ring: KeyRing, tenant_id: str, token: ChannelToken, *, actor: str) -> bytes:
    # `inline`: no RETURNING, the role may write to the log and not read it.
    session.execute(insert(AuditLog).inline().values(_trace(tenant_id, token.id, actor)))
    return ring.open_text(token.valor_encrypted, _place(tenant_id, token.id))


def _trace(tenant_id: str, token_id: str, actor: str) -> dict[str, str]:
    return {
        "tenant_id": tenant_id,
        "actor": actor,
        "action": "token.opened",
        "subject_type": "channel_token",
        "subject_id": token_id,
    }


def _place(tenant_id: str, token_id: str) -> Aad:
    return Aad(tenant_id, "channel_token", "valor_encrypted", token_id)
