"""Amazon SNS's own host over the one HTTP client: a certificate, the confirmation of a subscription.

Which addresses are asked at all the callers decide; the egress guard sees them all the same. No redirect is followed.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from typing import Protocol

from shared.adapters.http_client import Exchange
from shared.adapters.http_faults import EgressRefused
from shared.adapters.http_retries import PATIENT, Effort
from shared.domain.errors import Conflict, Unavailable
from shared.providers.calling import Credentials, PlacedCall, ProviderCall, ProviderResponse, placed

MAX_BYTES = 65_536
_PROVIDER = "email"
_PASSING = frozenset({408, 425, 429})


class Client(Protocol):
    """The HTTP client, as `BlockingHttpClient` has it."""

    def call(self, placed: PlacedCall, *, effort: Effort, provider: str, max_answer_bytes: int) -> Exchange:
        """Blocks within the effort's time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSource:
    """`tls`: whom the client trusts; certificates above a fetched one must lead there too. `seconds`: for one attempt."""

    client: Client
    tls: ssl.SSLContext
    effort: Effort = PATIENT
    seconds: float = 10.0

    @property
    def context(self) -> ssl.SSLContext:
        """The TLS context in force."""
        return self.tls

    def get(self, url: str) -> bytes:
        """The body of a 200 answer. Blocks for `effort.seconds` at most.

        Raises Unavailable where another attempt may help, Conflict (`certificate_gone`, `egress_refused`) where none will: a
        stranger may name a certificate that is not there, and nobody is to look for it for ever.
        """
        accept = (("Accept", "application/x-pem-file, */*"),)
        call = ProviderCall(step="certificate", method="GET", url=url, headers=accept, idempotent=True)
        answer = self._answer(placed(call, {}))
        if answer.status == 200:
            return answer.body
        if answer.status in _PASSING or not 400 <= answer.status < 500:
            raise Unavailable(f"the certificate's host answered {answer.status}")
        raise Conflict(f"the certificate's host has none at this address ({answer.status})", reason="certificate_gone")

    def confirm(self, call: ProviderCall, credentials: Credentials) -> None:
        """Make the call of a `Confirmation`; comes back once Amazon has said yes. Blocks as `get`.

        Raises Unavailable where another attempt may help, Conflict (`confirmation_refused`, `egress_refused`) where none will.
        """
        answer = self._answer(placed(call, credentials))
        if answer.status == 200:
            return
        if answer.status in _PASSING or answer.status >= 500:
            raise Unavailable(f"the topic's host answered {answer.status}")
        raise Conflict(
            f"the topic's host refuses the confirmation ({answer.status}); request it anew there", reason="confirmation_refused"
        )

    def _answer(self, ready: PlacedCall) -> ProviderResponse:
        ready = replace(ready, call=replace(ready.call, timeout_seconds=self.seconds))
        exchange = self.client.call(ready, effort=self.effort, provider=_PROVIDER, max_answer_bytes=MAX_BYTES)
        if isinstance(exchange.answer, ProviderResponse):
            return exchange.answer
        if isinstance(exchange.fault, EgressRefused):
            raise Conflict(f"{exchange.fault}: see docs/EGRESS.md", reason="egress_refused")
        raise Unavailable(f"no answer: {exchange.outcome} ({exchange.fault})")
