"""One random history of the inbound model: what arrives, who dies or freezes when, what the flow says; then a calm end."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field, replace

from shared.domain.enums import AccountStatus, DeliveryStatus, Direction, IntakeOutcome, MessageKind, WebhookEvent
from shared.domain.items import (
    Alias,
    AnyItem,
    Content,
    Edit,
    MessageItem,
    PoisonItem,
    Reaction,
    SendResultItem,
)
from shared.domain.records import IntakeCompleted
from shared.domain.snapshots import AccountSnapshot
from tests.unit.model.inbound_world import InHand, Rules, Sending, Taken, World, requests
from tests.unit.services.router.builders import FLOW, UNIT, account, message, receipt

FLOW_UNIT = "00000000-0000-7000-8000-0000000000d2"  # where the flow sends things
CALM_MS = 2 * 3_600_000  # by then nothing may wait; less than the time after which everything comes out anyway
_STATES = tuple(one for one in DeliveryStatus if one is not DeliveryStatus.ACCEPTED)
_PEOPLE = ("5511900000001", "5511900000002")


@dataclass(frozen=True, slots=True)
class Posted:
    """One item as it arrived. `name`: equal for all repeats of one item, of one direction and kind."""

    name: str
    item: AnyItem
    offset: int
    index: int
    at_ms: int


@dataclass
class History:
    """What the oracle may know: what arrived, what the flow was told to say and whether it was in time, what was configured."""

    world: World
    posted: list[Posted] = field(default_factory=list)
    answered: dict[str, IntakeCompleted] = field(default_factory=dict)  # message id -> the answer that counted
    extended: dict[str, int] = field(default_factory=dict)  # message id -> no decision before
    accounts: list[AccountSnapshot] = field(default_factory=list)  # every version there was
    lost: int = 0  # copies that could not be read any more
    stuck: int = 0


def run(seed: int, rules: Rules | None = None) -> History:
    """The whole history that belongs to a seed."""
    driver = _Driver(random.Random(seed), rules or Rules())
    return driver.run()


class _Driver:
    def __init__(self, dice: random.Random, rules: Rules) -> None:
        self._dice = dice
        flow = {"intake_flow_id": FLOW, "intake_flow_usable": True, "org_unit_id": dice.choice((None, UNIT))}
        accounts = [account(1, **flow), account(2)]
        self._world = World({one.account_id: one for one in accounts}, rules)
        self._history = History(self._world, accounts=list(accounts))
        self._sleeping: list[Taken | InHand] = []
        self._frozen: list[list[Sending]] = []
        self._asked = 0  # of `seen`, what the flow has looked at
        self._says: list[tuple[int, IntakeCompleted]] = []
        self._written: list[tuple[str, AnyItem]] = []  # for repeats
        self._messages: list[tuple[str, int, str, str | None]] = []  # id, account, person, group
        self._promised: list[tuple[str, int, str, str | None]] = []  # messages that others spoke of before they came
        self._sent: list[str] = []  # ids of outbound messages, known or not yet
        self._unsent: list[str] = []
        self._configures = dice.random() < 0.4
        self._rejects = dice.random() < 0.2
        self._loses = dice.random() < 0.1
        self._count = 0

    def run(self) -> History:
        dice = self._dice
        for _ in range(dice.randint(8, 30)):
            choice = dice.random()
            if choice < 0.40:
                self._arrive()
            elif choice < 0.66:
                self._route()
            elif choice < 0.84:
                self._relay()
            elif choice < 0.90 and self._configures:
                self._configure()
            self._listen()
            self._world.now_ms += dice.choice(
                (0, 3, 200, 2_000, 2_000, 31_000, 125_000) if dice.random() < 0.98 else (700_000, 7_200_000)
            )
        self._calm()
        return self._history

    # --- what arrives

    def _arrive(self) -> None:
        makers = (
            self._message,
            self._message,
            self._message,
            self._about,
            self._echo,
            self._receipt,
            self._receipt,
            self._result,
        )
        items: list[tuple[str, AnyItem]] = []
        for place in range(self._dice.choice((1, 1, 1, 2, 3))):
            choice = self._dice.random()
            if choice < 0.03:
                name, item = "poison", _POISON
            elif choice < 0.25 and self._written:
                name, item = self._dice.choice(self._written)
            else:
                name, item = self._dice.choice(makers)()
                self._written.append((name, item))
            items.append((name, replace(item, path=f"/m/{place}")))
        offset = self._world.post(*(item for _, item in items))
        for index, (name, item) in enumerate(items):
            self._history.posted.append(Posted(name, item, offset, index, self._world.now_ms))

    def _message(self) -> tuple[str, AnyItem]:
        keeps = bool(self._promised) and self._dice.random() < 0.5
        made = self._promised.pop(0) if keeps else self._new_message()
        self._messages.append(made)
        return made[0], _text(*made)

    def _new_message(self) -> tuple[str, int, str, str | None]:
        self._count += 1
        group = "group-1" if self._dice.random() < 0.15 else None
        return f"m{self._count}", self._dice.choice((1, 1, 2)), self._dice.choice(_PEOPLE), group

    def _about(self) -> tuple[str, AnyItem]:
        """An edit or a reaction, of something that came or that will come (or never)."""
        if self._messages and self._dice.random() < 0.5:
            target = self._dice.choice(self._messages)
        elif self._promised and self._dice.random() < 0.4:
            target = self._dice.choice(self._promised)
        else:
            target = self._new_message()
            self._promised.append(target)
        self._count += 1
        item_id = f"m{self._count}"
        if self._dice.random() < 0.5:
            content = Content(text="!", edit=Edit(target_provider_message_id=target[0], kind=MessageKind.TEXT))
        else:
            content = Content(reaction=Reaction(target_provider_message_id=target[0], emoji="+"))
        return item_id, replace(_text(item_id, *target[1:]), content=content)

    def _echo(self) -> tuple[str, AnyItem]:
        made = self._new_message()
        return made[0], replace(_text(*made), direction=Direction.ECHO)

    def _result(self) -> tuple[str, AnyItem]:
        if self._unsent and self._dice.random() < 0.7:
            name = self._unsent.pop(0)
        else:
            self._count += 1
            name = f"out{self._count}"
            self._sent.append(name)
        item = SendResultItem(
            path="",
            evento=WebhookEvent.MESSAGE_STATUS,
            account_refs=("phone_number_id:1",),
            dedup_key=f"{name}:1",
            message_id=_sent_id(name),
            attempt=1,
            status=DeliveryStatus.ACCEPTED,
            recipient=(_alias(_PEOPLE[0]),),
            provider_message_ids=(name,),
        )
        return f"{name}:result", item

    def _receipt(self) -> tuple[str, AnyItem]:
        if self._sent and self._dice.random() < 0.7:
            name = self._dice.choice(self._sent)
        else:
            self._count += 1
            name = f"out{self._count}"
            self._sent.append(name)
            self._unsent.append(name)
        status = self._dice.choice(_STATES)
        participant = self._dice.choice(("", "", "", "phone:5511900000003"))
        callback = _sent_id(name) if self._dice.random() < 0.2 else None
        item = receipt(
            status,
            target=name,
            participant=participant,
            dedup_key=f"{name}:{status.value}:{participant}",
            callback_data=callback,
        )
        return f"{name}:{status.value}:{participant}", item

    # --- who dies and freezes

    def _route(self) -> None:
        dice, world = self._dice, self._world
        if self._sleeping and dice.random() < 0.4:
            self._wake_up(self._sleeping.pop(dice.randrange(len(self._sleeping))))
        taken = world.take(dice.randint(1, 5))
        if taken is None:
            return
        fate = dice.random()
        if fate < 0.10:
            self._freeze(taken)
        elif fate < 0.18:
            world.settle(taken, crash=True)
        else:
            batch = world.settle(taken)
            if batch is None or fate < 0.32:  # dies between its two commits
                return
            if fate < 0.45:
                self._freeze(batch)
            else:
                world.finish(batch)

    def _freeze(self, one: Taken | InHand) -> None:
        """The other router takes the partition over."""
        self._sleeping.append(one)
        self._world.generation += 1

    def _wake_up(self, one: Taken | InHand) -> None:
        batch = self._world.settle(one) if isinstance(one, Taken) else one
        if batch is not None:
            self._world.finish(batch)

    def _relay(self) -> None:
        dice, world = self._dice, self._world
        world.sweep()
        if self._frozen and dice.random() < 0.5:
            self._deliver(self._frozen.pop(dice.randrange(len(self._frozen))))
        sendings = world.mark(dice.randint(1, 4))
        if not sendings or dice.random() < 0.1:
            return
        if dice.random() < 0.15:
            self._frozen.append(sendings)
            return
        self._deliver(sendings)

    def _deliver(self, sendings: list[Sending]) -> None:
        readable = not (self._loses and self._dice.random() < 0.2)
        if not readable:
            self._history.lost += len(sendings)
        copies = self._world.write(sendings, readable=readable)
        if self._dice.random() < 0.9:
            self._world.note(copies)

    def _configure(self) -> None:
        world, dice = self._world, self._dice
        old = dice.choice(list(world.accounts.values()))
        if self._rejects and dice.random() < 0.5:
            status = AccountStatus.ACTIVE if old.status is AccountStatus.INACTIVE else AccountStatus.INACTIVE
            new = replace(old, version=old.version + 1, status=status)
        else:
            new = replace(
                old,
                version=old.version + 1,
                org_unit_id=dice.choice((None, UNIT)),
                intake_flow_id=dice.choice((None, FLOW, FLOW)),
                intake_flow_usable=dice.random() < 0.7,
                pause_cause=dice.choice((None, None, "operator")),
            )
        world.accounts[old.account_id] = new
        self._history.accounts.append(new)
        if dice.random() < 0.8:
            world.account_published(old.account_id)

    # --- the flow

    def _listen(self) -> None:
        """It reads what it was asked, and says what it has to say."""
        dice, world = self._dice, self._world
        for request in requests(world.seen[self._asked :]):
            for _ in range(dice.choice((0, 1, 1, 1, 2))):
                at_ms = world.now_ms + dice.choice((0, 500, 5_000, 100_000, 130_000, 400_000))
                self._says.append((at_ms, _answer(request.request_id, dice)))
        self._asked = len(world.seen)
        ready = [one for one in self._says if one[0] <= world.now_ms]
        self._says = [one for one in self._says if one[0] > world.now_ms]
        for _, said in ready:
            if not world.answer(said):
                continue
            if said.outcome is IntakeOutcome.EXTEND:
                self._history.extended[said.request_id] = world.now_ms + (said.extend_seconds or 0) * 1000
            else:
                self._history.answered[said.request_id] = said

    # --- the end

    def _calm(self) -> None:
        world = self._world
        for one in self._sleeping:
            self._wake_up(one)
        for sendings in self._frozen:
            world.write(sendings)
        end_ms = world.now_ms + CALM_MS
        while world.now_ms < end_ms:
            taken = world.take(4)
            batch = world.settle(taken) if taken is not None else None
            if batch is not None:
                world.finish(batch)
            self._listen()
            world.sweep()
            sendings = world.mark(10)
            world.note(world.write(sendings))
            if world.committed == len(world.log):
                if not world.tables.unfinished():
                    break
                self._rest()
        self._history.stuck = len(world.tables.unfinished()) + len(world.log) - world.committed

    def _rest(self) -> None:
        """On to the next moment at which something may happen."""
        world = self._world
        moments = [one.due_ms for one in world.tables.unfinished()] + [at_ms for at_ms, _ in self._says]
        ahead = [at_ms for at_ms in moments if at_ms > world.now_ms]
        world.now_ms = min([*ahead, world.now_ms + 31_000])


def _answer(request_id: str, dice: random.Random) -> IntakeCompleted:
    outcome = dice.choice(
        (IntakeOutcome.ROUTE, IntakeOutcome.ROUTE, IntakeOutcome.HANDLED, IntakeOutcome.DROP, IntakeOutcome.EXTEND)
    )
    return IntakeCompleted(
        request_id=request_id,
        outcome=outcome,
        org_unit_id=FLOW_UNIT if outcome is IntakeOutcome.ROUTE else None,
        extend_seconds=dice.choice((10, 300)) if outcome is IntakeOutcome.EXTEND else None,
        labels=("vip",) if dice.random() < 0.3 else (),
        completed_at_ms=0,
    )


def _text(item_id: str, number: int, person: str, group: str | None) -> MessageItem:
    return replace(message(item_id, number=number, phone=person), group_id=group)


def _alias(person: str) -> Alias:
    return message(phone=person).peer.aliases[0]


def _sent_id(name: str) -> str:
    return str(uuid.UUID(int=int(name.removeprefix("out"))))


_POISON = PoisonItem(path="", evento=WebhookEvent.MESSAGE_IN, account_refs=(), dedup_key="", reason="no_id", fragment=b"{}")
