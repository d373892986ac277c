"""The schemes by which webhooks are proven: one for each voice, with the same cases and the same mutations for all.

Requests are made and signed by the simulator; verdicts come through the edge's own decision (`decide.judge`), so a provider
cannot bring a verification of its own that nobody tests. What a scheme does not promise (Telegram does not sign bodies) is
declared in TRAITS and held by the cases too, so that a declaration cannot hide a hole.
"""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal
from urllib.parse import unquote

from services.ingest import decide
from services.simulator.people import person
from services.simulator.utterances import Utterance
from shared.domain.enums import SecretUse
from shared.providers.contract import ReceivingSecret, Request, Verdict
from tests.contract.providers.voices import VOICES, Speaker, Voice, caller_of

_YEAR_MS = 366 * 86_400_000
_ROLES = ("right", "next", "expired", "future", "handshake", "stranger")
_BODIES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a scheme is made of. `names`: headers, parameter, or fields of the body that carry the proof, the proof first.

    `covered`: which bytes of a body the proof covers; None: none of them. `ages`: an old proof is refused.
    `sealed`: which bytes something beneath the proof covers (Amazon's signature beneath our credential).
    `keyed`: the connector's secret decides (SNS: Amazon's certificate does).
    """

    place: Literal["header", "query", "form", "json"]
    names: tuple[str, ...]
    prefix: bytes = b""
    covered: Callable[[bytes], tuple[int, int]] | None = None
    sealed: Callable[[bytes], tuple[int, int]] | None = None
    ages: bool = False
    keyed: bool = True


def _whole(body: bytes) -> tuple[int, int]:
    return 0, len(body)


def _sns_message(body: bytes) -> tuple[int, int]:
    start = body.index(b'"Message": "') + len(b'"Message": "')
    return start, body.index(b'", "MessageId"')


_TWILIO = ("x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp")
_SNS = Traits(place="json", names=("Signature", "Timestamp", "MessageId"), covered=_sns_message, ages=True, keyed=False)
_MAILGUN = Traits(place="form", names=("signature", "token", "timestamp"), ages=True)
_SENDGRID = Traits(place="header", names=_TWILIO, covered=_whole, ages=True)
_BASIC = Traits(place="header", names=("authorization",), prefix=b"Basic ")

TRAITS: dict[str, Traits] = {
    "whatsapp_official": Traits(place="header", names=("x-hub-signature-256",), prefix=b"sha256=", covered=_whole),
    "telegram": Traits(place="header", names=("x-telegram-bot-api-secret-token",)),
    "whatsapp_unofficial-evolution-header": Traits(place="header", names=("x-channel-secret",)),
    "whatsapp_unofficial-evolution-jwt": Traits(place="header", names=("authorization",), prefix=b"Bearer ", ages=True),
    "whatsapp_unofficial-waha-hmac": Traits(place="header", names=("x-webhook-hmac",), covered=_whole),
    "whatsapp_unofficial-zapi-header": Traits(place="header", names=("z-api-token",)),
    "whatsapp_unofficial-zapi-query": Traits(place="query", names=("secret",)),
    "email-mailgun-signature": _MAILGUN,
    "email-mailgun-signature-raw": _MAILGUN,
    "email-sendgrid-signature": _SENDGRID,
    "email-sendgrid-signature-raw": _SENDGRID,
    "email-sendgrid-url": Traits(place="query", names=("key",)),
    "email-postmark-basic": _BASIC,
    "email-postmark-url": Traits(place="query", names=("key",)),
    "email-ses-signature": _SNS,
    "email-ses-signature-sha1": _SNS,
    "email-ses-basic": Traits(place="header", names=("authorization",), prefix=b"Basic ", sealed=_sns_message, ages=True),
    "webchat-browser": Traits(place="header", names=("authorization",), prefix=b"Bearer ", ages=True),
    "webchat-server": Traits(
        place="header",
        names=("webhook-signature", "webhook-id", "webhook-timestamp"),
        prefix=b"v1,",
        covered=_whole,
        ages=True,
    ),
    "email-imap-signature": Traits(
        place="header", names=("x-channels-signature", "x-channels-timestamp"), prefix=b"sha256=", covered=_whole, ages=True
    ),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One required case: the request, the secrets that the connector has, and whether it must be accepted."""

    name: str
    request: Request
    secrets: tuple[ReceivingSecret, ...]
    now_ms: int
    accepted: bool


CASES = (
    *("good", "wrong secret", "flipped byte", "re-serialised body", "missing proof", "empty proof", "wrong prefix"),
    *("old timestamp", "second live secret", "expired secret", "no secret"),
)


class Scheme:
    """One voice with the requests of every role, made once."""

    def __init__(self, voice: Voice) -> None:
        self.voice = voice
        self.traits = TRAITS[voice.name]
        self.caller = caller_of(voice)
        self._speakers = {role: self._speaker(number, role) for number, role in enumerate(_ROLES)}
        self.now_ms = self._speakers["right"].simulator.clock.now_ms

    def _speaker(self, number: int, role: str) -> Speaker:
        speaker = Speaker(self.voice, seed=number + 1, secret=_secret(self.traits, self.voice, role))
        if not self.traits.keyed:
            speaker.account.about["key"] = 0 if role == "right" else number
        return speaker

    @cached_property
    def posted(self) -> dict[str, list[Request]]:
        """Genuine requests of every role; those of all roles but `right` and `next` must be refused."""
        texts = [f"número {number} → " + "x" * (number % 9) for number in range(_BODIES)]
        return {role: [self._request(speaker, text) for text in texts] for role, speaker in self._speakers.items()}

    def _request(self, speaker: Speaker, text: str) -> Request:
        request = speaker.request(speaker.says(person(2), Utterance(kind="text", text=text))[1])
        right = self._speakers["right"]  # every forger knows the certificate, and uses the right address
        request.certificates = right.certificates
        return request

    def secrets(self, *roles: str) -> tuple[ReceivingSecret, ...]:
        """What the connector has, with the windows that the roles' names say."""
        windows = {"expired": {"not_after_ms": self.now_ms - 1}, "future": {"not_before_ms": self.now_ms + 1}}
        return tuple(
            ReceivingSecret(
                id=f"w/{number}",
                use=SecretUse.HANDSHAKE if role == "handshake" else SecretUse.SIGN,
                value=self._speakers[role].secret,
                **windows.get(role, {}),
            )
            for number, role in enumerate(roles)
        )

    @cached_property
    def known(self) -> tuple[ReceivingSecret, ...]:
        """All but the stranger's."""
        return self.secrets("right", "next", "expired", "future", "handshake")

    def judge(self, request: Request, secrets: Sequence[ReceivingSecret], now_ms: int | None = None) -> Verdict:
        """The edge's own decision."""
        return decide.judge(self.caller, request, secrets, now_ms or self.now_ms)

    def cases(self) -> list[Case]:
        """All of CASES; what the scheme cannot tell (a body that it does not cover) must be accepted."""
        right, traits, name = self.posted["right"][0], self.traits, self.traits.names[0]
        old = copy_of(right, received_at_ms=self.now_ms + _YEAR_MS)
        touched = flipped(right, traits)
        keyed, covered = traits.keyed, (traits.covered or traits.sealed) is not None
        prefix = b"sha1=" if traits.prefix else b"sha256="
        proof = proof_of(right, traits, name)
        wrong = prefix + proof.removeprefix(traits.prefix)
        made = (
            (right, ("right",), None, True),
            (self.posted["stranger"][0], ("right",), None, False),
            (touched, ("right",), None, not covered),
            (reserialised(right), ("right",), None, not covered or traits.sealed is not None or traits.place == "json"),
            (with_proof(right, traits, name, None), ("right",), None, False),
            (with_proof(right, traits, name, b""), ("right",), None, False),
            (with_proof(right, traits, name, wrong), ("right",), None, False),
            (old, ("right",), self.now_ms + _YEAR_MS, not traits.ages),
            (self.posted["next"][0] if keyed else right, ("right", "next"), None, True),
            (self.posted["expired"][0], ("right", "expired"), None, False),
            (right, (), None, not keyed),
        )
        return [
            Case(case, request, self.secrets(*roles), now_ms or self.now_ms, accepted)
            for case, (request, roles, now_ms, accepted) in zip(CASES, made, strict=True)
        ]

    def forgeries(self, seed: int) -> Iterator[tuple[str, Request]]:
        """Without end; the same for the same seed."""
        chance = random.Random(f"{self.voice.name}/{seed}")
        kinds = [
            (name, forge)
            for name, forge in _FORGERIES.items()
            if self.traits.covered is not None or name not in FORGERIES_OF_BODIES
        ]
        right = self.posted["right"]
        while True:
            name, forge = kinds[chance.randrange(len(kinds))]
            genuine = right[chance.randrange(_BODIES)]
            forged = forge(self, chance, genuine)
            if forged is not None and not same(forged, genuine, self.traits):
                yield name, forged


def _secret(traits: Traits, voice: Voice, role: str) -> str:
    """A secret of the form that the scheme wants."""
    text = f"{role}-secret_of-the-tests-0123456789"
    if traits.prefix == b"Basic ":
        return f"user:{text}"
    return "whsec_" + base64.b64encode(text.encode()).decode() if voice.stand_in == "webchat_server" else text


def copy_of(request: Request, **changes: Any) -> Request:
    """The request with other fields; headers are its own."""
    fields = {name: getattr(request, name) for name in Request.__struct_fields__}
    return Request(**{**fields, "headers": dict(request.headers), **changes})


def same(one: Request, other: Request, traits: Traits) -> bool:
    """Nothing was changed after all: another spelling of the URL, or of JSON whose fields are signed, says the same."""
    if traits.place == "header" and one.headers != other.headers:
        return False
    alike = json.loads if traits.place == "json" else bytes
    try:
        bodies = alike(one.body) == alike(other.body)
    except ValueError:
        bodies = one.body == other.body
    return bodies and (unquote(one.query), one.headers) == (unquote(other.query), other.headers)


def proof_of(request: Request, traits: Traits, name: str) -> bytes:
    """The value that carries the proof, as it stands on the wire."""
    if traits.place == "header":
        return bytes(request.headers[name])
    if traits.place == "query":
        return request.query.partition(f"{name}=")[2].encode("latin-1")
    if traits.place == "json":
        return str(json.loads(request.body)[name]).encode()
    found = _field(name).search(request.body)
    assert found is not None
    return found[2]


def with_proof(request: Request, traits: Traits, name: str, value: bytes | None) -> Request:
    """The request with another proof; None: none at all."""
    if traits.place == "header":
        headers = {key: text for key, text in request.headers.items() if key != name} | ({} if value is None else {name: value})
        return copy_of(request, headers=headers)
    if traits.place == "query":
        return copy_of(request, query="" if value is None else f"{name}={value.decode('latin-1')}")
    if traits.place == "json":
        document = {key: text for key, text in json.loads(request.body).items() if key != name}
        document |= {} if value is None else {name: value.decode("latin-1")}
        return copy_of(request, body=json.dumps(document).encode())
    if value is None:
        return copy_of(request, body=request.body.replace(f'name="{name}"'.encode(), f'name="x-{name}"'.encode()))
    return copy_of(request, body=_field(name).sub(lambda match: match[1] + value + match[3], request.body))


def _field(name: str) -> re.Pattern[bytes]:
    return re.compile(rb'(name="' + name.encode() + rb'"\r\n\r\n)([^\r\n]*)(\r\n)')


def flipped(request: Request, traits: Traits) -> Request:
    """One byte in the middle of what is covered is another one; where nothing is, one of the text."""
    covered = traits.covered or traits.sealed
    start, end = covered(request.body) if covered is not None else _text_in(request.body)
    at = (start + end) // 2
    return copy_of(request, body=request.body[:at] + bytes([request.body[at] ^ 1]) + request.body[at + 1 :])


def _text_in(body: bytes) -> tuple[int, int]:
    start = max(body.find(b"mero"), body.find(b"Pedido"))
    assert start > 0
    return start, start + 4


def reserialised(request: Request) -> Request:
    """What a well-meaning proxy makes of the body: the same JSON in another spelling, or another line end."""
    try:
        document = json.loads(request.body)
    except ValueError:
        return copy_of(request, body=request.body + b"\r\n")
    return copy_of(request, body=json.dumps(document, indent=1, ensure_ascii=False).encode())


# Forgeries of any scheme. Each gives a request that must be refused, or None where it has no sense here.
_Forge = Callable[[Scheme, random.Random, Request], Request | None]


def _proof(change: Callable[[random.Random, bytes, Traits], bytes | None]) -> _Forge:
    def forge(scheme: Scheme, chance: random.Random, genuine: Request) -> Request | None:
        traits = scheme.traits
        name = chance.choice(traits.names)
        return with_proof(genuine, traits, name, change(chance, proof_of(genuine, traits, name), traits))

    return forge


_OTHERS = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"


def _digit(chance: random.Random, proof: bytes, traits: Traits) -> bytes:
    at = chance.randrange(len(proof))
    return proof[:at] + bytes([chance.choice(_OTHERS.replace(proof[at : at + 1], b""))]) + proof[at + 1 :]


def _length(chance: random.Random, proof: bytes, traits: Traits) -> bytes:
    cut = chance.randrange(len(proof))
    return chance.choice((proof[:cut], proof + proof[-1 - cut % 9 :], proof[1:], proof + b"\x00"))


def _prefix(chance: random.Random, proof: bytes, traits: Traits) -> bytes:
    bare = proof.removeprefix(traits.prefix)
    return chance.choice((b"sha1=", b"sha512=", b"Token ", b"v1,", b"=", b"\xff", b"x")) + bare


def _inside(chance: random.Random, proof: bytes, traits: Traits) -> bytes:
    at = chance.randrange(1, len(proof))
    return proof[:at] + chance.choice((b" ", b"\t", b"\xc3\xa9", b"\x7f")) + proof[at:]


def _by(role: str) -> _Forge:
    def forge(scheme: Scheme, chance: random.Random, genuine: Request) -> Request | None:
        return scheme.posted[role][chance.randrange(_BODIES)]

    return forge


def _body(change: Callable[[random.Random, bytes, int, int], bytes]) -> _Forge:
    def forge(scheme: Scheme, chance: random.Random, genuine: Request) -> Request | None:
        assert scheme.traits.covered is not None
        start, end = scheme.traits.covered(genuine.body)
        return copy_of(genuine, body=change(chance, genuine.body, start, end))

    return forge


def _bit(chance: random.Random, body: bytes, start: int, end: int) -> bytes:
    at = chance.randrange(start, end)
    return body[:at] + bytes([body[at] ^ 1 << chance.randrange(8)]) + body[at + 1 :]


def _insert(chance: random.Random, body: bytes, start: int, end: int) -> bytes:
    at = chance.randrange(start, end)
    return body[:at] + chance.choice((b" ", b"\x00", b"}", b"x")) + body[at:]


def _cut(chance: random.Random, body: bytes, start: int, end: int) -> bytes:
    at = chance.randrange(start, end)
    return body[:at] + body[at + 1 + chance.randrange(9) :]


def _swapped(scheme: Scheme, chance: random.Random, genuine: Request) -> Request | None:
    other = scheme.posted["right"][chance.randrange(_BODIES)]
    if other is genuine:
        return None
    if scheme.traits.place == "json":
        name = scheme.traits.names[0]
        return with_proof(genuine, scheme.traits, name, proof_of(other, scheme.traits, name))
    return copy_of(genuine, body=other.body)


FORGERIES_OF_BODIES = frozenset(
    {"a bit of the body", "a byte put into the body", "bytes cut out of the body", "another body's proof"}
)
_FORGERIES: dict[str, _Forge] = {
    "a character of the proof": _proof(_digit),
    "a proof of another length": _proof(_length),
    "another prefix": _proof(_prefix),
    "something inside the proof": _proof(_inside),
    "capitals and small letters exchanged": _proof(lambda chance, proof, traits: proof.swapcase()),
    "the proof twice": _proof(lambda chance, proof, traits: proof + b", " + proof),
    "an empty proof": _proof(lambda chance, proof, traits: b""),
    "no proof": _proof(lambda chance, proof, traits: None),
    "random bytes for a proof": _proof(
        lambda chance, proof, traits: chance.randbytes(len(proof)).replace(b"\r", b"r").replace(b"\n", b"n")
    ),
    "a stranger's secret": _by("stranger"),
    "an expired secret": _by("expired"),
    "a secret to come": _by("future"),
    "the handshake's secret": _by("handshake"),
    "a bit of the body": _body(_bit),
    "a byte put into the body": _body(_insert),
    "bytes cut out of the body": _body(_cut),
    "another body's proof": _swapped,
}

FORGERY_NAMES = tuple(_FORGERIES)
SCHEMES: tuple[str, ...] = tuple(voice.name for voice in VOICES)


def scheme_of(name: str) -> Scheme:
    """The scheme of one voice."""
    return Scheme(next(voice for voice in VOICES if voice.name == name))
