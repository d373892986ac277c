"""A small model of claims, crashes and replays: one raw partition, two workers, a relay that redelivers held items.

The two commits of a batch (PostgreSQL, then Kafka) are separate steps; a worker may crash before, between and after them,
or sleep between them while the other one takes its partition over. At the end of a run every message must have come out
exactly once. `Rules` switches single mechanisms off, so that the tests can show what each of them is for.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rules:
    """The design's mechanisms; False is the simpler rule that was refused."""

    claims_have_owners: bool = True  # else: mine is what I inserted just now
    copy_beats_plain_item: bool = True  # else: the first to arrive wins inside a batch
    takeover_compares: bool = True  # else: a redelivered copy takes the claim whoever has it
    offsets_with_events: bool = True  # else: offsets are committed before the events
    events_are_transactional: bool = True  # else: events are visible as soon as they are written
    workers_are_fenced: bool = True  # else: a worker that lost its partition may still commit
    repeats_collapse: bool = True  # else: equal keys in one batch are not settled among themselves
    owners_name_the_item: bool = True  # else: an owner is an offset only


Owner = tuple[int, str]


@dataclass(frozen=True)
class Record:
    """One raw record: its items as (path, message id); a copy names the position whose claim it may take over."""

    items: tuple[tuple[str, str], ...]
    copy_of: Owner | None = None


@dataclass
class Batch:
    """What a worker has in hand between its two commits."""

    generation: int
    end: int
    emits: list[str]


@dataclass
class World:
    """Kafka and PostgreSQL as far as the model needs them."""

    rules: Rules
    log: list[Record] = field(default_factory=list)
    committed: int = 0
    generation: int = 0
    events: list[str] = field(default_factory=list)
    claims: dict[str, Owner] = field(default_factory=dict)
    held: dict[str, Owner] = field(default_factory=dict)  # message id -> position that held it; gone when done

    def begin(self, size: int) -> Batch | None:
        """PostgreSQL's half of a batch, committed: claims, held rows."""
        start, end = self.committed, min(len(self.log), self.committed + size)
        if start == end:
            return None
        batch = Batch(self.generation, end, [])
        if not self.rules.offsets_with_events:
            self.committed = end
        for position, copy_of, message in self._winners(start, end):
            if self._mine(message, position, copy_of):
                self._decide(batch, message, position, copy_of)
        return batch

    def finish(self, batch: Batch, *, crash_after_write: bool = False) -> None:
        """Kafka's half: events and offset in one transaction, refused for a worker whose generation is over."""
        if self.rules.workers_are_fenced and batch.generation != self.generation:
            return
        if not self.rules.events_are_transactional:
            self.events += batch.emits
            if crash_after_write:
                return
        elif crash_after_write:
            return  # the open transaction is aborted by the next producer
        else:
            self.events += batch.emits
        self.committed = max(self.committed, batch.end)

    def redeliver(self, message: str) -> None:
        """What relay does with a held row once the router's offset has passed it; may happen twice (a crash)."""
        position = self.held.get(message)
        if position is not None and position[0] < self.committed:
            self.log.append(Record(((position[1], message),), copy_of=position))

    def _winners(self, start: int, end: int) -> list[tuple[Owner, Owner | None, str]]:
        items = [
            ((offset, path), record.copy_of, message)
            for offset, record in enumerate(self.log[start:end], start)
            for path, message in record.items
        ]
        if not self.rules.repeats_collapse:
            return items
        winners: dict[str, tuple[Owner, Owner | None, str]] = {}
        for item in items:
            present = winners.get(item[2])
            beats = self.rules.copy_beats_plain_item and item[1] is not None and present is not None and present[1] is None
            if present is None or beats:
                winners[item[2]] = item
        return sorted(winners.values(), key=lambda item: item[0])

    def _mine(self, message: str, position: Owner, copy_of: Owner | None) -> bool:
        mine, origin = self._owner(position), self._owner(copy_of) if copy_of else None
        standing = self.claims.get(message)
        if standing is None:
            self.claims[message] = mine
            return True
        if origin is not None and (standing == origin or not self.rules.takeover_compares):
            self.claims[message] = mine
            return True
        return self.rules.claims_have_owners and standing == mine

    def _owner(self, position: Owner) -> Owner:
        return position if self.rules.owners_name_the_item else (position[0], "")

    def _decide(self, batch: Batch, message: str, position: Owner, copy_of: Owner | None) -> None:
        if message.startswith("held") and copy_of is None:
            self.held[message] = position
            return
        batch.emits.append(message)


def run(rules: Rules, seed: int) -> Counter[str]:
    """One random history, then a calm end. Returns how often each accepted message came out; all should be 1."""
    dice = random.Random(seed)
    world = World(rules)
    accepted: list[str] = []
    sleeping: list[Batch] = []
    for _ in range(dice.randint(4, 14)):
        _arrive(world, dice, accepted)
        _work(world, dice, sleeping)
    for batch in sleeping:
        world.finish(batch)
    _drain(world)
    for message in set(world.held) - {name for record in world.log if record.copy_of for _, name in record.items}:
        world.redeliver(message)  # a copy is durable: one is enough
    _drain(world)
    came_out = Counter(world.events)
    return Counter({message: came_out[message] for message in accepted} | dict(came_out))


def _arrive(world: World, dice: random.Random, accepted: list[str]) -> None:
    choice = dice.random()
    if accepted and choice < 0.4:  # a provider's repeat, alone or in a batch with itself
        message = dice.choice(accepted)
        paths = ("/0",) if dice.random() < 0.7 else ("/0", "/1")
        world.log.append(Record(tuple((path, message) for path in paths)))
    elif world.held and choice < 0.7:
        message = dice.choice(sorted(world.held))
        for _ in range(dice.randint(1, 2)):
            world.redeliver(message)
    else:
        message = f"{dice.choice(('held', 'plain'))}-{len(accepted)}"
        accepted.append(message)
        paths = ("/0",) if dice.random() < 0.8 else ("/0", "/1")
        world.log.append(Record(tuple((path, message) for path in paths)))


def _work(world: World, dice: random.Random, sleeping: list[Batch]) -> None:
    batch = world.begin(dice.randint(1, 4)) if dice.random() < 0.8 else None
    if batch is None:
        return
    fate = dice.random()
    if fate < 0.4:
        world.finish(batch)
    elif fate < 0.6:  # SIGKILL between the commits, or in the middle of the second one
        world.finish(batch, crash_after_write=True)
    elif fate < 0.8:
        sleeping.append(batch)  # SIGSTOP; the other worker takes the partition over
        world.generation += 1
    if sleeping and dice.random() < 0.3:
        world.finish(sleeping.pop(0))  # SIGCONT


def _drain(world: World) -> None:
    while (batch := world.begin(3)) is not None:
        world.finish(batch)
