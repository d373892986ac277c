"""What no example shows: credentials that must stay inside, odd fields, people with two names, poison beside good elements."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest

from shared.domain.enums import AliasKind, ConnectorEventName, ErrorClass, HealthStatus
from shared.domain.items import Alias, AnyItem, ConnectorEventItem, MessageItem, PoisonItem, ReceiptItem
from shared.providers import provider_of
from shared.providers.contract import UnparseableBody
from shared.providers.whatsapp_unofficial import samples
from shared.providers.whatsapp_unofficial.cards import card
from shared.providers.whatsapp_unofficial.fields import milliseconds, whole
from shared.providers.whatsapp_unofficial.jids import aliases_of, parse_jid
from shared.providers.whatsapp_unofficial.normalise import normalise
from shared.providers.whatsapp_unofficial.redaction import REMOVED, without_credentials
from tests.contract.providers.examples import examples_of

EXAMPLES = [one for one in examples_of(provider_of("whatsapp_unofficial")) if "items" in one.expected]
STATUSES = ("failed", "accepted", "sent", "delivered", "read", "played")
ODD_MOMENTS: list[object] = [
    *(0, -5, True, None, "soon", "", [], {}, 1e300, float("inf"), 10**30, "9" * 30, 4_200_000_000_000),
]
LEAK = "LEAKED-CREDENTIAL-0001"


def items(dialect: str, document: Any) -> list[AnyItem]:
    return list(normalise(json.dumps(document).encode(), {}, {"dialect": dialect}))


def one(dialect: str, document: Any) -> AnyItem:
    (item,) = items(dialect, document)
    return item


class TestCredentials:
    @pytest.mark.parametrize("example", EXAMPLES, ids=[f"{one.dialect}-{one.name}" for one in EXAMPLES])
    def test_no_key_leaves_the_sealed_record(self, example: Any) -> None:
        document = json.loads(example.body)
        for place in (document, document.get("data"), document.get("payload")):
            if isinstance(place, dict):
                place.update(apikey=LEAK, token=LEAK, apiKey=LEAK, qrcode={"base64": LEAK, "code": LEAK}, hash=LEAK)
        found = normalise(json.dumps(document).encode(), {}, example.settings)
        for item in found:
            said = msgspec.json.encode(msgspec.to_builtins(item, builtin_types=(bytes,), enc_hook=str)).decode() + repr(item)
            assert LEAK not in said
            assert samples.EVOLUTION_KEY not in said
            assert "must-not-leave" not in said

    @pytest.mark.parametrize(
        "broken",
        [
            {"event": 5, "apikey": LEAK},
            {"event": "messages.upsert", "apikey": LEAK},
            {"event": "messages.upsert", "data": {"key": {}, "apikey": LEAK, "instance": {"Token": LEAK}}, "apikey": LEAK},
            {"event": "messages.upsert", "data": [LEAK and {"apikey": LEAK}], "apikey": LEAK},
            {"event": "messages.update", "data": {"keyId": "A", "status": "?", "x": [{"y": {"APIKEY": LEAK}}]}},
        ],
    )
    def test_a_fragment_of_poison_has_none(self, broken: Any) -> None:
        item = one("evolution", broken)
        assert isinstance(item, PoisonItem)
        assert LEAK.encode() not in item.fragment

    def test_what_lies_too_deep_to_be_looked_at_is_removed(self) -> None:
        deep: Any = {"apikey": LEAK}
        for _ in range(200):
            deep = [deep]
        assert LEAK not in json.dumps(without_credentials(deep))

    def test_names_in_any_case_are_meant(self) -> None:
        assert without_credentials({"ApiKey": 1, "a": [{"Client-Token": 2, "b": 3}]}) == {
            "ApiKey": REMOVED,
            "a": [{"Client-Token": REMOVED, "b": 3}],
        }

    def test_the_code_to_scan_is_no_value(self) -> None:
        data = {"qrcode": {"instance": "loja", "pairingCode": LEAK, "code": LEAK, "base64": LEAK, "count": 2}}
        item = one("evolution", samples.evolution("qrcode.updated", data))
        assert isinstance(item, ConnectorEventItem)
        assert item.values == {"state": "shown", "count": "2"}
        assert item.health is HealthStatus.FAILED


class TestDialect:
    @pytest.mark.parametrize("settings", [{}, {"dialect": "venom"}, {"dialect": None}])
    def test_without_a_dialect_nothing_is_guessed(self, settings: dict[str, Any]) -> None:
        with pytest.raises(UnparseableBody):
            normalise(b"{}", {}, settings)

    @pytest.mark.parametrize("dialect", ["evolution", "waha", "zapi"])
    @pytest.mark.parametrize(
        "document", [{}, {"event": None, "type": None}, {"event": [], "type": {}}, {"event": "", "type": ""}]
    )
    def test_a_body_without_its_word_is_one_item(self, dialect: str, document: Any) -> None:
        assert isinstance(one(dialect, document), PoisonItem | ConnectorEventItem)


class TestPeople:
    @pytest.mark.parametrize(
        ("given", "found"),
        [
            ("5511900000001@s.whatsapp.net", ("phone:5511900000001",)),
            ("5511900000001:17@s.whatsapp.net", ("phone:5511900000001",)),
            ("5511900000001_1:17@s.whatsapp.net", ("phone:5511900000001",)),
            ("5511900000001:99@hosted", ("phone:5511900000001",)),
            ("99000000000001:99@hosted.lid", ("lid:99000000000001",)),
            ("551190000001@c.us", ("phone:551190000001", "phone:5511990000001")),
            ("99000000000001:3@lid", ("lid:99000000000001",)),
            ("120363000000000001@g.us", ()),
            ("status@broadcast", ()),
            ("somebody@s.whatsapp.net", ()),
            ("5511900000001", ()),
            ("", ()),
            (None, ()),
            ("1" * 21 + "@c.us", ()),
        ],
    )
    def test_an_address_gives_its_aliases(self, given: str | None, found: tuple[str, ...]) -> None:
        assert tuple(alias.key for alias in aliases_of(given)) == found

    def test_a_hidden_id_is_never_a_phone(self) -> None:
        assert Alias(kind=AliasKind.PHONE, value="5511900000001") not in aliases_of("5511900000001@lid")

    def test_phones_come_first_and_each_once(self) -> None:
        found = aliases_of("99000000000001@lid", "5511900000001@c.us", "5511900000001:2@s.whatsapp.net")
        assert [alias.key for alias in found] == ["phone:5511900000001", "lid:99000000000001"]

    @pytest.mark.parametrize("given", ["a b@c.us", "x@", "@c.us", "1@c.us\n", "1@C.US", "5511:x@c.us"])
    def test_what_is_no_address_is_none(self, given: str) -> None:
        assert parse_jid(given) is None


class TestFields:
    @pytest.mark.parametrize(
        ("given", "found"),
        [
            (1790000000, 1790000000000),
            ("1790000000", 1790000000000),
            (1790000000.5, 1790000000500),
            (1790000000123, 1790000000123),
            ("1790000000123", 1790000000123),
            (1790000000123.0, 1790000000123),
            ({"low": 1790000000, "high": 0, "unsigned": True}, 1790000000000),
            *[(odd, None) for odd in ODD_MOMENTS],
        ],
    )
    def test_a_moment_is_read_in_every_unit(self, given: object, found: int | None) -> None:
        assert milliseconds(given) == found

    def test_a_long_has_two_halves(self) -> None:
        assert whole({"low": -1, "high": 0}) == 0xFFFFFFFF
        assert whole({"low": 5, "high": 1}) == (1 << 32) + 5
        assert whole({"low": "5", "high": 1}) is None

    def test_a_card_is_unfolded_and_unescaped(self) -> None:
        found = card(
            None, "BEGIN:VCARD\r\nFN:Ana\\, Dias\r\nTEL;type=CELL;waid=5511900000002:+55 11 \r\n 90000-0002\r\nEND:VCARD"
        )
        assert (found.name, found.phones, found.user_ids) == ("Ana, Dias", ("+55 11 90000-0002",), ("5511900000002",))


def changed(dialect: str, **fields: Any) -> Any:
    document = {
        "evolution": samples.evolution_message("M1", {"conversation": "oi"}, "conversation"),
        "waha": samples.waha_message("M1", "oi"),
        "zapi": samples.zapi_message("M1", text={"message": "oi"}),
    }[dialect]
    document = copy.deepcopy(document)
    place = document["data"] if dialect == "evolution" else document["payload"] if dialect == "waha" else document
    place.update(fields)
    return document


class TestPoison:
    @pytest.mark.parametrize(
        ("dialect", "fields", "reason"),
        [
            ("evolution", {"key": None}, "id_missing"),
            ("evolution", {"key": "M1"}, "wrong_type"),
            ("evolution", {"key": {"id": "M1"}}, "chat_missing"),
            ("evolution", {"key": {"id": "x" * 513, "remoteJid": "1@c.us"}}, "id_malformed"),
            ("evolution", {"key": {"id": "M1", "remoteJid": "120363@bot"}}, "peer_missing"),
            ("evolution", {"message": []}, "wrong_type"),
            ("evolution", {"message": {"conversation": 5}}, "wrong_type"),
            ("evolution", {"message": {"imageMessage": "x"}}, "wrong_type"),
            ("waha", {"id": None}, "id_missing"),
            ("waha", {"id": "M1", "from": None}, "chat_missing"),
            ("waha", {"body": {}}, "wrong_type"),
            ("waha", {"vCards": [5]}, "wrong_type"),
            ("zapi", {"phone": None}, "chat_missing"),
            ("zapi", {"phone": "somebody", "chatLid": None}, "peer_missing"),
            ("zapi", {"text": "oi"}, "wrong_type"),
            ("zapi", {"fromMe": "yes"}, "wrong_type"),
        ],
    )
    def test_a_malformed_message_is_poison(self, dialect: str, fields: dict[str, Any], reason: str) -> None:
        item = one(dialect, changed(dialect, **fields))
        assert isinstance(item, PoisonItem)
        assert item.reason == reason

    @pytest.mark.parametrize("type_", [[], {}, ["chat"], 5, None])
    def test_an_engine_may_call_its_type_what_it_likes(self, type_: object) -> None:
        document = samples.waha_message("M1", "oi")
        document["payload"]["_data"]["type"] = type_
        assert isinstance(one("waha", document), MessageItem)

    def test_a_list_costs_no_neighbour(self) -> None:
        good = samples.evolution_message("M1", {"conversation": "oi"}, "conversation")["data"]
        first, second, third = items("evolution", samples.evolution("messages.upsert", [good, 5, {**good, "key": {}}]))
        assert isinstance(first, MessageItem)
        assert [item.path for item in (first, second, third)] == ["/data/0", "/data/1", "/data/2"]
        assert isinstance(second, PoisonItem)
        assert isinstance(third, PoisonItem)

    def test_a_status_costs_no_neighbour(self) -> None:
        body = samples.zapi("MessageStatusCallback", status="READ", ids=["A", 5, "B"], phone=samples.SENDER)
        found = items("zapi", body)
        assert [type(item) for item in found] == [ReceiptItem, PoisonItem, ReceiptItem]


class TestAuthors:
    """Who wrote it cannot always be told; the message is kept all the same, and given to nobody else."""

    @pytest.mark.parametrize(
        ("chat", "peer", "direction"),
        [
            (f"{samples.OWN_NUMBER}@s.whatsapp.net", f"phone:{samples.OWN_NUMBER}", "inbound"),
            (f"{samples.OWN_NUMBER}:3@c.us", f"phone:{samples.OWN_NUMBER}", "inbound"),
            ("99000000000009@lid", "lid:99000000000009", "echo"),
            ("120363@g.us", "group:120363@g.us", "inbound"),
        ],
    )
    def test_an_edit_by_somebody_stays_with_the_address_of_its_key(self, chat: str, peer: str, direction: str) -> None:
        key = {"remoteJid": chat, "fromMe": True, "id": "T1"}
        item = one("evolution", samples.evolution("messages.edited", {"key": key, "editedMessage": {"conversation": "x"}}))
        assert isinstance(item, MessageItem)
        assert (item.kind, item.direction, item.content.text) == ("edit", direction, "x")
        assert item.content.edit is not None
        assert item.content.edit.target_provider_message_id == "T1"
        assert [alias.key for alias in item.peer.aliases] == [peer]

    def test_an_edit_ordered_by_a_call_is_ours_whatever_its_address(self) -> None:
        key = {"remoteJid": f"{samples.OWN_NUMBER}@s.whatsapp.net", "fromMe": True, "id": "T1"}
        told = {"key": key, "editedMessage": {"conversation": "x"}}
        item = one("evolution", samples.evolution("send.message.update", told))
        assert isinstance(item, MessageItem)
        assert item.direction == "echo"

    def test_our_own_number_never_becomes_a_name_of_the_peer(self) -> None:
        key = {"remoteJid": "99000000000001@lid", "senderPn": f"{samples.OWN_NUMBER}@s.whatsapp.net", "fromMe": True, "id": "M1"}
        item = one("evolution", changed("evolution", key=key))
        assert isinstance(item, MessageItem)
        assert [alias.key for alias in item.peer.aliases] == ["lid:99000000000001"]

    def test_a_note_to_ourselves_has_our_number(self) -> None:
        key = {"remoteJid": f"{samples.OWN_NUMBER}@s.whatsapp.net", "fromMe": True, "id": "M1"}
        item = one("evolution", changed("evolution", key=key))
        assert isinstance(item, MessageItem)
        assert [alias.key for alias in item.peer.aliases] == [f"phone:{samples.OWN_NUMBER}"]

    @pytest.mark.parametrize("fields", [{"fromMe": True}, {"remoteJid": "120363@g.us", "participant": "99000000000001@lid"}])
    def test_an_edit_is_not_told_twice_where_the_first_event_knows_its_author(self, fields: dict[str, Any]) -> None:
        note = {"editedMessage": {"message": {"conversation": "x"}}}
        data = {"keyId": "T1", "remoteJid": "5511900000001@s.whatsapp.net", "fromMe": False, "message": note, **fields}
        item = one("evolution", samples.evolution("messages.update", data))
        assert isinstance(item, ConnectorEventItem)
        assert item.name is ConnectorEventName.NOTHING

    @pytest.mark.parametrize(
        ("dialect", "fields"),
        [
            ("evolution", {"key": {"id": "M1", "remoteJid": "120363@g.us", "fromMe": False}}),
            ("evolution", {"key": {"id": "M1", "remoteJid": "120363@g.us", "fromMe": False, "participant": "7@bot"}}),
            ("waha", {"id": "false_120363@g.us_M1"}),
            ("zapi", {"phone": "120363-group", "isGroup": True, "chatLid": None}),
        ],
    )
    def test_a_member_whom_nobody_names_does_not_cost_the_message(self, dialect: str, fields: dict[str, Any]) -> None:
        item = one(dialect, changed(dialect, **fields))
        assert isinstance(item, MessageItem)
        assert (item.direction, item.group_id, item.content.text) == ("inbound", "120363@g.us", "oi")
        assert [alias.key for alias in item.peer.aliases] == ["group:120363@g.us"]


class TestWrappers:
    @pytest.mark.parametrize(
        "wrapper", ["ephemeralMessage", "associatedChildMessage", "botInvokeMessage", "lottieStickerMessage", "viewOnceMessageV2"]
    )
    def test_what_is_wrapped_is_read(self, wrapper: str) -> None:
        item = one("evolution", changed("evolution", message={wrapper: {"message": {"imageMessage": {"caption": "oi"}}}}))
        assert isinstance(item, MessageItem)
        assert item.kind == "image"

    def test_keys_that_a_member_hands_out_are_no_message(self) -> None:
        name = "senderKeyDistributionMessage"
        item = one("evolution", changed("evolution", message={name: {"groupId": "120363@g.us"}}, messageType=name))
        assert isinstance(item, ConnectorEventItem)
        assert item.name is ConnectorEventName.NOTHING


class TestContentWithoutAPlace:
    @pytest.mark.parametrize(
        ("dialect", "fields", "reason"),
        [
            ("evolution", {"message": {"locationMessage": {"degreesLatitude": 91, "degreesLongitude": 0}}}, "place_impossible"),
            ("waha", {"location": {"latitude": "91", "longitude": "0"}}, "place_impossible"),
            ("zapi", {"location": {"latitude": -99.9, "longitude": -99.9}}, "place_impossible"),
            ("evolution", {"message": {"contactsArrayMessage": {"contacts": [{"displayName": "x"}] * 258}}}, "contacts_too_many"),
            ("waha", {"vCards": ["FN:x"] * 258}, "contacts_too_many"),
            ("zapi", {"contacts": {"contacts": [{"displayName": "x"}] * 258}}, "contacts_too_many"),
            ("zapi", {"order": {"products": [{"name": "x"}]}}, "product_missing"),
        ],
    )
    def test_it_goes_on_as_unsupported(self, dialect: str, fields: dict[str, Any], reason: str) -> None:
        document = changed(dialect, **fields)
        document.pop("text", None)
        item = one(dialect, document)
        assert isinstance(item, MessageItem)
        assert item.content.unsupported is not None
        assert (item.kind, item.content.unsupported.detail) == ("unsupported", reason)

    @pytest.mark.parametrize("note", ["SOMETHING_NEW", "PAYMENT"])
    def test_a_strange_note_beside_words_does_not_cost_them(self, note: str) -> None:
        item = one("zapi", changed("zapi", notification=note))
        assert isinstance(item, MessageItem)
        assert item.content.text == "oi"
        document = changed("zapi", notification=note)
        del document["text"]
        assert isinstance(one("zapi", document), ConnectorEventItem)


class TestReceipts:
    def test_a_failure_without_a_reason_may_not_be_repeated_blindly(self) -> None:
        data = {"keyId": "OUT1", "remoteJid": "5511900000001@s.whatsapp.net", "fromMe": True, "status": 0}
        item = one("evolution", samples.evolution("messages.update", data))
        assert isinstance(item, ReceiptItem)
        assert (item.error_class, item.error_code) == (ErrorClass.UNKNOWN_OUTCOME, "ERROR")

    @pytest.mark.parametrize(("number", "status"), list(enumerate(STATUSES)))
    def test_evolution_counts_from_error(self, number: int, status: str) -> None:
        data = {"keyId": "OUT1", "remoteJid": "5511900000001@s.whatsapp.net", "fromMe": True, "status": number}
        item = one("evolution", samples.evolution("messages.update", data))
        assert isinstance(item, ReceiptItem)
        assert item.status == status

    @pytest.mark.parametrize(("number", "status"), list(enumerate(STATUSES, -1)))
    def test_waha_counts_from_minus_one(self, number: int, status: str) -> None:
        item = one("waha", samples.waha("message.ack", {"id": "true_5511900000001@c.us_OUT1", "fromMe": True, "ack": number}))
        assert isinstance(item, ReceiptItem)
        assert item.status == status

    def test_a_talk_of_two_has_no_participant(self) -> None:
        jid = "5511900000001@s.whatsapp.net"
        data = {"keyId": "OUT1", "remoteJid": jid, "fromMe": True, "participant": jid, "status": "READ"}
        item = one("evolution", samples.evolution("messages.update", data))
        assert isinstance(item, ReceiptItem)
        assert item.participant == ""


class TestEvents:
    def test_the_same_event_at_another_time_is_another(self) -> None:
        first = samples.evolution("connection.update", {"state": "open"})
        later = first | {"date_time": "2026-09-21T11:15:00.000Z"}
        other_url = first | {"destination": "https://edge.example/global"}
        keys = [one("evolution", body).dedup_key for body in (first, later, other_url)]
        assert keys[0] == keys[2] != keys[1]

    @pytest.mark.parametrize(
        ("reason", "health"),
        [(401, "failed"), (402, "failed"), (403, "failed"), (406, "failed"), (428, "warning"), (515, "warning")],
    )
    def test_what_evolution_heals_itself_is_a_warning(self, reason: int, health: str) -> None:
        item = one("evolution", samples.evolution("connection.update", {"state": "close", "statusReason": reason}))
        assert isinstance(item, ConnectorEventItem)
        assert item.health == health

    def test_names_in_capitals_are_the_same_events(self) -> None:
        body = samples.evolution_message("M1", {"conversation": "oi"}, "conversation") | {"event": "MESSAGES_UPSERT"}
        assert isinstance(one("evolution", body), MessageItem)

    def test_a_first_sync_of_thousands_is_one_event(self) -> None:
        item = one("evolution", samples.evolution("contacts.upsert", [{"remoteJid": "1@s.whatsapp.net"}] * 20_000))
        assert isinstance(item, ConnectorEventItem)
        assert (item.name, item.values["count"]) == (ConnectorEventName.APP_STATE, "20000")
