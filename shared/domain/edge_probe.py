"""A question that only the edge can answer: do you take webhooks under this receiving secret, and since which snapshot?

The asker proves that it has the secret, the edge proves that it has it too, and neither shows it. So the answer cannot come from
a page that answers everything with 200, and a stranger learns nothing. The keys of these proofs are derived from the secret, so
that no proof can be taken for the signature of a webhook.

    GET /webhooks/{connector_id}/probe
    X-Channels-Probe: <ms since 1970>.<nonce>.<proof>

    200 <version of the snapshot>.<proof>       403: not under this secret
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

HEADER = "x-channels-probe"
TOLERANCE_MS = 300_000  # between the clocks of asker and edge
_FORM = re.compile(r"([0-9]{1,15})\.([0-9a-f]{32})\.([0-9a-f]{64})")
_ANSWER = re.compile(rb"([0-9]{1,18})\.([0-9a-f]{64})\n?")
_PURPOSE = b"channels edge probe, version 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One question. `nonce`: 32 hexadecimal digits of the asker's."""

    connector_id: str
    at_ms: int
    nonce: str


def question(probe: Probe, secret: bytes) -> str:
    """Value of the header."""
    return f"{probe.at_ms}.{probe.nonce}.{_proof(secret, 'question', probe)}"


def read_question(connector_id: str, header: str, now_ms: int) -> tuple[Probe, str] | None:
    """The question and its proof; None for another form, or a time that is not now."""
    match = _FORM.fullmatch(header)
    if match is None or abs(now_ms - int(match[1])) > TOLERANCE_MS:
        return None
    return Probe(connector_id=connector_id, at_ms=int(match[1]), nonce=match[2]), match[3]


def is_proven(probe: Probe, proof: str, secret: bytes) -> bool:
    """Whether the asker has this secret; compares in constant time."""
    return hmac.compare_digest(proof, _proof(secret, "question", probe))


def answer(probe: Probe, secret: bytes, version: int) -> bytes:
    """Body of the answer."""
    return f"{version}.{_proof(secret, f'answer {version}', probe)}\n".encode("ascii")


def read_answer(probe: Probe, secret: bytes, body: bytes) -> int | None:
    """The version that the edge has; None for a body that does not prove it."""
    match = _ANSWER.fullmatch(body)
    if match is None:
        return None
    version = int(match[1])
    wanted = _proof(secret, f"answer {version}", probe).encode("ascii")
    return version if hmac.compare_digest(match[2], wanted) else None


def _proof(secret: bytes, what: str, probe: Probe) -> str:
    key = hmac.digest(secret, _PURPOSE, "sha256")
    told = f"{what}\n{probe.connector_id}\n{probe.at_ms}\n{probe.nonce}".encode()
    return hmac.digest(key, told, "sha256").hex()
