"""What the edge does for webchat: prove a browser's session or a server's signature, answer CORS, limit rates.

A connector is of one dialect: `browser` (session token, origins) or `server` (Standard Webhooks), so that neither can be
used to get around the other. A session token does not cover the body: what the body says of who writes must be what the
token says. A repeat is harmless, because items are told apart by the browser's own message ids.
Protocol: docs/WEBCHAT.md
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from shared.domain.enums import ConnectorType
from shared.providers.contract import (
    Answers,
    HandshakeAnswer,
    RateLimit,
    Receiving,
    ReceivingSecret,
    Refused,
    Request,
    UnparseableBody,
    Verified,
)
from shared.providers.documents import decode_object
from shared.providers.webchat.session_tokens import Claims, open_token, times_hold
from shared.providers.webchat.standard_webhooks import verify_signed

DEFAULT_ISSUER = "webchat"
MAX_BODY_BYTES = 65_536

_SERVER = "server"
_BEARER = b"Bearer "


class _Names(msgspec.Struct):
    """Who writes, as the body says."""

    widget_id: str
    visitor_id: str
    session_id: str
    external_user_id: str | None = None


_decode_names = msgspec.json.Decoder(_Names).decode


def verify(request: Request, secrets: Sequence[ReceivingSecret]) -> Verified | Refused:
    """By the connector's dialect; without one it is a browser's."""
    if request.settings.get("dialect") == _SERVER:
        return verify_signed(request.headers, request.body, request.received_at_ms, secrets)
    return _verify_session(request, secrets)


def _verify_session(request: Request, secrets: Sequence[ReceivingSecret]) -> Verified | Refused:
    given = request.headers.get("authorization")
    if not given:
        return Refused(reason="signature_missing")
    if not given.startswith(_BEARER):
        return Refused(reason="signature_malformed")
    opened = open_token(given.removeprefix(_BEARER), secrets)
    if isinstance(opened, Refused):
        return opened
    claims, secret_id = opened
    reason = _doubt(claims, request)
    return Verified(secret_id=secret_id) if reason is None else Refused(reason=reason)


def _doubt(claims: Claims, request: Request) -> str | None:
    """Why a token whose signature is right does not fit this request; None if it does."""
    settings = request.settings
    origin = _allowed_origin(request)
    names = _names_in(request.body)
    if not times_hold(claims, request.received_at_ms):
        return "token_outside_its_time"
    if claims.iss != settings.get("issuer", DEFAULT_ISSUER) or claims.aud not in settings.get("widget_ids", ()):
        return "token_of_another_widget"
    if origin is None or claims.origin != origin:
        return "origin_refused"
    if names is None or _said(names) != (claims.aud, claims.sub, claims.sid, claims.external_user_id):
        return "body_of_another_session"
    return None


def _said(names: _Names) -> tuple[str, str, str, str | None]:
    return names.widget_id, names.visitor_id, names.session_id, names.external_user_id


def _names_in(body: bytes) -> _Names | None:
    try:
        return _decode_names(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:  # half an emoji, as a browser cuts it, must not cost the message: read again as the normaliser will
        return msgspec.convert(decode_object(body), _Names)
    except (UnparseableBody, msgspec.ValidationError):
        return None


def _allowed_origin(request: Request) -> str | None:
    """The request's `Origin` if the connector lists it. Browsers cannot lie about it; anything else can."""
    given = request.headers.get("origin", b"").decode("latin-1")
    return given if given and given in request.settings.get("origins", ()) else None


def answer_headers(request: Request) -> tuple[tuple[str, str], ...]:
    """CORS: the widget may read the answers, also refusals, on the pages of the listed origins.

    Source: https://fetch.spec.whatwg.org/#http-cors-protocol
    """
    if request.settings.get("dialect") == _SERVER:
        return ()
    origin = _allowed_origin(request)
    if origin is None:
        return (("Vary", "Origin"),)
    return (("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", "Retry-After"), ("Vary", "Origin"))


def handshake(request: Request, secrets: Sequence[ReceivingSecret]) -> HandshakeAnswer:  # noqa: ARG001 - the contract's signature
    """A browser's preflight (OPTIONS) from a listed origin gets leave to post; there is nothing to GET."""
    if request.method != "OPTIONS":
        return HandshakeAnswer(status=405, body=b"", headers=(("Allow", "OPTIONS, POST"),))
    asked = request.headers.get("access-control-request-method")
    if request.settings.get("dialect") == _SERVER or _allowed_origin(request) is None or asked != b"POST":
        return HandshakeAnswer(status=403, body=b"")
    leave = (
        ("Access-Control-Allow-Methods", "POST"),
        ("Access-Control-Allow-Headers", "authorization, content-type"),
        ("Access-Control-Max-Age", "600"),
    )
    return HandshakeAnswer(status=200, body=b"", headers=leave)


def _address_key(request: Request) -> str | None:
    """One bucket per client: wide, because an office has one address, but whoever makes up tokens or visitors has few."""
    return None if request.client_address is None or _is_server(request) else f"address:{request.client_address}"


def _token_key(request: Request) -> str | None:
    """One bucket per session token. By its hash, unverified: nobody can empty the bucket of a token they do not have."""
    given = request.headers.get("authorization")
    return None if not given or _is_server(request) else f"token:{hashlib.sha256(given).hexdigest()[:32]}"


def _visitor_key(request: Request) -> str | None:
    """One bucket per visitor, once the token has proven it: a token that was renewed brings no new one."""
    names = None if _is_server(request) else _names_in(request.body)
    return None if names is None else f"visitor:{names.visitor_id}"


def _is_server(request: Request) -> bool:
    return bool(request.settings.get("dialect") == _SERVER)


_REPEATED_BY_WIDGET = "the widget keeps the event and posts it again after 1 s, doubled up to 60 s, while the page is open"
_DROPPED_BY_WIDGET = "the widget shows the message as not sent and does not repeat it"
_REPEATED_BY_SERVER = "repeated after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h; then dropped"
_STATUSES: Mapping[Any, int] = MappingProxyType(
    {
        "accepted": 200,
        "refused": 401,  # the widget asks for a new session token and tries once more
        "unknown_connector": 404,
        "too_large": 413,
        "rate_limited": 429,
        "busy": 503,
        "unavailable": 503,
    }
)
ANSWERS = Answers(
    statuses=_STATUSES,
    consequences=MappingProxyType(
        {
            200: "done: the widget shows the message as sent",
            401: "the widget asks its site for a new session token and posts once more",
            403: _DROPPED_BY_WIDGET,
            404: _DROPPED_BY_WIDGET,
            413: _DROPPED_BY_WIDGET,
            429: f"{_REPEATED_BY_WIDGET}, not before Retry-After",
            503: f"{_REPEATED_BY_WIDGET}, not before Retry-After",
        }
    ),
    source="docs/WEBCHAT.md",
)
SERVER_ANSWERS = Answers(
    statuses=_STATUSES,
    consequences=MappingProxyType(
        {
            200: "done, never posted again",
            **dict.fromkeys((401, 403, 404, 413), _REPEATED_BY_SERVER),
            **dict.fromkeys((429, 503), f"{_REPEATED_BY_SERVER}; Retry-After is honoured and the sender slows down"),
        }
    ),
    source="https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
)

RECEIVING = Receiving(
    tipo=ConnectorType.WEBCHAT,
    verify=verify,
    handshake=handshake,
    answers=ANSWERS,
    kept_headers=frozenset({"content-type", "user-agent", "origin", "webhook-id"}),
    max_body_bytes=MAX_BODY_BYTES,
    methods=frozenset({"POST", "OPTIONS"}),
    rate_limits=(
        RateLimit(key=_address_key, per_minute=300, burst=60),
        RateLimit(key=_token_key, per_minute=20, burst=5),
    ),
    verified_rate_limits=(RateLimit(key=_visitor_key, per_minute=20, burst=5),),
    dialects=MappingProxyType({_SERVER: SERVER_ANSWERS}),
    answer_headers=answer_headers,
)
