"""Forged webhooks: signed ones with something changed, or signed with what does not count. None of them may be accepted."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from services.ingest import decide
from services.ingest.decide import Caller, Target
from shared.domain.enums import ConnectorStatus, ConnectorType, SecretUse
from shared.domain.snapshots import ConnectorSnapshot
from shared.providers.contract import ReceivingSecret, Refused, Request
from shared.providers.whatsapp_official.receiving import RECEIVING
from tests.edge import APP_SECRET, VERIFY_TOKEN

NOW_MS = 1_800_000_000_000
EXPIRED, FUTURE, STRANGER = b"a secret that was", b"a secret to come", b"a secret of somebody else"
CONNECTOR_ID = "01990000-0000-7000-8000-00000000000b"
NAME = "x-hub-signature-256"
_HEX = b"0123456789abcdef"
_BODIES = 64


@dataclass(frozen=True, slots=True)
class Forgery:
    """A request that is not genuine. `signature` None: no such header."""

    kind: str
    body: bytes
    signature: bytes | None


def sign(secret: bytes, body: bytes) -> bytes:
    """Value of the signature header."""
    return b"sha256=" + hmac.digest(secret, body, "sha256").hex().encode()


def secrets() -> tuple[ReceivingSecret, ...]:
    """Two that hold now, and three that do not count for a signature."""

    def secret(number: int, use: SecretUse, value: bytes, **window: int) -> ReceivingSecret:
        return ReceivingSecret(id=f"w/{number}", use=use, value=value, **window)

    return (
        secret(0, SecretUse.SIGN, APP_SECRET),
        secret(1, SecretUse.SIGN, b"the next secret", not_before_ms=NOW_MS - 1),
        secret(2, SecretUse.SIGN, EXPIRED, not_after_ms=NOW_MS - 1),
        secret(3, SecretUse.SIGN, FUTURE, not_before_ms=NOW_MS + 1),
        secret(4, SecretUse.HANDSHAKE, VERIFY_TOKEN),
    )


def forgeries(seed: int) -> Iterator[Forgery]:
    """Without end; the same for the same seed."""
    chance = random.Random(seed)
    bodies = [b'{"entry":[{"id":"%d","changes":[%s]}]}' % (n, b'{"x":1},' * (n % 9)) for n in range(_BODIES)]
    signed = [(body, sign(APP_SECRET, body)) for body in bodies]
    kinds = list(_KINDS.items())
    while True:
        kind, forge = kinds[chance.randrange(len(kinds))]
        body, signature = signed[chance.randrange(_BODIES)]
        changed, header = forge(chance, body, signature)
        yield Forgery(kind, changed, header)


def _digit(chance: random.Random, body: bytes, signature: bytes) -> tuple[bytes, bytes]:
    at = chance.randrange(7, len(signature))
    other = chance.choice(_HEX.replace(signature[at : at + 1], b""))
    return body, signature[:at] + bytes([other]) + signature[at + 1 :]


def _bit(chance: random.Random, body: bytes, signature: bytes) -> tuple[bytes, bytes]:
    at = chance.randrange(len(body))
    return body[:at] + bytes([body[at] ^ 1 << chance.randrange(8)]) + body[at + 1 :], signature


def _insert(chance: random.Random, body: bytes, signature: bytes) -> tuple[bytes, bytes]:
    at = chance.randrange(len(body) + 1)
    return body[:at] + chance.choice((b" ", b"\n", b"\x00", b"}")) + body[at:], signature


def _length(chance: random.Random, body: bytes, signature: bytes) -> tuple[bytes, bytes]:
    cut = chance.randrange(len(signature))
    return body, chance.choice((signature[:cut], signature + signature[-1 - cut % 9 :], signature[:7], signature[7:]))


_Forge = Callable[[random.Random, bytes, bytes], tuple[bytes, bytes | None]]
_KINDS: dict[str, _Forge] = {
    "a digit of the signature": _digit,
    "a bit of the body": _bit,
    "a byte put into the body": _insert,
    "the end of the body cut off": lambda chance, body, signature: (body[: chance.randrange(len(body))], signature),
    "another body's signature": lambda chance, body, signature: (body + b"\n", signature),
    "a signature of another length": _length,
    "capitals": lambda chance, body, signature: (body, b"sha256=" + signature[7:-2].upper() + b"AF"),
    "another algorithm's name": lambda chance, body, signature: (body, chance.choice((b"sha1", b"sha512", b"")) + signature[6:]),
    "a space inside": lambda chance, body, signature: (body, signature[:7] + b" " + signature[7:]),
    "two signatures": lambda chance, body, signature: (body, signature + b", " + signature),
    "no signature": lambda chance, body, signature: (body, None),
    "a stranger's secret": lambda chance, body, signature: (body, sign(STRANGER, body)),
    "an expired secret": lambda chance, body, signature: (body, sign(EXPIRED, body)),
    "a secret to come": lambda chance, body, signature: (body, sign(FUTURE, body)),
    "the verify token": lambda chance, body, signature: (body, sign(VERIFY_TOKEN, body)),
    "an empty secret": lambda chance, body, signature: (body, sign(b"", body)),
    "no HMAC, only a hash": lambda chance, body, signature: (body, b"sha256=" + _hash(APP_SECRET + body)),
}


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def caller() -> Caller:
    """A connector of the tests, as `admit` would find it."""
    snapshot = ConnectorSnapshot(
        version=1,
        connector_id=CONNECTOR_ID,
        tenant_id=CONNECTOR_ID,
        tipo=ConnectorType.WHATSAPP_OFFICIAL,
        status=ConnectorStatus.ACTIVE,
        config="{}",
        webhooks=(),
        ingest_keys=(),
    )
    target = Target(connector_id=CONNECTOR_ID, account_id=None, query="")
    return Caller(target=target, connector=snapshot, receiving=RECEIVING)


def request_of(forgery: Forgery) -> Request:
    """As the edge hands it to the provider."""
    headers = {} if forgery.signature is None else {NAME: forgery.signature}
    return Request(method="POST", query="", headers=headers, body=forgery.body)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What became of many forgeries."""

    refused: int
    accepted: tuple[Forgery, ...]
    kinds: dict[str, int]
    seconds: float


def judge_many(count: int, seed: int) -> Verdicts:
    """Through the edge's decision and the provider's verification, in this process."""
    who, known, kinds = caller(), secrets(), Counter[str]()
    accepted: list[Forgery] = []
    source, began = forgeries(seed), time.perf_counter()
    for _ in range(count):
        forgery = next(source)
        kinds[forgery.kind] += 1
        if not isinstance(decide.judge(who, request_of(forgery), known, NOW_MS), Refused):
            accepted.append(forgery)
    return Verdicts(count - len(accepted), tuple(accepted), dict(kinds), time.perf_counter() - began)


def wire_bytes(forgery: Forgery, path: str) -> bytes:
    """The forgery as an HTTP request."""
    header = b"" if forgery.signature is None else b"X-Hub-Signature-256: " + forgery.signature + b"\r\n"
    head = b"POST %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n" % (path.encode(), header, len(forgery.body))
    return head + forgery.body


async def send_many(port: int, path: str, count: int, seed: int, connections: int = 8) -> Counter[int]:
    """Over sockets, pipelined by four; how often each status came."""
    found: Counter[int] = Counter()
    source = forgeries(seed)

    async def one(share: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        left = share
        while left:
            batch = [next(source) for _ in range(min(4, left))]
            writer.write(b"".join(wire_bytes(forgery, path) for forgery in batch))
            for _ in batch:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                found[int(head[9:12])] += 1
            left -= len(batch)
        writer.close()

    await asyncio.gather(*(one(count // connections) for _ in range(connections)))
    return found
