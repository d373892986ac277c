"""The simulator as a whole: repeatable, unruly as ordered, and a lane never overtakes itself."""

from __future__ import annotations

import dataclasses
import json

import pytest

from services.simulator.control import Control, WrongOrder
from services.simulator.meta import Meta
from services.simulator.people import person
from services.simulator.registry import STAND_INS
from services.simulator.schedules import SCHEDULES
from services.simulator.simulator import Simulator
from services.simulator.stand_in import Disturbance
from services.simulator.telegram import Telegram
from services.simulator.utterances import Receipt, Utterance
from services.simulator.wire import Answer, Post

WHO = person(1)
SPEAKING = [kind.name for kind in STAND_INS if kind.name not in ("google", "microsoft")]


def spoken(seed: int, stand_in: str) -> list[Post]:
    simulator = Simulator(seed)
    one = simulator[stand_in]
    account = one.create(callback_url="https://edge.test/hook")
    one.disturbance = Disturbance(repeats=0.5, batch=3, shuffled=True, spread_seconds=30.0)
    for number in range(9):
        one.say(account.id, person(number % 3), Utterance(kind="text", text=f"n {number}"))
    found: list[Post] = []
    simulator.advance(60, lambda post: found.append(post) or Answer(status=200))
    return found


@pytest.mark.parametrize("stand_in", [name for name in SPEAKING if name != "sns"])
def test_the_same_seed_gives_the_same_requests(stand_in: str) -> None:
    once, twice = spoken(5, stand_in), spoken(5, stand_in)
    assert once == twice
    assert len(once) > 2


def test_another_seed_gives_another_order() -> None:
    assert spoken(5, "evolution") != spoken(6, "evolution")


def test_every_stand_in_that_posts_has_a_schedule() -> None:
    assert set(SCHEDULES) == set(SPEAKING)


def test_a_failing_update_holds_up_its_chat_and_no_other() -> None:
    simulator = Simulator()
    telegram = simulator["telegram"]
    bot = telegram.create(callback_url="https://edge.test/hook")
    for text in ("first", "second"):
        telegram.say(bot.id, person(1), Utterance(kind="text", text=text))
    telegram.say(bot.id, person(2), Utterance(kind="text", text="elsewhere"))
    seen: list[str] = []

    def post(post: Post) -> Answer:
        text = json.loads(post.body)["message"]["text"]
        seen.append(text)
        return Answer(status=503 if text == "first" and seen.count("first") < 3 else 200)

    simulator.advance(30, post)
    assert seen == ["first", "elsewhere", "first", "first", "second"]


def test_meta_batches_over_numbers_and_never_above_a_thousand() -> None:
    simulator = Simulator()
    meta = simulator["meta"]
    numbers = [meta.create(callback_url="https://edge.test/hook").id for _ in range(2)]
    meta.disturbance = Disturbance(batch=5_000)
    for number in range(1_500):
        meta.say(numbers[number % 2], person(number % 7), Utterance(kind="text", text=str(number)))
    sizes = []
    for post in simulator.posts():
        changes = [change for entry in json.loads(post.body)["entry"] for change in entry["changes"]]
        sizes.append(sum(len(change["value"]["messages"]) for change in changes))
        assert len({change["value"]["metadata"]["phone_number_id"] for change in changes}) == 2
    assert sizes == [1_000, 500]


def test_a_new_number_gives_a_new_bsuid() -> None:
    simulator = Simulator()
    meta = simulator["meta"]
    assert isinstance(meta, Meta)
    account = meta.create(callback_url="https://edge.test/hook")
    new = meta.rotate(account.id, WHO)
    (post,) = simulator.posts()
    system = json.loads(post.body)["entry"][0]["changes"][0]["value"]["messages"][0]["system"]
    assert (system["wa_id"], system["user_id"]) == (new.phone, new.bsuid)
    assert (new.phone != WHO.phone, new.bsuid != WHO.bsuid, new.lid == WHO.lid) == (True, True, True)


def test_telegram_keeps_quiet_about_what_was_not_asked_for() -> None:
    simulator = Simulator()
    telegram = simulator["telegram"]
    assert isinstance(telegram, Telegram)
    bot = telegram.create(callback_url="https://edge.test/hook")
    telegram.say(bot.id, WHO, Utterance(kind="reaction", target="91"))
    assert simulator.posts() == []
    bot.about["allowed_updates"] = ["message_reaction"]
    telegram.say(bot.id, WHO, Utterance(kind="text", text="oi"))
    telegram.say(bot.id, WHO, Utterance(kind="reaction", target="91"))
    assert ["message_reaction" in json.loads(post.body) for post in simulator.posts()] == [True]


def test_an_album_shares_its_id() -> None:
    simulator = Simulator()
    telegram = simulator["telegram"]
    assert isinstance(telegram, Telegram)
    telegram.album(telegram.create(callback_url="https://edge.test/hook").id, WHO, ["a", "b", "c"])
    messages = [json.loads(post.body)["message"] for post in simulator.posts()]
    assert len(messages) == 3
    assert len({message["media_group_id"] for message in messages}) == 1


def test_zapi_joins_receipts_of_one_status() -> None:
    simulator = Simulator()
    zapi = simulator["zapi"]
    account = zapi.create(callback_url="https://edge.test/hook")
    zapi.disturbance = Disturbance(batch=10)
    for number in range(3):
        zapi.tell(account.id, WHO, Receipt(status="read", message_id=f"A{number}"))
    zapi.tell(account.id, WHO, Receipt(status="sent", message_id="B"))
    assert [json.loads(post.body)["ids"] for post in simulator.posts()] == [["A0", "A1", "A2"], ["B"]]


class TestControl:
    def test_the_same_operations_as_in_process(self) -> None:
        simulator = Simulator()
        control = Control(simulator)
        made = control.run("meta", "create", {"callback_url": "https://edge.test/hook"})["done"]
        said = control.run("meta", "say", {"account": made["id"], "person": {"number": 2}, "utterance": {"kind": "image"}})
        assert said["done"].startswith("wamid.")
        assert control.run("meta", "disturb", dataclasses.asdict(Disturbance(repeats=1.0)))["done"] is True
        simulator.advance(1, lambda post: Answer(status=200))
        assert [line["outcome"] for line in control.ledger()] == ["delivered", "delivered"]
        assert control.state()["attempts"] == 2

    @pytest.mark.parametrize(
        ("stand_in", "order", "values"),
        [
            ("nobody", "say", {}),
            ("meta", "jump", {}),
            ("meta", "say", {"account": "unknown"}),
            ("meta", "fault", {"odd": 1}),
            ("evolution", "rotate", {"account": "x", "person": {}}),
            ("mailgun", "say", {"account": "x", "utterance": {"kind": "sticker"}}),
        ],
    )
    def test_a_wrong_order_is_explained(self, stand_in: str, order: str, values: dict[str, object]) -> None:
        with pytest.raises(WrongOrder, match=r"."):
            Control(Simulator()).run(stand_in, order, values)
