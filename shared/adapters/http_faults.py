"""Why a call of ours over HTTP brought no answer.

CallFault                 code, retryable, kind; may_have_left
├── EgressRefused         the guard forbids the address; nothing was sent
├── NameUnresolved        the host has no address now
├── ConnectFailed         nobody took the connection
├── TlsFailed             the handshake broke off
├── CertificateRefused    the server's certificate is not to be trusted
├── CallTimedOut          no complete answer within the deadline
├── ConnectionLost        the peer closed in the middle
├── AnswerTooLarge        body or headers above the limit
├── AnswerUnreadable      no HTTP, or a compression that does not open
└── RedirectRefused       it led where we do not follow
"""

from __future__ import annotations

from typing import ClassVar, Literal

from shared.domain.errors import ChannelsError
from shared.providers.calling import TransportFault

Kind = Literal["connect", "tls", "timeout", "lost", "refused", "unreadable"]


class CallFault(ChannelsError):
    """Base. `may_have_left`: the request, or a part of it, may have reached the peer.

    The text names the host at most: no path, query, header or body, because they may hold a credential. For the same reason the
    library's own error, which quotes the URL, is never its cause.
    """

    code = "call_fault"
    kind: ClassVar[Kind] = "lost"

    def __init__(self, message: str, *, may_have_left: bool = False) -> None:
        super().__init__(message)
        self.may_have_left = may_have_left

    def as_value(self) -> TransportFault:
        """The same for the providers' readers."""
        return TransportFault(kind=self.kind, may_have_left=self.may_have_left, detail=f"{self.code}: {self}")


class EgressRefused(CallFault):
    """Raised before anything is opened for an address that we do not call. `reason` is a short code (`loopback`, `port`, …)."""

    code = "egress_refused"
    kind = "refused"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class NameUnresolved(CallFault):
    """Raised when the host's name has no address, or the name service does not answer."""

    code = "name_unresolved"
    retryable = True
    kind = "connect"


class ConnectFailed(CallFault):
    """Raised when no address of the host takes the connection."""

    code = "connect_failed"
    retryable = True
    kind = "connect"


class TlsFailed(CallFault):
    """Raised when the TLS handshake breaks off."""

    code = "tls_failed"
    retryable = True
    kind = "tls"


class CertificateRefused(CallFault):
    """Raised when the certificate is expired, of another host, or of nobody whom we trust."""

    code = "certificate_refused"
    kind = "tls"


class CallTimedOut(CallFault):
    """Raised when the complete answer was not there in time, also when it dripped."""

    code = "call_timed_out"
    retryable = True
    kind = "timeout"


class ConnectionLost(CallFault):
    """Raised when the connection ended before the answer did."""

    code = "connection_lost"
    retryable = True
    kind = "lost"


class AnswerTooLarge(CallFault):
    """Raised when body (on the wire or unpacked) or headers are above the limit."""

    code = "answer_too_large"
    kind = "unreadable"


class AnswerUnreadable(CallFault):
    """Raised when the answer is no HTTP, or its compression does not open."""

    code = "answer_unreadable"
    kind = "unreadable"


class RedirectRefused(CallFault):
    """Raised when a redirect that was to be followed leads elsewhere with credentials, to plain http, or on for ever."""

    code = "redirect_refused"
    kind = "refused"
