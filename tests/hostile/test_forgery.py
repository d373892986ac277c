"""Forged webhooks are refused, each of them, and by comparisons whose time tells nothing."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable

import pytest

from shared.domain.enums import SecretUse
from shared.providers.contract import Receiving, ReceivingSecret, Refused, Request, Verified
from shared.providers.receiving import RECEIVING
from tests.edge import APP_SECRET, Edge
from tests.hostile.forgery import NAME, judge_many, secrets, send_many, sign


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


def signed(body: bytes, signature: bytes) -> Request:
    return Request(method="POST", query="", headers={NAME: signature}, body=body)


GENUINE = {"whatsapp_official": (signed(b"{}", sign(APP_SECRET, b"{}")), signed(b"{}", sign(b"other", b"{}")))}


# the providers whose proof is an HMAC under each secret; tests/contract/providers has the schemes of all
HMACS = [one for one in RECEIVING if one.tipo.value in GENUINE]


@pytest.mark.parametrize("receiving", HMACS, ids=lambda receiving: receiving.tipo.value)
def test_signatures_are_compared_in_constant_time_and_with_every_secret(receiving: Receiving, tattling: list[int]) -> None:
    genuine, forged = GENUINE[receiving.tipo.value]
    signing = [secret for secret in secrets() if secret.use is SecretUse.SIGN]
    assert isinstance(receiving.verify(genuine, signing), Verified)
    assert len(tattling) == len(signing), "also after a match"
    assert isinstance(receiving.verify(forged, signing), Refused)
    assert len(tattling) == 2 * len(signing)


@pytest.mark.parametrize("receiving", [one for one in HMACS if one.handshake], ids=lambda receiving: receiving.tipo.value)
@pytest.mark.parametrize(("token", "status"), [("right", 200), ("wrong", 403), ("righ", 403), ("", 403)])
def test_verify_tokens_are_compared_in_constant_time(receiving: Receiving, token: str, status: int, tattling: list[int]) -> None:
    known = [ReceivingSecret(id="w/0", use=SecretUse.HANDSHAKE, value=Tattling(b"right")) for _ in range(3)]
    query = f"hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1"
    assert receiving.handshake is not None
    answer = receiving.handshake(Request(method="GET", query=query, headers={}, body=b""), known)
    assert answer.status == status
    assert len(tattling) == len(known)


def plain(request: Request, known: list[ReceivingSecret]) -> bool:
    return any(
        hmac.digest(one.value, request.body, "sha256") == bytes.fromhex(request.headers[NAME][7:].decode()) for one in known
    )


def in_a_set(request: Request, known: list[ReceivingSecret]) -> bool:
    return bytes.fromhex(request.headers[NAME][7:].decode()) in {hmac.digest(one.value, request.body, "sha256") for one in known}


@pytest.mark.parametrize("careless", [plain, in_a_set])
def test_a_careless_comparison_would_be_noticed(careless: Callable[..., bool], tattling: list[int]) -> None:
    genuine, _ = GENUINE["whatsapp_official"]
    with pytest.raises((AssertionError, TypeError)):
        careless(genuine, secrets()[:1])
