"""What providers tell beside messages and receipts, as the stand-ins tell it: connector events, changed people, albums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from services.simulator.people import person
from shared.domain.enums import AliasKind, HealthStatus
from shared.domain.items import AnyItem, ConnectorEventItem, MessageItem
from tests.contract.providers.voices import VOICES, Speaker

WHO = person(3)
Act = Callable[[Any, str], object]


def heard(name: str, act: Act) -> list[AnyItem]:
    """The items of what one act of a stand-in makes it post."""
    speaker = Speaker(next(voice for voice in VOICES if voice.name == name))
    act(speaker.stand_in, speaker.account.id)
    return [item for post in speaker.simulator.posts() for item in speaker.items(post)]


def _telling(name: str, /, **values: Any) -> Act:
    return lambda stand_in, account: stand_in.event(account, name, **values)


EVENTS: list[tuple[str, Act, str, HealthStatus | None]] = [
    ("whatsapp_official", _telling("account_update", event="ACCOUNT_DELETED"), "account_status", HealthStatus.FAILED),
    (
        "whatsapp_official",
        _telling(
            "message_template_status_update", event="PAUSED", message_template_id=7, message_template_name="aviso", reason="NONE"
        ),
        "template_status",
        None,
    ),
    ("whatsapp_official", _telling("something_new_update", x=1), "unknown", None),
    ("telegram", lambda stand_in, account: stand_in.block(account, WHO), "person_blocked", None),
    (
        "whatsapp_unofficial-evolution-header",
        lambda stand_in, account: stand_in.connection(account, "close", 401),
        "connection_state",
        HealthStatus.FAILED,
    ),
    (
        "whatsapp_unofficial-evolution-header",
        lambda stand_in, account: stand_in.connection(account, "open"),
        "connection_state",
        HealthStatus.PASSED,
    ),
    (
        "whatsapp_unofficial-waha-hmac",
        _telling("session.status", name="s", status="FAILED"),
        "connection_state",
        HealthStatus.FAILED,
    ),
    (
        "whatsapp_unofficial-waha-hmac",
        _telling("session.status", name="s", status="WORKING"),
        "connection_state",
        HealthStatus.PASSED,
    ),
    (
        "whatsapp_unofficial-zapi-header",
        _telling("DisconnectedCallback", disconnected=True),
        "connection_state",
        HealthStatus.FAILED,
    ),
    ("email-ses-signature", lambda stand_in, account: stand_in.confirm(account), "subscription", None),
    ("webchat-browser", _telling("session.started", page={"url": "https://loja.example/"}), "presence", None),
]


@pytest.mark.parametrize(("name", "act", "event", "health"), EVENTS, ids=[f"{name}-{event}" for name, _, event, _ in EVENTS])
def test_an_event_is_told_as_what_it_is(name: str, act: Act, event: str, health: HealthStatus | None) -> None:
    (item,) = heard(name, act)
    assert isinstance(item, ConnectorEventItem)
    assert item.name == event
    if health is not None:
        assert item.health is health


def test_a_new_number_joins_the_old_names_to_the_new() -> None:
    (item,) = heard("whatsapp_official", lambda stand_in, account: stand_in.rotate(account, WHO))
    assert isinstance(item, ConnectorEventItem)
    assert item.people is not None
    old = {(alias.kind, alias.value) for alias in item.people.old}
    new = {(alias.kind, alias.value) for alias in item.people.new}
    assert old >= {(AliasKind.PHONE, WHO.phone)}
    assert (AliasKind.PHONE, WHO.phone) not in new
    assert {kind for kind, _ in new} >= {AliasKind.PHONE, AliasKind.BSUID}


def test_an_album_is_as_many_messages_with_one_id() -> None:
    items = heard("telegram", lambda stand_in, account: stand_in.album(account, WHO, ["um", "dois", "três"]))
    messages = [item for item in items if isinstance(item, MessageItem)]
    assert len(messages) == 3
    assert len({message.content.album_id for message in messages}) == 1
    assert messages[0].content.album_id is not None


def test_the_instance_s_api_key_is_in_the_body_and_in_no_item() -> None:
    speaker = Speaker(next(voice for voice in VOICES if voice.name == "whatsapp_unofficial-evolution-header"))
    key = str(speaker.account.about["token"])
    speaker.stand_in.event(speaker.account.id, "messages.upsert", odd=True)
    speaker.stand_in.event(speaker.account.id, "something.new", apikey=key)
    posts = speaker.simulator.posts()
    assert all(key.encode() in post.body for post in posts)
    assert not [item for post in posts for item in speaker.items(post) if key in repr(item)]
