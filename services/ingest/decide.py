"""What the edge decides about one webhook call. Pure: facts and the time come in, values go out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from services.ingest.answers import Answer, Outcome
from services.ingest.exchange import Exchange
from shared.adapters.kafka import fixed_event_headers
from shared.adapters.raw_body import body_aad
from shared.adapters.webhook_record import RECORD_ID_BYTES, origin_of
from shared.domain.enums import ConnectorStatus, RecordSource, SecretUse
from shared.domain.records import BodyReference, WebhookReceived
from shared.domain.snapshots import ConnectorSnapshot
from shared.domain.topics import Topic
from shared.providers.contract import NOTHING, Receiving, ReceivingSecret, Request, Situation, Verdict, Verified

YOUNG_MS = 60_000
"""A connector id younger than this may be on its way to us: the provider is asked to come again instead of told 404."""

_UUID = rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_TARGET = re.compile(
    rb"(?:[hH][tT][tT][pP][sS]?://[^/?#]+)?/webhooks/(?P<connector>%s)(?:/(?:(?P<account>%s)|(?P<probe>probe)))?(?:\?(?P<query>.*))?"
    % (_UUID, _UUID)
)
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_OUTCOMES: Mapping[Situation, Outcome] = {
    "accepted": Outcome.ACCEPTED,
    "refused": Outcome.REFUSED,
    "unknown_connector": Outcome.UNKNOWN_CONNECTOR,
    "too_large": Outcome.TOO_LARGE,
    "rate_limited": Outcome.BUSY,
    "busy": Outcome.BUSY,
    "unavailable": Outcome.UNAVAILABLE,
}
_RETRY_AFTER_SECONDS = {429: 5, 503: 2}
_NO_SUCH_PATH = Answer(status=404, outcome=Outcome.NOT_FOUND, reason="no_such_path")
_UNKNOWN = Answer(status=404, outcome=Outcome.UNKNOWN_CONNECTOR, reason="unknown_connector")
_NOT_YET_KNOWN = Answer(status=503, outcome=Outcome.UNKNOWN_CONNECTOR, reason="connector_not_known_yet", retry_after_seconds=2)
_SNAPSHOTS_UNREAD = Answer(status=503, outcome=Outcome.UNAVAILABLE, reason="snapshots_unread", retry_after_seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the URL names. `probe`: it is no webhook, but sync that asks what the edge knows."""

    connector_id: str
    account_id: str | None
    query: str
    probe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who is called, once the URL was understood: the target and what the snapshot says about its connector.

    What all records of one caller share is made once: their key, the fields that follow their id, their first headers.
    """

    target: Target
    connector: ConnectorSnapshot
    receiving: Receiving
    accepted: Answer = field(init=False)
    settings: Mapping[str, Any] = field(init=False)
    certificates: Mapping[str, bytes] = field(init=False)
    methods: frozenset[str] = field(init=False)
    particular: bool = field(init=False)  # this provider limits rates or wants headers on every answer; most do not
    record_key: bytes = field(init=False)
    record_origin: bytes = field(init=False)
    record_headers: tuple[tuple[str, bytes], ...] = field(init=False)
    body_place: bytes = field(init=False)  # what a body is bound to, up to its record's id
    max_body_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        connector, settings = self.connector, _settings_of(self.connector)
        if self.receiving.dialects:
            receiving = replace(self.receiving, answers=self.receiving.answers_for(settings))
            object.__setattr__(self, "receiving", receiving)
        receiving = self.receiving
        limited = bool(receiving.rate_limits or receiving.verified_rate_limits)
        origin = origin_of(connector.tenant_id, connector.connector_id, self.target.account_id)
        headers = fixed_event_headers(
            event_type=Topic.WEBHOOK_RECEIVED.value, source="/channels/ingest", subject=connector.connector_id
        )
        object.__setattr__(self, "accepted", answer(receiving, "accepted"))
        object.__setattr__(self, "settings", settings)
        object.__setattr__(self, "certificates", _certificates_of(connector))
        posted = frozenset() if self.target.probe else receiving.methods
        shakes_hands = self.target.probe or receiving.handshake is not None
        object.__setattr__(self, "methods", posted | ({"GET"} if shakes_hands else set()))
        object.__setattr__(self, "particular", limited or receiving.answer_headers is not None)
        object.__setattr__(self, "record_key", connector.connector_id.encode())
        object.__setattr__(self, "record_origin", origin)
        object.__setattr__(self, "record_headers", headers)
        object.__setattr__(self, "body_place", body_aad(connector.tenant_id, "").encode_before(RECORD_ID_BYTES))
        object.__setattr__(self, "max_body_bytes", receiving.max_body_bytes)


def parse_target(target: bytes) -> Target | None:
    """`/webhooks/{connector_id}[/{account_id} | /probe][?query]`, also in absolute form; None for any other spelling."""
    match = _TARGET.fullmatch(target)
    if match is None:
        return None
    account = match["account"]
    return Target(
        connector_id=match["connector"].decode("ascii").lower(),
        account_id=None if account is None else account.decode("ascii").lower(),
        query=(match["query"] or b"").decode("latin-1"),
        probe=match["probe"] is not None,
    )


def admit(
    target: Target | None,
    connector: ConnectorSnapshot | None,
    receiving: Receiving | None,
    *,
    snapshots_read: bool,
    now_ms: int,
) -> Caller | Answer:
    """Is there such a connector? Every state but archived takes webhooks."""
    if target is None:
        return _NO_SUCH_PATH
    if connector is None:
        if not snapshots_read:
            return _SNAPSHOTS_UNREAD
        return _NOT_YET_KNOWN if _is_young(target.connector_id, now_ms) else _UNKNOWN
    if connector.status is ConnectorStatus.ARCHIVED or receiving is None:
        return _UNKNOWN if receiving is None else answer(receiving, "unknown_connector", "connector_archived")
    return Caller(target=target, connector=connector, receiving=receiving)


def admit_size(caller: Caller, method: str, length_bytes: int | None) -> Answer | None:
    """What the head alone tells: a method that the provider has no use for, or an announced body that is too large."""
    receiving = caller.receiving
    if method not in caller.methods:
        allow = ", ".join(sorted(caller.methods))
        return Answer(status=405, outcome=Outcome.METHOD, reason="method_not_allowed", allow=allow)
    if length_bytes is not None and length_bytes > receiving.max_body_bytes:
        return answer(receiving, "too_large", "body_too_large")
    return None


def rate_limited(receiving: Receiving, wait_seconds: int) -> Answer:
    """The answer to one request too many; after `wait_seconds` there is room for one."""
    return replace(answer(receiving, "rate_limited"), retry_after_seconds=wait_seconds)


def answer(receiving: Receiving, situation: Situation, reason: str = "") -> Answer:
    """The provider's own status for a situation, with `Retry-After` where the status asks for it."""
    status = receiving.answers.statuses[situation]
    return Answer(
        status=status,
        outcome=_OUTCOMES[situation],
        reason=reason or situation,
        retry_after_seconds=_RETRY_AFTER_SECONDS.get(status),
        headers=receiving.answers.headers.get(situation, ()),
    )


def request_of(exchange: Exchange, now_ms: int, client_address: str | None = None) -> Request:
    """What verification may look at; `exchange.caller` is known."""
    caller: Caller = exchange.caller
    return Request(
        method=exchange.method,
        query=caller.target.query,
        headers=exchange.headers,
        body=exchange.body,
        account_id=caller.target.account_id,
        received_at_ms=now_ms,
        settings=caller.settings,
        certificates=caller.certificates,
        client_address=client_address,
    )


def live(secrets: Sequence[ReceivingSecret], use: SecretUse, now_ms: int) -> list[ReceivingSecret]:
    """The secrets of one use that hold now; `not_before` and `not_after` are both still within."""
    return [
        secret
        for secret in secrets
        if secret.use is use
        and (secret.not_before_ms is None or secret.not_before_ms <= now_ms)
        and (secret.not_after_ms is None or now_ms <= secret.not_after_ms)
    ]


def judge(caller: Caller, request: Request, secrets: Sequence[ReceivingSecret], now_ms: int) -> Verdict:
    """Is the request genuine? By all live secrets of use `sign`; a connector without any accepts nothing."""
    return caller.receiving.verify(request, live(secrets, SecretUse.SIGN, now_ms))


def shake_hands(caller: Caller, request: Request, secrets: Sequence[ReceivingSecret], now_ms: int) -> Answer:
    """The answer to the provider's set-up call."""
    if caller.receiving.handshake is None:
        return Answer(status=405, outcome=Outcome.METHOD, reason="method_not_allowed", allow="POST")
    given = caller.receiving.handshake(request, live(secrets, SecretUse.HANDSHAKE, now_ms))
    if given.status >= 400:
        return Answer(
            status=given.status, outcome=Outcome.REFUSED, reason="handshake_refused", body=given.body, headers=given.headers
        )
    return Answer(status=given.status, outcome=Outcome.HANDSHAKE, reason="", body=given.body, headers=given.headers)


def raw_record(
    caller: Caller,
    request: Request,
    verified: Verified,
    *,
    record_id: str,
    received_at_ms: int,
    body_reference: BodyReference,
) -> WebhookReceived:
    """The record of one verified request whose body is an object; the usual one is written by `webhook_record.py`."""
    return WebhookReceived(
        record_id=record_id,
        source=RecordSource.WEBHOOK,
        tenant_id=caller.connector.tenant_id,
        connector_id=caller.connector.connector_id,
        url_account_id=caller.target.account_id,
        received_at_ms=received_at_ms,
        headers=dict(kept_headers(caller.receiving, request.headers)),
        secret_id=verified.secret_id,
        body_size_bytes=len(request.body),
        body_reference=body_reference,
    )


def kept_headers(receiving: Receiving, headers: Mapping[str, bytes]) -> tuple[tuple[str, str], ...]:
    """The headers that the provider's allow-list lets into the record."""
    kept = receiving.kept_headers
    return tuple([(name, headers[name].decode("latin-1")) for name in kept if name in headers]) if kept else ()


def given_trace(headers: Mapping[str, bytes]) -> str | None:
    """The caller's `traceparent` if it is a valid one of version 00 (https://www.w3.org/TR/trace-context/)."""
    value = headers.get("traceparent")
    return value.decode("ascii") if value is not None and _TRACEPARENT.fullmatch(value) else None


def _settings_of(connector: ConnectorSnapshot) -> Mapping[str, Any]:
    """The connector's config; nothing if it is no JSON object, which the management would not have stored."""
    try:
        settings = json.loads(connector.config)
    except ValueError:
        return NOTHING
    return MappingProxyType(settings) if settings and isinstance(settings, dict) else NOTHING


def _certificates_of(connector: ConnectorSnapshot) -> Mapping[str, bytes]:
    return {one.url: one.pem.encode("ascii", "replace") for one in connector.certificates} if connector.certificates else NOTHING


def _is_young(connector_id: str, now_ms: int) -> bool:
    """True for a UUIDv7 made within the last minute, or by a clock that is up to a minute ahead of ours."""
    if connector_id[14] != "7":
        return False
    made_ms = int(connector_id[:8] + connector_id[9:13], 16)
    return abs(now_ms - made_ms) < YOUNG_MS
