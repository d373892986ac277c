"""What a provider is: two frozen records of pure functions. Nothing here or below does input or output.

The edge imports only `Receiving` records (`receiving.py` of each provider); the router and the rest import `Provider`.
What a provider does on calls of ours has a module each: `calling` (a call and its answer), `sending`, `renewing`,
`checking`, `setting_up`, `describing`; `limits` types the capabilities, `configuration` the settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from shared.domain.enums import ConnectorType, SecretUse, TokenKind
from shared.domain.errors import ChannelsError
from shared.domain.items import AnyItem

if TYPE_CHECKING:  # for the annotations alone: the edge loads this module and none of these
    from shared.providers.checking import Checking
    from shared.providers.configuration import Settings
    from shared.providers.describing import Describing
    from shared.providers.limits import CapabilityPreset
    from shared.providers.renewing import Renewing
    from shared.providers.sending import Sending
    from shared.providers.setting_up import SettingUp

# Providers document 1 000 at most. A record is one batch and one Kafka transaction at least, so its size has to end somewhere:
# 4 MB of `1,1,1,…` would be two million items, and no transaction holds them.
MAX_ITEMS = 10_000

NOTHING: Mapping[str, Any] = MappingProxyType({})


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


class Request(msgspec.Struct, kw_only=True, gc=False):
    """What verification may look at; built once per request. Header names are lower-case; values and path as received.

    `received_at_ms` is the edge's clock (a scheme with a timestamp fails closed at 0). `settings` is the connector's
    parsed config, which holds no secret. `certificates`: URL → PEM, of the connector's snapshot. `client_address`: only
    for rate limits, None where nobody can tell. Its repr tells no header and no body: both may carry a credential.
    """

    method: str
    query: str  # raw query string without '?'
    headers: Mapping[str, bytes]
    body: bytes
    account_id: str | None = None  # from the URL; what the payload names decides
    received_at_ms: int = 0
    settings: Mapping[str, Any] = NOTHING
    certificates: Mapping[str, bytes] = NOTHING
    client_address: str | None = None  # an IPv4 address, or the /64 of an IPv6 one

    def __repr__(self) -> str:
        return f"Request(method={self.method!r}, headers={sorted(self.headers)!r}, body=<{len(self.body)} bytes>)"


class Verified(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The request is genuine; `secret_id` tells which secret proved it (None where the provider has none)."""

    secret_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The request is not genuine; `reason` is a short code for the counter (`signature_missing`, `signature_wrong`, …)."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """Nobody can tell yet: something public is missing that a use case can fetch (a certificate).

    The edge answers `unavailable`, so that the provider repeats, and emits `channel.account.sync_required` with `cause`
    and `detail` (debounced). `reason` is a short code for the counter. Only for requests that passed every check that
    is possible without the missing part, so that strangers cannot cause fetches: `detail` is an allow-listed URL.
    """

    reason: str
    cause: str
    detail: str = ""


Verdict = Verified | Refused | Undecided


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeAnswer:
    """Answer to the provider's set-up call: status code and plain text body; headers beside those of every answer."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


Situation = Literal["accepted", "refused", "unknown_connector", "too_large", "rate_limited", "busy", "unavailable"]
SITUATIONS: tuple[Situation, ...] = (
    *("accepted", "refused", "unknown_connector", "too_large", "rate_limited", "busy", "unavailable"),
)
CONSEQUENCE_STATUSES = (200, 401, 403, 404, 413, 429, 503)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """How this provider (or one dialect of it) is answered.

    `statuses`: situation → the HTTP status that makes it do the right thing next; 200, 401 or 403, 404, 413, 429, 503, or
    what the provider asks for instead. `consequences`: for each of CONSEQUENCE_STATUSES, one line on what this provider
    then does. `source`: where that is documented (URL). `headers`: per situation, what the answer must carry
    (`WWW-Authenticate`).
    """

    statuses: Mapping[Situation, int]
    consequences: Mapping[int, str]
    source: str
    headers: Mapping[Situation, tuple[tuple[str, str], ...]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """A bucket per `key` (None: not limited), kept by the edge: refilled at `per_minute`.

    The limits of one provider share the space of keys, so each begins its keys with a word of its own.
    """

    key: Callable[[Request], str | None]
    per_minute: int
    burst: int


Verify = Callable[[Request, Sequence[ReceivingSecret]], Verdict]
Handshake = Callable[[Request, Sequence[ReceivingSecret]], HandshakeAnswer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiving:
    """All that the edge needs of a provider. `verify` gets the live secrets of use `sign` and compares in constant time.

    `handshake` answers GET (and OPTIONS where `methods` has it) with the secrets of use `handshake`. `dialects`: answers by
    the value of the connector's setting `dialect`, for those that differ from `answers`. `answer_headers` gives
    headers for every answer to one request, also a refusal (CORS); it must not trust the request. `rate_limits` hold before
    verification, so by what nobody can take from others; `verified_rate_limits` after it, by what the request has proven.
    """

    tipo: ConnectorType
    verify: Verify
    handshake: Handshake | None
    answers: Answers
    kept_headers: frozenset[str]  # allow-list of what the raw record keeps
    max_body_bytes: int
    methods: frozenset[str] = frozenset({"POST"})  # those that carry a webhook; GET comes with a handshake
    rate_limits: tuple[RateLimit, ...] = ()
    verified_rate_limits: tuple[RateLimit, ...] = ()
    dialects: Mapping[str, Answers] = field(default_factory=lambda: MappingProxyType({}))
    answer_headers: Callable[[Request], tuple[tuple[str, str], ...]] | None = None

    def answers_for(self, settings: Mapping[str, Any]) -> Answers:
        """The answers for a connector with these settings."""
        dialect = settings.get("dialect")
        return self.dialects.get(dialect, self.answers) if isinstance(dialect, str) else self.answers


class Normalise(Protocol):
    """Splits one verified body into items, at most MAX_ITEMS; raises only UnparseableBody.

    `headers` are those of the raw record (`kept_headers`), `settings` the connector's parsed config (dialect).
    """

    def __call__(self, body: bytes, headers: Mapping[str, str], settings: Mapping[str, Any] = ..., /) -> Sequence[AnyItem]:
        """The items in the body's own order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider. What it cannot offer is None.

    `normalise` limits and cleans text (NUL, lone surrogates, id length). `account_refs(identidade, config)` gives the names
    by which payloads call an account, in the form items carry them. `check_config` / `check_account_config` return a
    cleaned copy or raise InvalidInput with a JSON pointer; `settings` holds the models behind them, for JSON Schema.
    `normalise_identity` gives the one spelling of an identity.
    """

    tipo: ConnectorType
    receiving: Receiving
    normalise: Normalise
    account_refs: Callable[[str, Mapping[str, Any]], tuple[str, ...]]
    normalise_identity: Callable[[str], str]
    check_config: Callable[[Mapping[str, Any]], dict[str, Any]]
    check_account_config: Callable[[Mapping[str, Any]], dict[str, Any]]
    settings: Settings
    required_token: TokenKind | None  # kind of which one valid row is needed to be active
    capabilities: tuple[CapabilityPreset, ...]
    redact: frozenset[str]  # names of fields and headers whose values never reach a log
    sending: Sending | None = None
    renewing: Renewing | None = None
    checking: Checking | None = None
    setting_up: SettingUp | None = None
    describing: Describing | None = None
