"""Forged webhooks are refused, also over sockets; verify tokens are compared in a time that tells nothing.

The same for the scheme of every provider, in process: tests/contract/providers/test_schemes.py.
"""

from __future__ import annotations

import asyncio
import hmac

import pytest

from shared.domain.enums import SecretUse
from shared.providers.contract import ReceivingSecret, Request
from shared.providers.whatsapp_official.receiving import RECEIVING
from tests.edge import Edge
from tests.hostile.forgery import judge_many, send_many


def test_no_forgery_is_accepted() -> None:
    verdicts = judge_many(20_000, seed=4)
    assert verdicts.accepted == ()
    assert min(verdicts.kinds.values()) > 500


def test_no_forgery_is_accepted_over_sockets(edge: Edge) -> None:
    process = edge.start()
    assert asyncio.run(send_many(edge.port, edge.url(), 800, seed=5)) == {401: 800}
    assert edge.end_offset() == 0
    assert edge.post().status == 200
    assert not [line for line in process.lines() if line["event"] == "request_failed"]


class Tattling(bytes):
    """A secret value that may be compared by `hmac.compare_digest` only."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared with ==")

    def __ne__(self, other: object) -> bool:
        raise AssertionError("compared with !=")


@pytest.fixture
def tattling(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every HMAC from now on tattles; the list grows with each comparison in constant time."""
    digest, compare, calls = hmac.digest, hmac.compare_digest, list[int]()

    def counted(one: bytes, other: bytes) -> bool:
        calls.append(1)
        return compare(one, other)

    monkeypatch.setattr(hmac, "digest", lambda key, message, name: Tattling(digest(key, message, name)))
    monkeypatch.setattr(hmac, "compare_digest", counted)
    return calls


@pytest.mark.parametrize(("token", "status"), [("right", 200), ("wrong", 403), ("righ", 403), ("", 403)])
def test_verify_tokens_are_compared_in_constant_time(token: str, status: int, tattling: list[int]) -> None:
    known = [ReceivingSecret(id="w/0", use=SecretUse.HANDSHAKE, value=Tattling(b"right")) for _ in range(3)]
    query = f"hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1"
    assert RECEIVING.handshake is not None
    answer = RECEIVING.handshake(Request(method="GET", query=query, headers={}, body=b""), known)
    assert answer.status == status
    assert len(tattling) == len(known)
