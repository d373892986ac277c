"""Answers sync's question whether a secret is live here, from the snapshot in hand; nothing is written. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.ingest.answers import Answer, Outcome
from services.ingest.decide import Caller, live
from shared.domain import edge_probe
from shared.domain.enums import SecretUse
from shared.providers.contract import ReceivingSecret, Request

_REFUSED = Answer(status=403, outcome=Outcome.REFUSED, reason="probe_refused")


def answer_probe(caller: Caller, request: Request, secrets: Sequence[ReceivingSecret], now_ms: int) -> Answer:
    """The version of the connector's snapshot, for who proves to have one of the secrets that hold now."""
    connector = caller.connector
    given = request.headers.get(edge_probe.HEADER, b"").decode("latin-1")
    asked = edge_probe.read_question(connector.connector_id, given, now_ms)
    if asked is None:
        return _REFUSED
    probe, proof = asked
    candidates = [secret for use in SecretUse for secret in live(secrets, use, now_ms)]
    proving = [secret for secret in candidates if edge_probe.is_proven(probe, proof, secret.value)]  # all of them, always
    if not proving:
        return _REFUSED
    return Answer(status=200, outcome=Outcome.PROBE, body=edge_probe.answer(probe, proving[0].value, connector.version))
