"""Verification cannot be skipped: each provider's `signature_good`, changed in every way that must be refused.

`CHANNELS_TEST_MUTATIONS` sets how many changed requests each scheme gets (10 000 without it).
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from shared.domain.enums import SecretUse
from shared.providers.contract import Provider, ReceivingSecret, Request, Verified
from tests.contract.providers.examples import Example, examples_in, request_of, secrets_of
from tests.contract.providers.test_examples import VOICE_IDS, VOICES

MUTATIONS = int(os.environ.get("CHANNELS_TEST_MUTATIONS", "10000"))
WRONG = ReceivingSecret(id="webhook/wrong", use=SecretUse.SIGN, value=b"another-secret-of-some-length-0123456789")
EMPTY = ReceivingSecret(id="webhook/empty", use=SecretUse.SIGN, value=b"")

voices = pytest.mark.parametrize(("provider", "dialect", "folder"), VOICES, ids=VOICE_IDS)


def _good(dialect: str | None, folder: Path) -> tuple[Example, Request, list[ReceivingSecret], list[str]]:
    example = next(example for example in examples_in(folder, dialect) if example.name == "signature_good")
    return example, request_of(example), secrets_of(example), example.request["proof"]


def _changed(request: Request, **parts: object) -> Request:
    fields = {name: getattr(request, name) for name in request.__struct_fields__}
    return Request(**(fields | parts))


def _verified(provider: Provider, request: Request, secrets: Sequence[ReceivingSecret]) -> bool:
    return isinstance(provider.receiving.verify(request, secrets), Verified)


@pytest.mark.req(77)
@voices
class TestTable:
    def test_the_good_request_passes_under_any_place_of_its_secret(
        self, provider: Provider, dialect: str | None, folder: Path
    ) -> None:
        _, request, secrets, _ = _good(dialect, folder)
        assert _verified(provider, request, secrets)
        assert _verified(provider, request, [WRONG, *secrets])
        assert _verified(provider, request, [*secrets, WRONG])
        assert _verified(provider, request, [EMPTY, *secrets])

    def test_without_the_right_secret_nothing_passes(self, provider: Provider, dialect: str | None, folder: Path) -> None:
        _, request, secrets, proof = _good(dialect, folder)
        if not secrets or "certificates" in _good(dialect, folder)[0].request:
            pytest.skip("proven by a certificate")
        for others in ([], [WRONG], [EMPTY], [WRONG, EMPTY]):
            assert not _verified(provider, request, others)
        handshake = [ReceivingSecret(id=one.id, use=SecretUse.HANDSHAKE, value=one.value) for one in secrets]
        assert not _verified(provider, request, handshake)
        assert proof

    def test_a_header_of_the_proof_can_be_neither_missing_nor_other(
        self, provider: Provider, dialect: str | None, folder: Path
    ) -> None:
        _, request, secrets, proof = _good(dialect, folder)
        for name in proof:
            if name.startswith(("body", "query")):
                continue
            value = request.headers[name]
            without = {other: said for other, said in request.headers.items() if other != name}
            assert not _verified(provider, _changed(request, headers=without), secrets)
            odd = (
                b"",
                b" ",
                b"\xff\xfe",
                b"x" * 10_000,
                value[:-1],
                value + b"0",
                b"x" + value,
                value + b", " + value,
                value[::-1],
            )
            for other in odd:
                changed = _changed(request, headers={**without, name: other})
                assert not _verified(provider, changed, secrets), (name, other[:40])

    def test_a_body_of_the_proof_cannot_be_written_anew(self, provider: Provider, dialect: str | None, folder: Path) -> None:
        _, request, secrets, proof = _good(dialect, folder)
        if "body" not in proof:
            pytest.skip("this scheme does not cover the body")
        others = [b"", request.body + b" ", request.body + b"\n", request.body[:-1], b" " + request.body]
        try:
            document = json.loads(request.body)
            others += [json.dumps(document).encode(), json.dumps(document, indent=1).encode(), b"{}"]
        except ValueError:
            pass
        for body in others:
            assert body == request.body or not _verified(provider, _changed(request, body=body), secrets), body[:40]


@pytest.mark.req(77)
@voices
def test_no_changed_request_is_accepted(provider: Provider, dialect: str | None, folder: Path) -> None:
    """Bits flipped, bytes cut, doubled and swapped in whatever the proof names: 0 accepted, 0 exceptions."""
    _, request, secrets, proof = _good(dialect, folder)
    chance = random.Random(20260901)
    for _ in range(MUTATIONS):
        part = chance.choice(proof)
        old = _proof_of(request, part)
        new = _mutated(bytearray(old), chance)
        if new == old:
            continue
        if part.startswith("body"):
            changed = _changed(request, body=new if part == "body" else request.body.replace(old, new))
        elif part == "query":
            changed = _changed(request, query=new.decode("latin-1"))
        else:
            changed = _changed(request, headers={**request.headers, part: new})
        assert not _verified(provider, changed, secrets), (part, new[:200])


def _proof_of(request: Request, part: str) -> bytes:
    """`body`, `query`, a header, or `body:` and a text that the body holds exactly once."""
    if part.startswith("body:"):
        text = part.removeprefix("body:").encode()
        assert request.body.count(text) == 1
        return text
    return request.body if part == "body" else request.query.encode() if part == "query" else request.headers[part]


def _mutated(data: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data)) if data else 0
        match chance.randrange(6):
            case 0 if data:
                data[at] ^= 1 << chance.randrange(8)
            case 1 if data:
                del data[at]
            case 2:
                data.insert(at, chance.randrange(256))
            case 3 if data:
                data[at] = chance.randrange(256)
            case 4:
                del data[at:]
            case _:
                data[at:at] = data[max(0, at - chance.randint(1, 8)) : at]
    return bytes(data)
