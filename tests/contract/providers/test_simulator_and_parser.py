"""What the simulator says in a provider's way is proven genuine and understood as it was meant.

Both sides are written from the documentation and know nothing of each other, so a wrong idea of either shows here.
"""

from __future__ import annotations

import dataclasses

import pytest

from services.ingest import decide
from services.simulator.people import person
from services.simulator.utterances import Receipt, Status, Utterance
from shared.domain.enums import AliasKind, ErrorClass, MessageKind
from shared.domain.items import MessageItem, ReceiptItem
from shared.providers import PROVIDERS
from shared.providers.contract import Verified
from tests.contract.providers.meaning import aliases, meant, understood
from tests.contract.providers.voices import VOICES, Speaker, Voice, signing

WHO = person(3)
_TARGET = {"telegram": "91"}
SAYINGS = [(voice, kind) for voice in VOICES for kind in sorted(voice.says)]
_CAN_ECHO = frozenset({"meta", "evolution", "waha", "zapi"})


def utterance(voice: Voice, kind: str, **more: object) -> Utterance:
    """Something to say of this kind, with a target that the voice knows the form of."""
    target = _TARGET.get(voice.stand_in, "3EB0TARGET")
    return Utterance(**{"kind": kind, "text": "Olá, é 1/2 → ok 😀", "target": target, **more})  # type: ignore[arg-type]


def test_every_provider_and_dialect_has_a_voice() -> None:
    heard = {(voice.tipo, voice.dialect) for voice in VOICES}
    for provider in PROVIDERS:
        assert {tipo for tipo, _ in heard} >= {provider.tipo}
        assert {(provider.tipo, dialect) for dialect in provider.receiving.dialects} <= heard


@pytest.mark.parametrize(("voice", "kind"), SAYINGS, ids=[f"{voice.name}-{kind}" for voice, kind in SAYINGS])
def test_it_is_genuine_and_understood_as_it_was_meant(voice: Voice, kind: str) -> None:
    speaker, what = Speaker(voice), utterance(voice, kind)
    message_id, post = speaker.says(WHO, what)
    verdict = decide.judge(
        speaker.caller, speaker.request(post), signing(b"another", speaker.secret), speaker.simulator.clock.now_ms
    )
    assert isinstance(verdict, Verified), verdict
    assert len(post.body) <= voice.provider.receiving.max_body_bytes
    (item,) = speaker.items(post)
    assert isinstance(item, MessageItem)
    assert understood(item) == meant(what, voice)
    assert {(alias.kind, alias.value) for alias in item.peer.aliases} >= aliases(WHO, voice)
    assert item.peer.name in (WHO.name, None)
    if kind not in ("edit", "revoke", "button", "reaction", "unreaction"):
        assert message_id in item.provider_message_id or item.provider_message_id in message_id
    now_ms = speaker.simulator.clock.now_ms
    if item.provider_time_ms is None:
        # a callback query and a bare key have no time, and a browser's clock is not believed
        assert (voice.stand_in, kind) in (("telegram", "button"), ("evolution", "revoke")) or voice.stand_in == "webchat"
    else:
        assert abs(item.provider_time_ms - now_ms) <= 5_000


@pytest.mark.parametrize("voice", VOICES, ids=[voice.name for voice in VOICES])
class TestEachVoice:
    def test_an_answer_names_what_it_answers(self, voice: Voice) -> None:
        answered = {"mail": "out-1@nos.example"}.get(voice.family, _TARGET.get(voice.stand_in, "3EB0ANSWERED"))
        _, post = (speaker := Speaker(voice)).says(WHO, utterance(voice, "text", reply_to=answered))
        (item,) = speaker.items(post)
        assert isinstance(item, MessageItem)
        assert answered in str(item.reply_to_provider_message_id)
        assert understood(item)["text"] == "Olá, é 1/2 → ok 😀"

    def test_a_repeat_has_the_same_key_and_another_message_has_not(self, voice: Voice) -> None:
        speaker = Speaker(voice)
        speaker.stand_in.disturbance = dataclasses.replace(speaker.stand_in.disturbance, repeats=1.0)
        speaker.stand_in.say(speaker.account.id, WHO, utterance(voice, "text"))
        speaker.stand_in.say(speaker.account.id, WHO, utterance(voice, "text"))
        keys = [item.dedup_key for post in speaker.simulator.posts() for item in speaker.items(post)]
        assert len(keys) == 4
        assert len(set(keys)) == 2

    def test_receipts_arrive_as_they_were_told(self, voice: Voice) -> None:
        speaker, told = Speaker(voice), list[Status](voice.receipts)  # type: ignore[arg-type]
        for status in told:
            receipt = Receipt(status=status, message_id="3EB0OUT00000001@x" if voice.family == "mail" else "3EB0OUT00000001")
            speaker.stand_in.tell(speaker.account.id, WHO, receipt)
        items = [item for post in speaker.simulator.posts() for item in speaker.items(post)]
        receipts = [item for item in items if isinstance(item, ReceiptItem)]
        assert [item.status.value for item in receipts] == told
        assert all("3EB0OUT00000001" in item.provider_message_id for item in receipts)
        failed = [item for item in receipts if item.status == "failed"]
        assert all(isinstance(item.error_class, ErrorClass) for item in failed)


@pytest.mark.parametrize("voice", [v for v in VOICES if v.stand_in in _CAN_ECHO], ids=lambda voice: voice.name)
class TestWhatsAppAlike:
    def test_what_was_written_on_our_own_phone_is_an_echo(self, voice: Voice) -> None:
        _, post = (speaker := Speaker(voice)).says(WHO, utterance(voice, "text", from_us=True))
        (item,) = speaker.items(post)
        assert isinstance(item, MessageItem)
        assert understood(item)["from_us"] is True
        assert (AliasKind.PHONE, WHO.phone) in {(alias.kind, alias.value) for alias in item.peer.aliases}

    def test_forwarded_stays_forwarded(self, voice: Voice) -> None:
        _, post = (speaker := Speaker(voice)).says(WHO, utterance(voice, "text", forwarded=True))
        (item,) = speaker.items(post)
        assert isinstance(item, MessageItem)
        assert item.forwarded

    def test_a_person_who_hides_the_phone_has_no_phone(self, voice: Voice) -> None:
        hidden = person(5, hides_phone=True)
        _, post = (speaker := Speaker(voice)).says(hidden, utterance(voice, "text"))
        (item,) = speaker.items(post)
        assert isinstance(item, MessageItem)
        assert {(alias.kind, alias.value) for alias in item.peer.aliases} == aliases(hidden, voice)

    def test_a_hidden_id_with_a_known_phone_has_both(self, voice: Voice) -> None:
        if voice.stand_in == "meta":
            return
        speaker = Speaker(voice)
        speaker.account.about["addressing"] = "lid"
        _, post = speaker.says(WHO, utterance(voice, "text"))
        (item,) = speaker.items(post)
        assert isinstance(item, MessageItem)
        found = {(alias.kind, alias.value) for alias in item.peer.aliases}
        assert found >= {(AliasKind.LID, WHO.lid), (AliasKind.PHONE, WHO.phone)}

    def test_in_a_group_the_member_speaks(self, voice: Voice) -> None:
        group = {"meta": "GROUP0001", "zapi": "120363000000000001-group"}.get(voice.stand_in, "120363000000000001@g.us")
        _, post = (speaker := Speaker(voice)).says(WHO, utterance(voice, "text", group=group))
        (item,) = speaker.items(post)
        assert isinstance(item, MessageItem)
        assert item.group_id is not None
        assert (AliasKind.PHONE, WHO.phone) in {(alias.kind, alias.value) for alias in item.peer.aliases}
        assert item.kind is MessageKind.TEXT
