"""What independent readers find after a run: in the topics, in the raw bodies, in the tables and in the logs. No judgement."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from deploy.demo.world import World, elements_of
from shared.adapters.avro import Codec
from shared.domain.records import DeadLetter, DeliveryUpdated, IntakeCompleted, IntakeRequested, MessageReceived
from shared.domain.topics import Topic
from tests.chaos.automation import understood
from tests.chaos.ground_plan import CONNECTORS, number_id
from tests.chaos.provider import Route

_NUMBERS = frozenset(number_id(connector, route) for connector in CONNECTORS for route in Route)
_BREACH = re.compile(r"held_copy_lost_its_claim")
Place = tuple[int, int, str]  # partition, offset, item path


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """One `message.received` as a `read_committed` reader finds it, in the topic's order per conversation."""

    peer: str
    id: str  # the provider's
    message_id: str = ""
    conversation_id: str = ""
    contact_id: str = ""
    rule: str = "org_unit"
    reason: str = "account_default"
    unit: str | None = None
    orphan: bool = False
    time_ms: int = 0  # by the topic's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One `automation.intake.requested`."""

    id: str  # the provider's id of the message
    request_id: str
    flow: str
    received_at_ms: int = 0
    time_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One `delivery.updated`, in the topic's order per message."""

    about: str
    state: str
    orphan: bool = False

    @property
    def id(self) -> str:
        """As the ledger calls it."""
        return f"{self.about}/{self.state}"


@dataclass(kw_only=True)
class Finds:
    """All of it. `raw`: how many elements arrived, without copies of held items; `hopeless`: places of those that are none."""

    emitted: list[Emitted] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, list[tuple[int, IntakeCompleted]]] = field(default_factory=dict)  # request id -> (time, answer), in order
    bad_answers: int = 0
    answer_letters: int = 0
    delivered: list[Delivered] = field(default_factory=list)
    raw: int = 0
    hopeless: set[Place] = field(default_factory=set)
    letters: Counter[Place] = field(default_factory=Counter)
    books: Counter[str] = field(default_factory=Counter)
    unfinished: list[str] = field(default_factory=list)  # held rows: reason and state
    breaches: int = 0


def find(world: World, database_url: str, logs: Path) -> Finds:
    """Read everything there is. Takes a second for each ten thousand records or so."""
    finds = Finds(books=world.books(), unfinished=unfinished_rows(database_url), breaches=count_breaches(logs))
    for lying, body in world.raw_bodies():
        for path, name, number, element in elements_of(body):
            finds.raw += 1
            if number not in _NUMBERS or not isinstance(element, dict) or not _is_whole(name, element):
                finds.hopeless.add((lying.partition, lying.offset, path))
    finds.emitted = list(_emitted(world))
    finds.asked = list(_asked(world))
    finds.delivered = list(_delivered(world))
    _read_answers(world, finds)
    letter: DeadLetter
    for letter in world.events(Topic.WEBHOOK_RECEIVED_DLQ):
        finds.letters[letter.origin.partition, letter.origin.offset, letter.origin.item] += 1
    return finds


def unfinished_rows(database_url: str) -> list[str]:
    """`held_record` where it is not done: state, reason and attempt of each row."""
    with psycopg.connect(plain_url(database_url)) as connection:
        rows = connection.execute("SELECT state, reason, attempt FROM held_record WHERE state <> 'done' ORDER BY seq").fetchall()
    return [f"{state} {reason} attempt {attempt}" for state, reason, attempt in rows]


def plain_url(database_url: str) -> str:
    """Without the driver's name."""
    return make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)


def count_breaches(logs: Path) -> int:
    """How often a router said that a copy had lost its claim while its row waits: the counter's value beyond kills."""
    return sum(len(_BREACH.findall(path.read_text(errors="replace"))) for path in logs.glob("router-*.log*"))


def _is_whole(name: str, element: dict[str, object]) -> bool:
    return "id" in element and (name != "messages" or "from" in element)


def _emitted(world: World) -> Iterator[Emitted]:
    for record in world.records(Topic.MESSAGE_RECEIVED):
        event: MessageReceived = world.decode(Topic.MESSAGE_RECEIVED, record)
        message, decision = event.message, event.decision
        yield Emitted(
            peer=message.peer_aliases[0].value,
            id=message.provider_message_id,
            message_id=message.message_id,
            conversation_id=message.conversation_id,
            contact_id=message.contact_id,
            rule=decision.rule,
            reason=decision.reason,
            unit=decision.org_unit_id,
            orphan=message.orphan_reason is not None,
            time_ms=record.time_ms,
        )


def _asked(world: World) -> Iterator[Asked]:
    for record in world.records(Topic.INTAKE_REQUESTED):
        event: IntakeRequested = world.decode(Topic.INTAKE_REQUESTED, record)
        yield Asked(
            id=event.message.provider_message_id,
            request_id=event.request_id,
            flow=event.intake_flow_id,
            received_at_ms=event.message.received_at_ms,
            time_ms=record.time_ms,
        )


def _delivered(world: World) -> Iterator[Delivered]:
    event: DeliveryUpdated
    for event in world.events(Topic.DELIVERY_UPDATED):
        yield Delivered(about=event.provider_message_id or "", state=event.status.value, orphan=event.message_id is None)


def _read_answers(world: World, finds: Finds) -> None:
    codec = Codec()
    for record in world.records(Topic.INTAKE_COMPLETED):
        answer = understood(codec, record.value or b"")
        if answer is None:
            finds.bad_answers += 1
        else:
            finds.answers.setdefault(answer.request_id, []).append((record.time_ms, answer))
    finds.answer_letters = len(world.events(Topic.INTAKE_COMPLETED_DLQ))
