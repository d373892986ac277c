"""One pool of connections under one set of egress rules: makes a single attempt, and translates what goes wrong.

aiohttp by itself would repeat a GET on a lost connection, follow redirects, read proxies from the environment, keep cookies and
unpack without limit; all of that is off or done by ours.
"""

from __future__ import annotations

import asyncio
import io
import ssl
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from shared.adapters.egress import Egress
from shared.adapters.egress_target import Target
from shared.adapters.guarded_dial import GuardedResolver, Lookup, calling, socket_opener
from shared.adapters.http_answer import read_body
from shared.adapters.http_faults import (
    AnswerTooLarge,
    AnswerUnreadable,
    CallFault,
    CallTimedOut,
    CertificateRefused,
    ConnectFailed,
    ConnectionLost,
    NameUnresolved,
    TlsFailed,
)
from shared.adapters.http_request import WireRequest

_READ_BYTES = 65_536
_NAMES_KEPT_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """`connect_seconds` bounds the look-up of a name, and connecting with TLS to one address; sizes are in bytes."""

    connect_seconds: float = 5.0
    max_answer_bytes: int = 2_097_152
    max_header_bytes: int = 65_536
    max_header_field_bytes: int = 8_190
    connections: int = 512
    connections_per_host: int = 32
    keepalive_seconds: float = 15.0  # below what servers keep: a request on a closed connection is of unknown outcome
    user_agent: str = "channels"


@dataclass(frozen=True, slots=True, kw_only=True)
class WireAnswer:
    """Status, headers (names in lower case, repeated ones joined) and the unpacked body."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Trip:
    """One attempt. `left`: a connection was in hand, so that a part of the request may have gone out."""

    left = False


class HttpPool:
    """Belongs to the running event loop; `close` it."""

    def __init__(self, egress: Egress, limits: HttpLimits, tls: ssl.SSLContext, lookup: Lookup) -> None:
        self.egress = egress
        self._limits = limits
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(egress, lookup, limits.connect_seconds),
            socket_factory=socket_opener(egress),
            ssl=tls,
            limit=limits.connections,
            limit_per_host=limits.connections_per_host,
            keepalive_timeout=limits.keepalive_seconds,
            ttl_dns_cache=_NAMES_KEPT_SECONDS,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(sock_connect=limits.connect_seconds),
            read_bufsize=_READ_BYTES,
            max_line_size=limits.max_header_field_bytes,
            max_field_size=limits.max_header_field_bytes,
            skip_auto_headers=("User-Agent", "Content-Type"),
            trace_configs=[_departures()],
            middlewares=(_once,),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def attempt(self, target: Target, request: WireRequest, *, max_bytes: int, seconds: float) -> WireAnswer:
        """One request and its whole answer within `seconds`, the wait for a connection included; raises CallFault."""
        self.egress.admit(target)
        trip = _Trip()
        mark = calling.set(target)
        try:
            async with asyncio.timeout(seconds):
                return await self._ask(target, request, trip, max_bytes)
        except CallFault:
            raise
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            fault = _translated(error, target.host, trip.left)
        finally:
            calling.reset(mark)
        raise fault  # out here, so that it does not drag along the library's error, which quotes the URL

    async def _ask(self, target: Target, request: WireRequest, trip: _Trip, max_bytes: int) -> WireAnswer:
        body = None if request.body is None else io.BytesIO(request.body)
        asked = self._session.request(
            request.method, _url(target), headers=request.headers, data=body, allow_redirects=False, trace_request_ctx=trip
        )
        async with asked as response:
            try:
                headers = self._headers(response)
                content = await read_body(headers, response.content.iter_any(), max_bytes)
            except BaseException:
                response.close()  # at once: nobody reads what is left of it
                raise
            return WireAnswer(status=response.status, headers=headers, body=content)

    def _headers(self, response: aiohttp.ClientResponse) -> dict[str, str]:
        if sum(len(name) + len(value) + 4 for name, value in response.raw_headers) > self._limits.max_header_bytes:
            raise AnswerTooLarge(f"the answer has more than {self._limits.max_header_bytes} bytes of headers", may_have_left=True)
        found: dict[str, str] = {}
        for raw_name, raw_value in response.raw_headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found


def _url(target: Target) -> URL:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return URL(f"{target.scheme}://{host}:{target.port}{target.tail}", encoded=True)


def _departures() -> aiohttp.TraceConfig:
    """Notes when a connection is in hand: from then on nobody can tell what the peer has read."""

    async def in_hand(_session: aiohttp.ClientSession, context: SimpleNamespace, _told: Any) -> None:
        context.trace_request_ctx.left = True

    traces = aiohttp.TraceConfig()
    traces.on_connection_create_end.append(in_hand)
    traces.on_connection_reuseconn.append(in_hand)
    return traces


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp repeats idempotent methods on these two errors; whether a call may be repeated is not for the method to say."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
        raise aiohttp.ClientConnectionError("lost") from None


_BEFORE_SENDING: tuple[tuple[type[Exception], type[CallFault], str], ...] = (
    (aiohttp.ClientConnectorCertificateError, CertificateRefused, "the certificate of {} is not to be trusted"),
    (aiohttp.ClientConnectorSSLError, TlsFailed, "no TLS with {}"),
    (aiohttp.ClientConnectorDNSError, NameUnresolved, "{} has no address"),
    (aiohttp.ClientConnectorError, ConnectFailed, "{} does not take the connection"),
)
_ANY_TIME: tuple[tuple[type[Exception], type[CallFault], str], ...] = (
    (TimeoutError, CallTimedOut, "no answer of {} in time"),
    (aiohttp.ClientResponseError, AnswerUnreadable, "the answer of {} is no HTTP that we read"),
    (HttpProcessingError, AnswerUnreadable, "the answer of {} is no HTTP that we read"),
    (Exception, ConnectionLost, "{} closed the connection"),
)


def _translated(error: Exception, host: str, left: bool) -> CallFault:
    for of_library, of_ours, text in _BEFORE_SENDING:
        if isinstance(error, of_library):
            return of_ours(text.format(host))
    of_ours, text = next((ours, text) for library, ours, text in _ANY_TIME if isinstance(error, library))
    return of_ours(text.format(host), may_have_left=left)
