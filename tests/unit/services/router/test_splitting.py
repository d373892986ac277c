from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.router import splitting
from services.router.splitting import Splitter
from shared.domain.records import WebhookReceived
from shared.providers import provider_of
from tests.pipeline import UNIT_NUMBER, messages_value, meta_body, text_item
from tests.unit.services.router.builders import connector, message, opened

BODY = meta_body(messages_value(UNIT_NUMBER, [text_item("wamid.a"), text_item("wamid.b")]))
OTHER = meta_body(messages_value(UNIT_NUMBER, [text_item("wamid.c")]))


@pytest.fixture
def split(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies that were split."""
    bodies: list[bytes] = []

    def counted(tipo: Any) -> Any:
        provider = provider_of(tipo)

        class Counted:
            @staticmethod
            def normalise(body: bytes, *given: Any) -> Any:
                bodies.append(body)
                return provider.normalise(body, *given)

        return Counted

    monkeypatch.setattr(splitting, "provider_of", counted)
    return bodies


def a_copy(**changes: Any) -> WebhookReceived:
    record = opened(1, message()).record
    assert record is not None
    return replace(record, **({"only_item": "/entry/0/changes/0/value/messages/0"} | changes))


def ids(items: Any) -> list[str]:
    return [item.provider_message_id for item in items]


def test_the_body_of_many_copies_is_split_once(split: list[bytes]) -> None:
    splitter, who = Splitter(), connector()
    assert [ids(splitter.items(a_copy(), who, bytes(bytearray(BODY)))) for _ in range(3)] == [["wamid.a", "wamid.b"]] * 3
    assert split == [BODY]


def test_another_body_connector_or_header_is_split_anew(split: list[bytes]) -> None:
    splitter, who = Splitter(), connector()
    splitter.items(a_copy(), who, BODY)
    assert ids(splitter.items(a_copy(), who, OTHER)) == ["wamid.c"]
    assert ids(splitter.items(a_copy(), who, BODY)) == ["wamid.a", "wamid.b"]
    splitter.items(a_copy(), connector(), BODY)
    splitter.items(a_copy(headers={"x": "1"}), who, BODY)
    splitter.items(a_copy(only_item=None), who, BODY)
    assert len(split) == 6
