"""Voices: every way in which a provider speaks to us, played by the simulator.

A voice is a provider with one dialect and one way of proof. The kit runs each check for each voice of each provider in
PROVIDERS; a provider or a dialect without a voice fails `test_every_provider_and_dialect_has_a_voice`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit

from services.ingest import decide
from services.ingest.decide import Caller, Target
from services.simulator import evolution, mail, telegram_updates, waha, webchat, zapi
from services.simulator.people import Person
from services.simulator.simulator import Simulator
from services.simulator.sns import CERTIFICATE_URL, Sns
from services.simulator.utterances import KINDS, Utterance
from services.simulator.wire import Post
from shared.domain.enums import ConnectorStatus, ConnectorType, SecretUse
from shared.domain.items import AnyItem
from shared.domain.snapshots import ConnectorSnapshot
from shared.providers import PROVIDERS, provider_of
from shared.providers.contract import Provider, ReceivingSecret, Request

CONNECTOR_ID = "01990000-0000-7000-8000-00000000000b"
URL = f"https://edge.invalid/webhooks/{CONNECTOR_ID}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """`settings` are the connector's, `about` the simulated account's. `in_url`: the parameter that carries the secret."""

    name: str
    tipo: ConnectorType
    stand_in: str
    says: frozenset[str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    in_url: str | None = None
    family: str = ""  # voices of one family say the same things: `whatsapp`, `mail`
    receipts: tuple[str, ...] = ()

    @property
    def provider(self) -> Provider:
        """The provider that understands it."""
        return provider_of(self.tipo)

    @property
    def dialect(self) -> str | None:
        """The value of the setting, if this provider has one."""
        found = self.settings.get("dialect")
        return str(found) if found is not None else None


_WHATSAPP_RECEIPTS = ("sent", "delivered", "read", "played", "failed")


def _linked(dialect: str, auth: str, says: frozenset[str], **more: Any) -> Voice:
    return Voice(
        name=f"whatsapp_unofficial-{dialect}-{auth}",
        tipo=ConnectorType.WHATSAPP_UNOFFICIAL,
        stand_in=dialect,
        says=says,
        settings={"dialect": dialect, "webhook_auth": auth},
        family="whatsapp",
        receipts=_WHATSAPP_RECEIPTS,
        **more,
    )


def _mail(dialect: str, stand_in: str, auth: str, **more: Any) -> Voice:
    settings = {"dialect": dialect, "webhook_auth": auth, **more.pop("settings", {})}
    name = f"email-{dialect}-{auth}{more.pop('suffix', '')}"
    return Voice(name=name, tipo=ConnectorType.EMAIL, stand_in=stand_in, says=mail.SAYS, settings=settings, family="mail", **more)


_TOPIC = "arn:aws:sns:sa-east-1:000000000000:mail-1"
_EVENTS = ("delivered", "failed")

_WIDGETS = ["wgt_sim1", "wgt_sim2"]
_TELEGRAM_UPDATES = ["message", "edited_message", "callback_query", "message_reaction", "my_chat_member"]

_ALL: tuple[Voice, ...] = (
    Voice(
        name="whatsapp_official",
        tipo=ConnectorType.WHATSAPP_OFFICIAL,
        stand_in="meta",
        says=frozenset(KINDS),
        family="whatsapp",
        receipts=_WHATSAPP_RECEIPTS,
    ),
    Voice(
        name="telegram",
        tipo=ConnectorType.TELEGRAM,
        stand_in="telegram",
        says=telegram_updates.SAYS,
        about={"allowed_updates": _TELEGRAM_UPDATES},
    ),
    _linked("evolution", "header", evolution.SAYS),
    _linked("evolution", "jwt", evolution.SAYS, about={"auth": "jwt"}),
    _linked("waha", "hmac", waha.SAYS),
    _linked("zapi", "header", zapi.SAYS),
    _linked("zapi", "query", zapi.SAYS, in_url="secret"),
    _mail("mailgun", "mailgun", "signature", receipts=_EVENTS),
    _mail("mailgun", "mailgun", "signature", suffix="-raw", about={"raw": True}),
    _mail("sendgrid", "sendgrid", "signature", receipts=_EVENTS),
    _mail("sendgrid", "sendgrid", "signature", suffix="-raw", about={"raw": True}),
    _mail("sendgrid", "sendgrid", "url", in_url="key"),
    _mail("postmark", "postmark", "basic", receipts=_EVENTS),
    _mail("postmark", "postmark", "url", in_url="key"),
    _mail("ses", "sns", "signature", receipts=_EVENTS, settings={"topic_arns": [_TOPIC]}),
    _mail("ses", "sns", "signature", suffix="-sha1", about={"version": "1"}, settings={"topic_arns": [_TOPIC]}),
    _mail("ses", "sns", "basic", about={"basic": "sns:simulated-password"}, settings={"topic_arns": [_TOPIC]}),
    Voice(
        name="webchat-browser",
        tipo=ConnectorType.WEBCHAT,
        stand_in="webchat",
        says=webchat.SAYS,
        settings={"dialect": "browser", "widget_ids": _WIDGETS, "origins": [webchat.ORIGIN]},
        receipts=("delivered", "read"),
    ),
    Voice(
        name="webchat-server",
        tipo=ConnectorType.WEBCHAT,
        stand_in="webchat_server",
        says=webchat.SAYS,
        settings={"dialect": "server", "widget_ids": _WIDGETS},
        receipts=("delivered", "read"),
    ),
    _mail("imap", "mail_push", "signature"),
)
_KNOWN = {provider.tipo for provider in PROVIDERS}
VOICES: tuple[Voice, ...] = tuple(voice for voice in _ALL if voice.tipo in _KNOWN)


class Speaker:
    """A voice with a simulator and one account, as an edge with one connector hears it."""

    def __init__(self, voice: Voice, seed: int = 1, secret: str | None = None, simulator: Simulator | None = None) -> None:
        self.voice = voice
        self.simulator = simulator or Simulator(seed)
        self.stand_in = self.simulator[voice.stand_in]
        given: dict[str, Any] = {"callback_url": URL, **voice.about}
        if secret is not None:
            given |= {} if self._has_key_pair else {"secret": secret}
            given |= {"basic": secret} if "basic" in voice.about else {}
        self.account = self.stand_in.create(**given)
        if voice.in_url is not None:
            self.account.callback_url = f"{URL}?{voice.in_url}={quote(self.account.secret, safe='')}"

    @property
    def _has_key_pair(self) -> bool:
        return self.voice.stand_in == "sendgrid" and self.voice.in_url is None

    @property
    def secret(self) -> bytes:
        """What the connector must hold for this voice."""
        shown = self.account.about.get("basic")
        return str(shown or self.account.secret).encode()

    @property
    def certificates(self) -> dict[str, bytes]:
        """What the snapshot must hold."""
        return {CERTIFICATE_URL: self.stand_in.certificate()} if isinstance(self.stand_in, Sns) else {}

    @cached_property
    def caller(self) -> Caller:
        """The connector as the edge's own decision finds it."""
        return caller_of(self.voice)

    def says(self, who: Person, what: Utterance) -> tuple[str, Post]:
        """The provider's id and the one POST that tells of it."""
        message_id = self.stand_in.say(self.account.id, who, what)
        (post,) = self.simulator.posts()
        return message_id, post

    def request(self, post: Post) -> Request:
        """The POST as the edge hands it to the provider."""
        return request_of(post, self.voice, self.simulator.clock.now_ms, self.certificates)

    def items(self, post: Post) -> list[AnyItem]:
        """What our normaliser makes of it."""
        return items_of(self.voice, post)


def caller_of(voice: Voice) -> Caller:
    """A connector with the voice's settings."""
    snapshot = ConnectorSnapshot(
        version=1,
        connector_id=CONNECTOR_ID,
        tenant_id=CONNECTOR_ID,
        tipo=voice.tipo,
        status=ConnectorStatus.ACTIVE,
        config=json.dumps(dict(voice.settings)),
        webhooks=(),
        ingest_keys=(),
    )
    target = Target(connector_id=CONNECTOR_ID, account_id=None, query="")
    return Caller(target=target, connector=snapshot, receiving=voice.provider.receiving)


def request_of(post: Post, voice: Voice, now_ms: int, certificates: Mapping[str, bytes]) -> Request:
    """One POST as a Request."""
    return Request(
        method=post.method,
        query=urlsplit(post.url).query,
        headers={name.lower(): value.encode("latin-1") for name, value in post.headers},
        body=post.body,
        received_at_ms=now_ms,
        settings=dict(voice.settings),
        certificates=certificates,
    )


def items_of(voice: Voice, post: Post) -> list[AnyItem]:
    """Normalised with the headers that the edge would have kept."""
    request = request_of(post, voice, 0, {})
    kept = dict(decide.kept_headers(voice.provider.receiving, request.headers))
    return list(voice.provider.normalise(post.body, kept, dict(voice.settings)))


def signing(*values: bytes) -> tuple[ReceivingSecret, ...]:
    """Live secrets of use `sign`."""
    return tuple(ReceivingSecret(id=f"w/{index}", use=SecretUse.SIGN, value=value) for index, value in enumerate(values))


def with_body(post: Post, body: bytes) -> Post:
    """The same POST with another body, as a forger or a newer provider would send it."""
    return replace(post, body=body)


def all_posts(voice: Voice, whats: Sequence[Utterance], who: Person) -> list[Post]:
    """The POSTs of several utterances, one each."""
    speaker = Speaker(voice)
    return [speaker.says(who, what)[1] for what in whats]
