"""Which token holds a credential that a provider's call places: names and ids, no values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.domain.enums import SecretUse, TokenKind
from shared.providers.calling import ProviderCall

_KINDS = frozenset(kind.value for kind in TokenKind)
_RECEIVING = frozenset(use.value for use in SecretUse)
_TOKENS = text(
    "SELECT connector_id::text, id::text AS token_id, kind::text, metadata ->> 'account' AS account, metadata ->> 'name' AS name,"
    " (extract(epoch FROM expires_at) * 1000)::bigint AS expires_ms FROM channel_token"
    " WHERE connector_id = ANY(CAST(:ids AS uuid[])) ORDER BY created_at DESC, id DESC"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """A credential of a connector, closed. `account`: whose alone it is; `name`: of a secret. Newest first in every list."""

    token_id: str
    kind: TokenKind
    account: str | None
    name: str | None
    expires_ms: int | None


def known_tokens(session: Session, connector_ids: Iterable[str]) -> dict[str, list[TokenRow]]:
    """The tokens of these connectors, closed, the newest first; as a role that sees tokens."""
    found: dict[str, list[TokenRow]] = {one: [] for one in connector_ids}
    for row in session.execute(_TOKENS, {"ids": list(found)}).mappings():
        found[row["connector_id"]].append(
            TokenRow(
                token_id=row["token_id"],
                kind=TokenKind(row["kind"]),
                account=row["account"],
                name=row["name"],
                expires_ms=row["expires_ms"],
            )
        )
    return found


def names_placed(calls: Sequence[ProviderCall]) -> set[str]:
    """Names of the credentials that these calls need. What derives a value from all of them, such as a proof of the access
    token, needs that one too; what derives it from a receiving secret, such as an address that holds it, does not."""
    placements = [placement for call in calls for placement in call.placements]
    names = {placement.credential for placement in placements}
    if any(placement.derive and placement.credential not in _RECEIVING for placement in placements):
        names.add(TokenKind.ACCESS_TOKEN.value)
    return names


def holder(name: str, tokens: Sequence[TokenRow], identidade: str | None) -> TokenRow | None:
    """The token that holds the credential of this name: one of the account's own goes before one for all."""
    if name in _KINDS:
        for whose in (identidade, None):
            found = next((one for one in tokens if one.kind == name and one.account == whose), None)
            if found is not None:
                return found
        return None
    secrets = [one for one in tokens if one.kind is TokenKind.SECRET]
    named = next((one for one in secrets if one.name == name), None)
    return named or (secrets[0] if len(secrets) == 1 and secrets[0].name is None else None)
