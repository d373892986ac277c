"""Renewing a token before it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

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

    `kind` is what is renewed, `spends` what is shown for it: the token itself, which must not have ended, or a refresh token.
    `service` names who is called (a budget each), by the connector's settings; None: these settings renew nothing.
    `build_revoke` ends the old token (credential `old_<kind>`) after the switch, where the provider can.
    """

    kind: TokenKind
    spends: TokenKind
    service: Callable[[Mapping[str, Any]], str | None]
    build: Callable[[CallContext], ProviderCall]
    read: Callable[[ProviderAnswer], RefreshOutcome]
    build_revoke: Callable[[CallContext], ProviderCall] | None = None
