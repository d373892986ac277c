"""What a provider is: one frozen record of pure functions. Nothing here or below does input or output.

The edge imports only `Receiving` records (`receiving.py` of each provider); the router and the rest import `Provider`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shared.domain.enums import ConnectorType, Feature, SecretUse, TokenKind
from shared.domain.errors import ChannelsError
from shared.domain.items import AnyItem

# Providers document 1 000 at most. A record is one batch and one Kafka transaction at least, so its size has to end somewhere:
# 4 MB of `1,1,1,…` would be two million items, and no transaction holds them.
MAX_ITEMS = 10_000


class UnparseableBody(ChannelsError):
    """Raised by `normalise` when the verified body as a whole is not what the provider documents (not JSON, …)."""

    code = "unparseable_body"


class TooManyItems(UnparseableBody):
    """Raised by `normalise` as soon as a body holds more than MAX_ITEMS items."""

    code = "too_many_items"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivingSecret:
    """One live receiving secret of a connector, opened. `id` is `<webhook_id>/<index>`; times in ms since the epoch."""

    id: str
    use: SecretUse
    value: bytes
    not_before_ms: int | None = None
    not_after_ms: int | None = None

    def __repr__(self) -> str:
        return f"ReceivingSecret(id={self.id!r}, use={self.use!r}, value=***)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What verification may look at. Header names are lower-case; values and path are as received."""

    method: str
    query: str  # raw query string without '?'
    headers: Mapping[str, bytes]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The request is genuine; `secret_id` tells which secret proved it (None where the provider has none)."""

    secret_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The request is not genuine; `reason` is a short code for the counter (`signature_missing`, `signature_wrong`, …)."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeAnswer:
    """Answer to the provider's set-up call: status code and plain text body."""

    status: int
    body: bytes


Situation = Literal["accepted", "refused", "unknown_connector", "too_large", "busy", "unavailable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiving:
    """All that the edge needs of a provider. `verify` gets the live secrets of use `sign` and compares in constant time.

    `answers` maps each situation to the HTTP status that makes this provider do the right thing next.
    """

    tipo: ConnectorType
    verify: Callable[[Request, Sequence[ReceivingSecret]], Verified | Refused]
    handshake: Callable[[Request, Sequence[ReceivingSecret]], HandshakeAnswer] | None
    answers: Mapping[Situation, int]
    kept_headers: frozenset[str]  # allow-list of what the raw record keeps
    max_body_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityPreset:
    """Initial value of one `channel_capability` row."""

    feature: Feature
    enabled: bool
    constraints: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider. A function that it cannot offer is None.

    `normalise(body, headers)` splits one verified body into items, at most MAX_ITEMS; raises only UnparseableBody. It
    limits and cleans text (NUL, lone surrogates, id length). `account_refs(identidade, config)` gives the names by
    which payloads call an account, in the form items carry them. `check_config` / `check_account_config` return a
    cleaned copy or raise InvalidInput with a JSON pointer. `normalise_identity` gives the one spelling of an identity.
    """

    tipo: ConnectorType
    receiving: Receiving
    normalise: Callable[[bytes, Mapping[str, str]], Sequence[AnyItem]]
    account_refs: Callable[[str, Mapping[str, Any]], tuple[str, ...]]
    normalise_identity: Callable[[str], str]
    check_config: Callable[[Mapping[str, Any]], dict[str, Any]]
    check_account_config: Callable[[Mapping[str, Any]], dict[str, Any]]
    required_token: TokenKind | None  # kind of which one valid row is needed to be active
    capabilities: tuple[CapabilityPreset, ...]
    redact: frozenset[str]  # names of fields and headers whose values never reach a log
