"""Logs in at mail servers to see whether it works: takes a provider's call (method IMAP or SMTP), gives answer or fault.

The name is looked up once, each address is judged by the egress guard, and exactly those are connected to. The protocols block,
so each session has a thread, and an end: when its time is over the connection is cut, and the thread sees that.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from types import MappingProxyType

import structlog

from shared.adapters.clock import Clock, SystemClock
from shared.adapters.egress import Egress
from shared.adapters.egress_target import MAIL_PORTS, Target, read_target
from shared.adapters.guarded_dial import GuardedResolver, Lookup, SystemLookup, calling
from shared.adapters.http_faults import EgressRefused
from shared.adapters.imap import (
    CertificateUntrusted,
    Endpoint,
    ImapConnection,
    LoginRefused,
    PasswordLogin,
    Refused,
    ServerAway,
    ServerFaulty,
    StartTlsMissing,
    TokenLogin,
)
from shared.adapters.mail_line import MailLine
from shared.adapters.smtp_login import AnswerTooLong, TlsNotOffered, smtp_login
from shared.providers.calling import PlacedCall, ProviderAnswer, ProviderResponse, TransportFault

METHODS = frozenset({"IMAP", "SMTP"})
_SECONDS = 20.0  # for a whole session, name and goodbye included
_LOOKUP_SECONDS = 5.0
_LOOKUP_THREADS = 16
_MOST_THREADS = 1_024
_log = structlog.get_logger()


class MailLogins:
    """For one event loop. `at_once`: sessions that run beside each other; threads are made as they are needed."""

    def __init__(
        self,
        egress: Egress,
        tls: ssl.SSLContext,
        *,
        at_once: int,
        plain_loopback: bool = False,
        seconds: float = _SECONDS,
        lookup: Lookup | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._egress = egress
        self._tls = tls
        self._plain_loopback = plain_loopback
        self._seconds = seconds
        self._own_lookup = SystemLookup(_LOOKUP_THREADS) if lookup is None else None
        self._lookup = lookup or self._own_lookup
        self._clock = clock or SystemClock()
        self._threads = ThreadPoolExecutor(min(at_once, _MOST_THREADS), thread_name_prefix="mail-login")

    async def call(self, placed: PlacedCall, provider: str) -> ProviderAnswer:
        """Log in, NOOP, log out. An answer has SMTP's statuses, for IMAP as well; raises nothing for what a server does."""
        seconds = min(placed.call.timeout_seconds, self._seconds)
        line, host = MailLine(seconds), ""
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(seconds):
                target = read_target(placed.url, MAIL_PORTS)
                host = target.host
                line.addresses = await self._admitted(target)
                answer = await self._session(line, target, placed)
        except EgressRefused as error:
            answer = TransportFault(kind="refused", may_have_left=False, detail=error.reason)
        except TimeoutError:
            answer = TransportFault(kind="timeout", may_have_left=True)
        except OSError:  # the name service's
            answer = TransportFault(kind="connect", may_have_left=False, detail="name_unresolved")
        finally:
            line.cut()
        outcome = answer.kind if isinstance(answer, TransportFault) else str(answer.status)
        duration_ms = round((asyncio.get_running_loop().time() - began) * 1000)
        level = "debug" if outcome == "250" else "info"
        getattr(_log, level)(
            "mail_login", provider=provider, step=placed.call.step, host=host, outcome=outcome, duration_ms=duration_ms
        )
        return answer

    def close(self) -> None:
        """Begin nothing more; sessions under way are cut by their own calls."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._own_lookup is not None:
            self._own_lookup.close()

    async def _admitted(self, target: Target) -> list[str]:
        self._egress.admit(target)
        if target.address is not None:
            return [str(target.address)]
        assert self._lookup is not None  # noqa: S101  one of the two is there
        token = calling.set(target)
        try:
            found = await GuardedResolver(self._egress, self._lookup, _LOOKUP_SECONDS).resolve(target.host, target.port)
        finally:
            calling.reset(token)
        return [one["host"] for one in found]

    async def _session(self, line: MailLine, target: Target, placed: PlacedCall) -> ProviderAnswer:
        work: Callable[[MailLine, Target, PlacedCall], ProviderAnswer] = self._smtp
        if placed.call.method == "IMAP":
            plain = dict(placed.headers).get("tls") == "none"
            if plain and not (self._plain_loopback and all(ip_address(one).is_loopback for one in line.addresses)):
                raise EgressRefused("a login in the clear", reason="plain_not_allowed")
            work = self._imap
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, line, target, placed)

    def _imap(self, line: MailLine, target: Target, placed: PlacedCall) -> ProviderAnswer:
        headers = dict(placed.headers)
        plain = headers.get("tls") == "none"
        endpoint = Endpoint(
            host=target.host,
            port=target.port,
            tls=None if plain else self._tls,
            starttls=not plain and target.scheme == "imap",
            dial=line.dial,
        )
        username, secret = placed.login or ("", "")
        is_token = headers.get("auth") == "xoauth2"
        login = (
            TokenLogin(username=username, access_token=secret) if is_token else PasswordLogin(username=username, password=secret)
        )
        try:
            left = line.seconds_left()
            connection = ImapConnection(endpoint, connect_seconds=left, command_seconds=left)
            try:
                connection.login(login)
                connection.noop()
                able = "IMAP4REV1 IDLE" if connection.can_idle else "IMAP4REV1"
            finally:
                connection.close()
        except LoginRefused as error:
            return self._answer(535, str(error).encode())
        except Refused as error:
            return self._answer(451, str(error).encode())
        except (ServerAway, ServerFaulty, TimeoutError) as error:
            return _fault(error, line)
        return self._answer(250, b"", able)

    def _smtp(self, line: MailLine, target: Target, placed: PlacedCall) -> ProviderAnswer:
        xoauth2 = dict(placed.headers).get("auth") == "xoauth2"
        try:
            code, told = smtp_login(line, target, self._tls, placed.login or ("", ""), xoauth2=xoauth2)
        except smtplib.SMTPResponseException as error:
            code, told = error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else b""
        except (OSError, ValueError, TlsNotOffered, AnswerTooLong) as error:
            return _fault(error, line)
        return self._answer(code, told) if 200 <= code < 600 else TransportFault(kind="unreadable", may_have_left=True)

    def _answer(self, status: int, told: bytes, able: str = "") -> ProviderResponse:
        headers = MappingProxyType({"capabilities": able} if able else {})
        return ProviderResponse(status=status, body=told, headers=headers, received_at_ms=self._clock.now_ms())


def _fault(error: Exception, line: MailLine) -> TransportFault:
    """Why there is no answer. No text of the library's goes on: it may quote what was sent."""
    if isinstance(error, StartTlsMissing | TlsNotOffered):
        return TransportFault(kind="tls", may_have_left=False, detail="starttls_missing")
    if isinstance(error, CertificateUntrusted | ssl.SSLCertVerificationError):
        return TransportFault(kind="tls", may_have_left=False, detail="certificate_refused")
    if isinstance(error, ServerFaulty | AnswerTooLong | ValueError):
        return TransportFault(kind="unreadable", may_have_left=True)
    if isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError):
        return TransportFault(kind="timeout", may_have_left=True)
    return TransportFault(kind="lost" if line.is_connected else "connect", may_have_left=line.is_connected)
