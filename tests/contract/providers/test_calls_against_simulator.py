"""Our calls against the stand-ins' APIs: what we build is taken, what comes back is understood, each error as its class.

The stand-ins are written from the same documentation and know nothing of our code, as in test_simulator_and_parser.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.simulator.faults import AnswerLost
from services.simulator.multipart import multipart
from services.simulator.people import person
from services.simulator.simulator import Simulator
from services.simulator.stand_in import Account
from shared.domain.content import ContactCard, Location
from shared.domain.enums import AliasKind, ConnectorType, ErrorClass, Feature, HealthStatus
from shared.domain.errors import InvalidInput
from shared.domain.items import Alias
from shared.providers import provider_of
from shared.providers.calling import (
    CallContext,
    Mail,
    Part,
    ProviderAnswer,
    ProviderCall,
    ProviderResponse,
    TransportFault,
    carried,
    placed,
)
from shared.providers.checking import overall
from shared.providers.contract import Provider
from shared.providers.describing import AccountDescription, FeatureState
from shared.providers.limits import LIMITS_OF
from shared.providers.sending import (
    Accepted,
    Option,
    OutboundContent,
    OutboundKind,
    OutboundMedia,
    Rejected,
    Section,
    SendOrder,
    SendOutcome,
    TemplateOrder,
    UnknownOutcome,
)
from shared.providers.setting_up import SetupOrder

WHO = person(3)
HOOK = "https://edge.invalid/webhooks/01990000-0000-7000-8000-00000000000b"


@dataclass
class Side:
    """A provider's functions and the stand-in that answers them."""

    name: str
    tipo: ConnectorType
    stand_in: str
    recipient: Alias
    settings: dict[str, Any] = field(default_factory=dict)
    target: str = "3EB0TARGET"
    simulator: Simulator = field(default_factory=Simulator)
    account: Account = field(init=False)

    def __post_init__(self) -> None:
        self.account = self.simulator[self.stand_in].create(callback_url=HOOK)

    @property
    def provider(self) -> Provider:
        return provider_of(self.tipo)

    @property
    def context(self) -> CallContext:
        about = self.account.about
        config = {"phone_number_id": self.account.id, "waba_id": about.get("waba_id"), "instance": self.account.id}
        return CallContext(
            connector_id="01990000-0000-7000-8000-00000000000b",
            account_id=None,
            identidade=about.get("phone") or about.get("display_phone_number"),
            settings=self.settings,
            account_config=config,
            now_ms=self.simulator.clock.now_ms,
        )

    @property
    def credentials(self) -> dict[str, str]:
        about = self.account.about
        return {
            "access_token": about.get("access_token") or about.get("token", ""),
            "app_secret": self.account.secret,
            "api_key": about.get("api_key") or about.get("token", ""),
            "secret": about.get("client_token", ""),
            "sign": self.account.secret,
            "handshake": about.get("verify_token", "x"),
        }

    def perform(self, call: ProviderCall) -> ProviderAnswer:
        """Make one call as outbound would."""
        ready = placed(call, self.credentials)
        headers, body = dict(ready.headers), ready.body
        assert not isinstance(body, Mail)
        if isinstance(body, tuple):
            parts = [part for part in body if isinstance(part, Part)]
            fields = [(part.name, part.content.decode()) for part in parts if part.filename is None]
            files = [
                (part.name, part.filename, part.mime_type or "", part.content) for part in parts if part.filename is not None
            ]
            headers["content-type"], body = multipart(fields, files)
        try:
            answer = self.simulator.call(call.method, ready.url, headers, body or b"")
        except AnswerLost:
            return TransportFault(kind="lost", may_have_left=True)
        lowered = {name.lower(): value for name, value in answer.headers}
        return ProviderResponse(status=answer.status, body=answer.body, headers=lowered)

    def send(self, order: SendOrder) -> SendOutcome:
        """All calls of an order; the outcome of the last."""
        sending = self.provider.sending
        assert sending is not None
        answers: dict[str, ProviderResponse] = {}
        outcome: SendOutcome | None = None
        for call in sending.build(order, self.context):
            answer = self.perform(carried(call, answers))
            outcome = sending.read(call, answer)
            if isinstance(answer, ProviderResponse):
                answers[call.step] = answer
        assert outcome is not None
        return outcome

    def order(self, kind: OutboundKind = OutboundKind.TEXT) -> SendOrder:
        """Something of this kind to send to WHO."""
        chat = str(WHO.telegram_id) if self.stand_in == "telegram" else f"{WHO.phone}@s.whatsapp.net"
        needs = kind in (OutboundKind.REACTION, OutboundKind.EDIT, OutboundKind.REVOKE, OutboundKind.READ, OutboundKind.TYPING)
        return SendOrder(
            message_id="01990000-0000-7000-8000-0000000000aa",
            kind=kind,
            recipient=(self.recipient,),
            content=CONTENT[kind],
            chat_scope=chat,
            target_provider_message_id=self.target if needs else None,
        )


_MIME = {
    OutboundKind.IMAGE: "image/jpeg",
    OutboundKind.AUDIO: "audio/ogg",
    OutboundKind.VIDEO: "video/mp4",
    OutboundKind.DOCUMENT: "application/pdf",
    OutboundKind.STICKER: "image/webp",
}
_OPTIONS = (Option(id="yes", title="Sim"), Option(id="no", title="Não"))
CONTENT: Mapping[OutboundKind, OutboundContent] = {
    **{
        kind: OutboundContent(media=OutboundMedia(link="https://media.example/file", mime_type=mime, filename="file.pdf"))
        for kind, mime in _MIME.items()
    },
    OutboundKind.TEXT: OutboundContent(text="Olá 😀"),
    OutboundKind.LOCATION: OutboundContent(location=Location(latitude=-23.5, longitude=-46.6, name="Praça", address="Rua 1")),
    OutboundKind.CONTACTS: OutboundContent(contacts=(ContactCard(name="Rui Alves", phones=("5511900000099",)),)),
    OutboundKind.TEMPLATE: OutboundContent(template=TemplateOrder(name="aviso", language="pt_BR")),
    OutboundKind.BUTTONS: OutboundContent(text="Confirma?", options=_OPTIONS),
    OutboundKind.LIST: OutboundContent(text="Qual?", list_button="Ver", sections=(Section(title="Opções", rows=_OPTIONS),)),
    OutboundKind.REACTION: OutboundContent(emoji="👍"),
    OutboundKind.EDIT: OutboundContent(text="corrigido"),
    OutboundKind.REVOKE: OutboundContent(),
    OutboundKind.READ: OutboundContent(),
    OutboundKind.TYPING: OutboundContent(),
}


def _linked(dialect: str, base_url: str, auth: str) -> Side:
    settings = {"dialect": dialect, "base_url": base_url, "webhook_auth": auth}
    phone = Alias(kind=AliasKind.PHONE, value=WHO.phone)
    target = f"false_{WHO.phone}@c.us_3EB0TARGET" if dialect == "waha" else "3EB0TARGET"
    return Side(dialect, ConnectorType.WHATSAPP_UNOFFICIAL, dialect, phone, settings, target)


def side(name: str) -> Side:
    match name:
        case "meta":
            settings = {"app_id": "300000000000001", "waba_id": "200000000000001"}
            return Side(
                name, ConnectorType.WHATSAPP_OFFICIAL, name, Alias(kind=AliasKind.PHONE, value=WHO.phone), settings, "wamid.X="
            )
        case "telegram":
            return Side(name, ConnectorType.TELEGRAM, name, Alias(kind=AliasKind.USER, value=str(WHO.telegram_id)), {}, "91")
        case "evolution":
            return _linked(name, "https://servers.invalid/evolution", "header")
        case "waha":
            return _linked(name, "https://servers.invalid/waha", "hmac")
    return _linked("zapi", "https://api.z-api.io", "query")


NAMES = ("meta", "telegram", "evolution", "waha", "zapi")
KINDS = [(name, kind) for name in NAMES for kind in sorted(side(name).provider.sending.kinds) if kind in CONTENT]  # type: ignore[union-attr]


# refused before any call is made, with the reason `cannot_send`
NOT_IN_THIS_DIALECT = {("telegram", "read"), ("waha", "buttons"), ("waha", "sticker"), ("zapi", "typing")}


@pytest.mark.parametrize(("name", "kind"), KINDS, ids=[f"{name}-{kind}" for name, kind in KINDS])
def test_what_we_send_is_taken(name: str, kind: OutboundKind) -> None:
    one = side(name)
    if (name, kind.value) in NOT_IN_THIS_DIALECT:
        with pytest.raises(InvalidInput):
            one.send(one.order(kind))
        return
    outcome = one.send(one.order(kind))
    assert isinstance(outcome, Accepted), outcome
    if kind in (OutboundKind.TEXT, OutboundKind.IMAGE, OutboundKind.LOCATION):
        assert len(outcome.provider_message_ids) == 1


@pytest.mark.parametrize("name", ["meta", "telegram"])
def test_bytes_are_uploaded(name: str) -> None:
    one = side(name)
    media = OutboundMedia(data=b"\xff\xd8 jpeg", mime_type="image/jpeg", filename="a.jpg")
    order = dataclasses.replace(one.order(OutboundKind.IMAGE), content=OutboundContent(media=media))
    assert isinstance(one.send(order), Accepted)


# stand-in → its error → what outbound must take it for (the classes of providers.md 1.3, 2.1-2.3, 3.3)
ERRORS: dict[str, dict[str, tuple[ErrorClass, ...]]] = {
    "meta": {
        **dict.fromkeys(("190/463", "190/460", "0"), (ErrorClass.AUTH,)),
        **dict.fromkeys(("4", "80007", "130429", "131056"), (ErrorClass.RATE_LIMITED,)),
        **dict.fromkeys(("1", "2", "131000", "131016", "131057"), (ErrorClass.RETRYABLE,)),
        "131047": (ErrorClass.WINDOW_CLOSED,),
        **dict.fromkeys(("131026", "131021", "131030", "131050"), (ErrorClass.RECIPIENT_PERMANENT,)),
        **dict.fromkeys(
            ("100", "131008", "131009", "131051", "131053", "132000", "132001", "132012"), (ErrorClass.CONTENT_PERMANENT,)
        ),
        **dict.fromkeys(("131031", "368", "131042"), (ErrorClass.ACCOUNT_BLOCKED,)),
    },
    "telegram": {
        **dict.fromkeys(("unauthorized", "not_found"), (ErrorClass.AUTH,)),
        "rate": (ErrorClass.RATE_LIMITED,),
        **dict.fromkeys(
            ("blocked", "deactivated", "kicked", "cannot_initiate", "chat_not_found"), (ErrorClass.RECIPIENT_PERMANENT,)
        ),
        **dict.fromkeys(("too_long", "entities", "empty", "url", "button_data", "file_too_big"), (ErrorClass.CONTENT_PERMANENT,)),
        "entity_too_large": (ErrorClass.CONTENT_PERMANENT,),
        **dict.fromkeys(("internal", "bad_gateway", "gateway_timeout"), (ErrorClass.RETRYABLE, ErrorClass.UNKNOWN_OUTCOME)),
    },
    "evolution": {
        "unauthorized": (ErrorClass.AUTH,),
        "no_number": (ErrorClass.RECIPIENT_PERMANENT,),
        "schema": (ErrorClass.CONTENT_PERMANENT,),
        **dict.fromkeys(
            ("closed", "timed_out", "overlimit"), (ErrorClass.RETRYABLE, ErrorClass.RATE_LIMITED, ErrorClass.UNKNOWN_OUTCOME)
        ),
        "internal": (ErrorClass.UNKNOWN_OUTCOME,),
    },
    "waha": {
        "unauthorized": (ErrorClass.AUTH,),
        "not_working": (ErrorClass.RETRYABLE, ErrorClass.AUTH),
        "internal": (ErrorClass.UNKNOWN_OUTCOME, ErrorClass.RETRYABLE),
    },
    "zapi": {"client_token": (ErrorClass.AUTH,), "internal": (ErrorClass.UNKNOWN_OUTCOME, ErrorClass.RETRYABLE)},
}
FAULTS = [(name, code) for name, codes in ERRORS.items() for code in codes]


@pytest.mark.parametrize(("name", "code"), FAULTS, ids=[f"{name}-{code}" for name, code in FAULTS])
def test_an_error_has_its_class(name: str, code: str) -> None:
    one = side(name)
    one.simulator[one.stand_in].faults.add(code=code, retry_after_seconds=7 if code == "rate" else None)
    outcome = one.send(one.order())
    assert isinstance(outcome, Rejected | UnknownOutcome), outcome
    assert outcome.fault.error_class in ERRORS[name][code], outcome.fault
    if code == "rate":
        assert outcome.fault.retry_after_seconds == 7
    assert isinstance(one.send(one.order()), Accepted)


@pytest.mark.parametrize("name", NAMES)
def test_a_lost_answer_is_an_unknown_outcome(name: str) -> None:
    one = side(name)
    one.simulator[one.stand_in].faults.add(code="any", lost=True)
    assert isinstance(one.send(one.order()), UnknownOutcome)


@pytest.mark.parametrize("name", NAMES)
def test_a_webhook_is_set_up_and_read_back(name: str) -> None:
    one = side(name)
    setting_up = one.provider.setting_up
    assert setting_up is not None
    one.account.callback_url, one.account.about["subscribed"] = "", False
    order = SetupOrder(callback_url=HOOK)
    for call in setting_up.build(order, one.context):
        one.perform(call)
    state = setting_up.read({call.step: one.perform(call) for call in setting_up.build_read_back(one.context)}, order)
    assert state.fault is None, state
    assert one.account.callback_url.startswith(HOOK)
    assert state.registered_url is None or state.registered_url.startswith(HOOK)


@pytest.mark.parametrize("name", NAMES)
def test_health_tells_the_living_from_the_dead(name: str) -> None:
    one = side(name)
    checking = one.provider.checking
    assert checking is not None

    def grade() -> HealthStatus | None:
        answers = {call.step: one.perform(call) for call in checking.build(one.context)}
        return overall(checking.grade(answers, one.context))

    assert grade() in (HealthStatus.PASSED, HealthStatus.WARNING)
    about = one.account.about
    about.update(status="FAILED" if name == "waha" else "BANNED", state="close", connected=False)
    if name == "telegram":
        about["token"] = "700000001:AAanother-token-of-the-bot-00000002"
        one.account.about = {**about}
        dead = {call.step: TransportResponse401 for call in checking.build(one.context)}
        assert overall(checking.grade(dead, one.context)) is HealthStatus.FAILED
        return
    assert grade() is HealthStatus.FAILED


TransportResponse401 = ProviderResponse(status=401, body=b'{"ok":false,"error_code":401,"description":"Unauthorized"}')


def described(one: Side) -> AccountDescription:
    describing = one.provider.describing
    assert describing is not None
    calls = describing.build(one.context)
    assert all(call.idempotent for call in calls)
    return describing.read({call.step: one.perform(call) for call in calls}, one.context)


@pytest.mark.req(20)
@pytest.mark.parametrize("name", NAMES)
def test_the_name_that_people_see_is_told(name: str) -> None:
    one = side(name)
    field = {"meta": "verified_name", "telegram": "first_name", "waha": "push_name"}.get(name, "profile_name")
    one.account.about[field] = "  Padaria São João 🥖 "
    told = described(one)
    assert (told.display_name, told.fault) == ("Padaria São João 🥖", None)
    one.account.about[field] = ""
    assert described(one).display_name is None


@pytest.mark.parametrize("name", NAMES)
def test_a_refused_question_describes_nothing(name: str) -> None:
    one = side(name)
    codes = {"meta": "190/463", "telegram": "unauthorized", "zapi": "client_token"}
    for _ in range(2):
        one.simulator[one.stand_in].faults.add(code=codes.get(name, "unauthorized"))
    told = described(one)
    assert told.fault is not None
    assert told.fault.error_class is ErrorClass.AUTH
    assert dataclasses.replace(told, fault=None) == AccountDescription()


@pytest.mark.req(60)
@pytest.mark.parametrize(
    ("tier", "peers"), [("TIER_50", 50), ("TIER_250", 250), ("TIER_2K", 2_000), ("TIER_100K", 100_000), ("TIER_UNLIMITED", None)]
)
def test_metas_limits_become_members_of_capabilities(tier: str, peers: int | None) -> None:
    one = side("meta")
    one.simulator["meta"].tier(one.account.id, tier, "HIGH")  # type: ignore[attr-defined]  # Meta's stand-in has it
    told = described(one)
    assert (told.tier, told.throughput, told.quality, told.app_id) == (tier, "HIGH", "GREEN", "300000000000001")
    members = {feature.feature.value: dict(feature.constraints) for feature in told.features}
    assert members == {"messages": {"rate_per_second": 750}, "templates": {"peers_per_day": peers}}
    for feature in told.features:  # every member is one that the feature's limits have
        names = {field.name for field in dataclasses.fields(LIMITS_OF[feature.feature])}
        assert feature.constraints.keys() <= names


@pytest.mark.parametrize("tier", ["TIER_NOT_SET", "NOT_SET", "TIER_", "TIER_2M", "TIER_٢K", "", None, 7, ["TIER_250"]])
def test_a_tier_that_nobody_knows_says_nothing(tier: object) -> None:
    one = side("meta")
    one.account.about.update(tier=tier, throughput="NOT_APPLICABLE")
    assert described(one).features == ()


def test_a_name_that_meta_declined_is_not_shown() -> None:
    one = side("meta")
    one.account.about["name_status"] = "DECLINED"
    told = described(one)
    assert (told.display_name, told.verified_name) == (None, "Loja")


def test_a_business_account_is_called_as_its_owner() -> None:
    one = side("telegram")
    user = {"id": 42, "is_bot": False, "first_name": "Ana", "last_name": "Prado"}
    one.account.about["business_connections"] = {"connection-1": user}
    describing = one.provider.describing
    assert describing is not None
    for connection, name in (("connection-1", "Ana Prado"), ("connection-2", None)):
        context = dataclasses.replace(one.context, account_config={"business_connection_id": connection})
        (call,) = describing.build(context)
        told = describing.read({call.step: one.perform(call)}, context)
        assert (told.display_name, told.fault is None) == (name, name is not None)


def test_servers_without_buttons_say_so_and_nobody_else_speaks_of_features() -> None:
    states = {name: described(side(name)).features for name in ("telegram", "evolution", "waha", "zapi")}
    assert states.pop("waha") == (FeatureState(feature=Feature.BUTTONS, enabled=False),)
    assert set(states.values()) == {()}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b'"x"', b"[[]]", b"{", b'{"ok":true,"result":[]}'),
        b'{"me":[],"throughput":"HIGH","verified_name":{},"profileName":7,"whatsapp_business_manager_messaging_limit":[]}',
    ],
)
def test_no_answer_breaks_the_reader(name: str, body: bytes) -> None:
    one = side(name)
    describing = one.provider.describing
    assert describing is not None
    steps = [call.step for call in describing.build(one.context)]
    told = describing.read({step: ProviderResponse(status=200, body=body) for step in steps}, one.context)
    assert (told.display_name, told.tier, told.app_id) == (None, None, None)
    lost = TransportFault(kind="timeout", may_have_left=True)
    assert describing.read(dict.fromkeys(steps, lost), one.context).fault is not None
    assert describing.read({}, one.context) == AccountDescription()


@pytest.mark.parametrize("tipo", [ConnectorType.EMAIL, ConnectorType.WEBCHAT])
def test_mail_and_web_chat_have_nobody_to_ask(tipo: ConnectorType) -> None:
    assert provider_of(tipo).describing is None


@pytest.mark.req(13)
@pytest.mark.parametrize(
    ("settings", "project", "cause"),
    [
        ({}, "300000000000001", "app_same"),
        ({}, "300000000000009", "app_mismatch"),
        ({"app_id": "300000000000001"}, "300000000000001", "token_valid"),
        ({"app_id": "300000000000001"}, "300000000000009", "app_mismatch"),
        ({}, None, None),
    ],
)
def test_another_app_than_the_administrators_is_a_warning(settings: dict[str, Any], project: str | None, cause: str) -> None:
    one = side("meta")
    one.settings = {"waba_id": one.settings["waba_id"], **settings}
    context = dataclasses.replace(one.context, project=project)
    checking = one.provider.checking
    assert checking is not None
    grades = checking.grade({call.step: one.perform(call) for call in checking.build(context)}, context)
    found = {one.cause: one for one in grades if one.check in ("app", "token")}
    assert list(found) == ([cause] if cause else [])
    if cause == "app_mismatch":
        assert (found[cause].status, found[cause].action) == (HealthStatus.WARNING, "check_app")
        assert overall(grades) is HealthStatus.WARNING
