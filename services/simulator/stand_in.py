"""What every stand-in is: accounts, what waits to be posted, faults, and an API. Each provider's module fills in the rest."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from services.simulator.clock import VirtualClock
from services.simulator.delivery import Engine
from services.simulator.faults import AnswerLost, Fault, FaultPlan
from services.simulator.people import Person
from services.simulator.utterances import Receipt, Utterance
from services.simulator.wire import ApiCall, ApiReply, Post


@dataclass(slots=True, kw_only=True)
class Account:
    """One number, bot, instance, inbox or widget. `about` holds what only its provider knows."""

    id: str
    callback_url: str
    secret: str
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One thing to tell, before it is put into a POST. `payload` has the provider's own form."""

    account: str
    payload: Any
    label: str
    lane: str = ""
    expires_ms: int | None = None


@dataclass(slots=True, kw_only=True)
class Disturbance:
    """How unruly the provider is. `repeats`: share of POSTs that come twice. `batch`: elements in one POST at most.

    `shuffled`: elements and POSTs in any order. `spread_seconds`: each POST is late by up to that.
    """

    repeats: float = 0.0
    batch: int = 1
    shuffled: bool = False
    spread_seconds: float = 0.0


@dataclass(slots=True)
class World:
    """What all stand-ins share. `later` orders an act of the provider's own after some seconds."""

    clock: VirtualClock
    engine: Engine
    seed: int
    _acts: list[tuple[int, int, Callable[[], object]]] = field(default_factory=list)
    _ordered: int = 0

    def later(self, seconds: float, act: Callable[[], object]) -> None:
        """Do it then."""
        self._ordered += 1
        self._acts.append((self.clock.now_ms + round(seconds * 1000), self._ordered, act))

    def next_act_ms(self) -> int | None:
        """When the next ordered act is due."""
        return min((at for at, _, _ in self._acts), default=None)

    def act(self) -> None:
        """Do everything that is due."""
        due = sorted((one for one in self._acts if one[0] <= self.clock.now_ms), key=lambda one: one[:2])
        self._acts = [one for one in self._acts if one[0] > self.clock.now_ms]
        for _, _, act in due:
            act()


class StandIn(ABC):
    """One provider. Operations give what the provider made of them as JSON values."""

    name: ClassVar[str]
    hosts: ClassVar[tuple[str, ...]] = ()  # of the real API, for tests that route by host
    max_batch: ClassVar[int] = 1

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = random.Random(f"{world.seed}/{self.name}")
        self.accounts: dict[str, Account] = {}
        self.faults = FaultPlan()
        self.disturbance = Disturbance()
        self.calls: list[ApiCall] = []
        self._pending: list[Element] = []
        self._ids = 0

    # what tests and the control API order

    @abstractmethod
    def create(self, **about: Any) -> Account:
        """A new account; what is not given is invented."""

    @abstractmethod
    def say(self, account: str, who: Person, what: Utterance) -> str:
        """A person says something; gives the provider's id of the message."""

    def tell(self, account: str, who: Person, what: Receipt) -> None:
        """What became of a message of ours. Raises KeyError where the provider tells nothing of the kind."""
        raise KeyError(f"{self.name} tells nothing of what became of {what.message_id}")

    def event(self, account: str, name: str, /, **values: Any) -> None:
        """One of the provider's own events, by the name in its documentation."""
        raise KeyError(f"{self.name} has no event {name}")

    # what a stand-in does with its elements

    @abstractmethod
    def post_of(self, elements: Sequence[Element], now_ms: int) -> Post:
        """The signed request with these elements of one account, as of now."""

    def queue(self, account: str, payload: Any, label: str, lane: str = "", expires_ms: int | None = None) -> None:
        """One more thing to tell; raises KeyError for an account that there is not."""
        if account not in self.accounts:
            raise KeyError(account)
        self._pending.append(Element(account=account, payload=payload, label=label, lane=lane, expires_ms=expires_ms))

    def flush(self) -> None:
        """Put what is pending on its way, as unruly as ordered."""
        elements, self._pending = self._pending, []
        if self.disturbance.shuffled:
            self.chance.shuffle(elements)
        for group in self._groups(elements):
            self._send(group)
            if self.chance.random() < self.disturbance.repeats:
                self._send(group)

    def _groups(self, elements: Iterable[Element]) -> list[list[Element]]:
        size = max(1, min(self.disturbance.batch, self.max_batch))
        groups: list[list[Element]] = []
        for element in elements:
            if groups and len(groups[-1]) < size and groups[-1][0].account == element.account:
                groups[-1].append(element)
            else:
                groups.append([element])
        return groups

    def _send(self, group: list[Element]) -> None:
        first = group[0]
        if not self.accounts[first.account].callback_url:
            return  # nobody has subscribed: such a provider keeps quiet
        self.world.engine.add(
            stand_in=self.name,
            account=first.account,
            make=lambda now_ms: self.post_of(group, now_ms),
            label=",".join(element.label for element in group)[:128],
            lane=first.lane,
            delay_seconds=self.chance.uniform(0.0, self.disturbance.spread_seconds),
            expires_ms=first.expires_ms,
        )

    # the API side

    def answer(self, call: ApiCall) -> ApiReply:
        """What the provider's API says; raises AnswerLost for a planned loss."""
        self.calls.append(call)
        operation = self.operation_of(call)
        fault = self.faults.take(operation)
        if fault is not None and not fault.lost:
            return self.fault_reply(fault, call)
        done = self.serve(operation, call)
        if fault is not None:
            raise AnswerLost(operation)
        return done

    @abstractmethod
    def operation_of(self, call: ApiCall) -> str:
        """A short name of what is called, for faults and for the ledger."""

    @abstractmethod
    def serve(self, operation: str, call: ApiCall) -> ApiReply:
        """The usual answer."""

    @abstractmethod
    def fault_reply(self, fault: Fault, call: ApiCall) -> ApiReply:
        """A planned fault in the provider's own form."""

    def next_id(self) -> int:
        """1, 2, 3, …: what ids are made of."""
        self._ids += 1
        return self._ids
