"""Changes of a body that must not change what is understood, for every provider, dialect and example."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from services.simulator.people import person
from services.simulator.stand_in import Disturbance
from services.simulator.utterances import Receipt, Utterance
from shared.domain.items import AnyItem, MessageItem, PoisonItem
from shared.providers import PROVIDERS
from shared.providers.contract import Provider
from tests.contract.providers.examples import Example, described, examples_of, items_of
from tests.contract.providers.meaning import understood
from tests.contract.providers.voices import VOICES, Speaker, Voice

EXAMPLES = [(provider, example) for provider in PROVIDERS for example in examples_of(provider) if "items" in example.expected]
EXAMPLE_IDS = [
    f"{provider.tipo}-{example.dialect + '-' if example.dialect else ''}{example.name}" for provider, example in EXAMPLES
]
_HASH = re.compile(r"[0-9a-f]{32,64}")
NEW = {"added_in_a_later_release": {"depth": [1, None, {"x": "y"}]}}
WHATSAPP = [voice for voice in VOICES if voice.family == "whatsapp"]
COMMON = sorted(frozenset.intersection(*(voice.says for voice in WHATSAPP)) - {"something_new"}) if WHATSAPP else []


def widened(value: Any) -> Any:
    """The JSON value with a field that nobody knows in each of its objects, at the end."""
    if isinstance(value, dict):
        return {**{name: widened(part) for name, part in value.items()}, **NEW}
    return [widened(part) for part in value] if isinstance(value, list) else value


def told(items: Iterable[AnyItem]) -> list[dict[str, Any]]:
    """Items without what quotes the source itself: poison's fragments, unsupported words, keys that are a hash of everything."""
    found = []
    for item in items:
        said = described(dataclasses.replace(item, fragment=b"") if isinstance(item, PoisonItem) else item)
        if said.get("kind") == "unsupported":
            said["content"] = {}
        if said["item"] in ("ConnectorEventItem", "PoisonItem") and _HASH.search(said["dedup_key"]):
            said["dedup_key"] = "hash"
        found.append(said)
    return found


@pytest.mark.req(66)
@pytest.mark.parametrize(("provider", "example"), EXAMPLES, ids=EXAMPLE_IDS)
def test_unknown_fields_change_nothing(provider: Provider, example: Example) -> None:
    try:
        document = json.loads(example.body)
    except ValueError:
        return  # a form or a mail: its unknown parts are in test_any_body
    if example.name.startswith(("unknown_", "event_unknown", "batch_poison", "nothing", "event_nothing")):
        return  # here an unknown field is what the example is about
    wide = dataclasses.replace(example, body=json.dumps(widened(document)).encode())
    assert told(items_of(provider, wide)) == told(items_of(provider, example))


@pytest.mark.parametrize(("provider", "example"), EXAMPLES, ids=EXAMPLE_IDS)
def test_the_spelling_of_the_json_changes_nothing(provider: Provider, example: Example) -> None:
    try:
        document = json.loads(example.body)
    except ValueError:
        return
    for body in (
        json.dumps(document, ensure_ascii=True, indent=3),
        json.dumps(document, ensure_ascii=True, separators=(",", ":")).replace("/", "\\/"),
        json.dumps(_reversed(document)),
    ):
        respelled = dataclasses.replace(example, body=body.encode())
        assert told(items_of(provider, respelled)) == told(items_of(provider, example))


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _reversed(value[name]) for name in reversed(value)}
    return [_reversed(part) for part in value] if isinstance(value, list) else value


def _spoken(voice: Voice, disturbance: Disturbance) -> list[AnyItem]:
    """Twelve messages and the receipts of six, of three people, told in POSTs as ordered."""
    speaker = Speaker(voice, seed=7)
    stand_in, account = speaker.stand_in, speaker.account.id
    other = Speaker(voice, seed=7, simulator=speaker.simulator).account.id
    stand_in.disturbance = disturbance
    for number in range(12):
        stand_in.say(account if number % 3 else other, person(number % 3), Utterance(kind="text", text=f"número {number}"))
    for number in range(6):
        if voice.receipts:
            told_of = Receipt(status="delivered", message_id=f"3EB0OUT{number}@x")
            stand_in.tell(account if number % 2 else other, person(0), told_of)
    return [item for post in speaker.simulator.posts() for item in speaker.items(post)]


def _bag(items: Iterable[AnyItem]) -> Counter[str]:
    return Counter(json.dumps({**described(item), "path": ""}, sort_keys=True) for item in items)


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
@pytest.mark.parametrize(
    "disturbance",
    [
        Disturbance(batch=1_000),
        Disturbance(batch=1_000, shuffled=True),
        Disturbance(batch=4, shuffled=True),
        Disturbance(shuffled=True),
    ],
    ids=["merged", "merged and shuffled", "in fours and shuffled", "shuffled"],
)
def test_how_items_are_put_into_posts_changes_only_their_order(voice: Voice, disturbance: Disturbance) -> None:
    alone, together = _spoken(voice, Disturbance()), _spoken(voice, disturbance)
    assert len(alone) == 12 + (6 if voice.receipts else 0)
    assert _bag(together) == _bag(alone)
    assert len({item.dedup_key for item in together}) == len(together)


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
def test_repeated_posts_repeat_keys_and_add_none(voice: Voice) -> None:
    once, twice = _spoken(voice, Disturbance()), _spoken(voice, Disturbance(repeats=1.0))
    assert len(twice) == 2 * len(once)
    assert {item.dedup_key for item in twice} == {item.dedup_key for item in once}


@pytest.mark.parametrize("kind", COMMON)
def test_the_same_message_means_the_same_through_every_dialect(kind: str) -> None:
    what = Utterance(kind=kind, text="Olá 😀", target="3EB0TARGET", reply_to="3EB0ANSWERED" if kind == "text" else None)  # type: ignore[arg-type]
    found = {}
    for voice in WHATSAPP:
        _, post = (speaker := Speaker(voice)).says(person(4), what)
        (item,) = speaker.items(post)
        assert isinstance(item, MessageItem)
        found[voice.name] = understood(item)
    first = next(iter(found.values()))
    assert found == dict.fromkeys(found, first)
