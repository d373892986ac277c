"""Renewing a token before it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from shared.domain.enums import TokenKind
from shared.providers.calling import CallContext, Fault, ProviderAnswer, ProviderCall


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshToken:
    """A new token. `expires_in_seconds` None: it does not end. Its repr tells no value."""

    kind: TokenKind
    value: str = field(repr=False)
    expires_in_seconds: int | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """The provider gave new tokens; those of other kinds stay as they are."""

    tokens: tuple[FreshToken, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRenewed:
    """It gave none. Class `auth`: a person must sign in again; anything else may be tried later."""

    fault: Fault


RefreshOutcome = Renewed | NotRenewed


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewing:
    """`build` names in its placements the credentials that the call needs; `read` never raises.

    A token is due once `due_at_life` of its life is over or `due_before_seconds` are left, whichever comes first.
    `build_revoke` ends the old token after the switch, where the provider can.
    """

    kind: TokenKind
    build: Callable[[CallContext], ProviderCall]
    read: Callable[[ProviderAnswer], RefreshOutcome]
    build_revoke: Callable[[CallContext], ProviderCall] | None = None
    due_at_life: float = 0.8
    due_before_seconds: int = 7 * 86_400
