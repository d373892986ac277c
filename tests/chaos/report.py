"""What a campaign is to do, and what it tells afterwards."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field

from tests.chaos.provider import Load, Route
from tests.chaos.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much load, and how often each fault. The faults of a kind come in a seeded order; kinds go on side by side."""

    seed: int = 1
    peers: int = 18  # that write to a unit
    webhooks: int = 10  # of each of these, at least: they write for as long as the faults go on
    per_second: float = 150.0  # of these together
    patient: int = 0  # hands of four peers each that write to a flow with much time
    hasty: int = 0  # hands of twenty peers each that write to a flow with little time
    routers: int = 2
    target_wait_seconds: int = 15  # how long what is about another message waits for it
    ingest_kills: int = 0
    ingest_drains: int = 0  # SIGTERM and a new start
    router_kills: int = 0
    router_stops: int = 0  # SIGSTOP for longer than the session, then SIGCONT
    router_leaves: int = 0  # SIGTERM, and back after its session has ended: two rebalances
    relay_kills: int = 0
    relay_stops: int = 0  # SIGSTOP for a while, then SIGCONT
    automation_kills: int = 0
    broker_kills: int = 0
    postgres_kills: int = 0
    kafka_cuts: int = 0
    kafka_delays: int = 0
    kafka_freezes: int = 0
    postgres_cuts: int = 0
    postgres_delays: int = 0
    postgres_freezes: int = 0
    status_changes_per_second: float = 0.0
    pause_seconds: float = 0.0  # so long two accounts are paused, from before the first message
    load_seconds: float = 0.0  # at least so long, whatever the faults take
    join_seconds: float = 300.0  # so long the peers may go on after the faults, until they have written what they must
    settle_seconds: float = 90.0  # so long nothing may move before the verdict

    @property
    def loads(self) -> list[Load]:
        """Who writes where and how often. A flow answers within a second, or not for five; a conversation waits that long."""
        return [
            Load(Route.UNIT, self.peers, 1, self.per_second / self.peers),
            Load(Route.PATIENT, self.patient, 4, 0.35),
            Load(Route.HASTY, self.hasty, 20, 0.07),
        ]

    @property
    def environment(self) -> dict[str, str]:
        """What the services are told of it."""
        return {"CHANNELS_ROUTER_TARGET_WAIT_SECONDS": str(self.target_wait_seconds)}

    @property
    def needs_ground(self) -> bool:
        """True if something is done to the stack itself, or between it and the services."""
        return bool(self.broker_kills + self.postgres_kills + self.network_faults)

    @property
    def network_faults(self) -> int:
        """Cuts, delays and freezes."""
        kafka = self.kafka_cuts + self.kafka_delays + self.kafka_freezes
        return kafka + self.postgres_cuts + self.postgres_delays + self.postgres_freezes

    @property
    def answers_all(self) -> bool:
        """True if nothing is done that may leave a post without its 200."""
        return not (self.ingest_kills or self.needs_ground)


@dataclass
class Report:
    """What happened: counts, recovery times in seconds by kind of fault, and the verdict."""

    plan: Plan
    webhooks: int = 0
    posted: int = 0
    acknowledged: int = 0
    attempts: dict[str, int] = field(default_factory=dict)
    slowest_post_seconds: float = 0.0
    load_seconds: float = 0.0
    settle_seconds: float = 0.0
    recovery_seconds: dict[str, list[float]] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    ended_by_themselves: list[str] = field(default_factory=list)
    books: dict[str, int] = field(default_factory=dict)
    raw_items: int = 0
    thrown: dict[str, int] = field(default_factory=dict)  # elements by kind, and early, ghosts
    flows: dict[str, int] = field(default_factory=dict)  # requests, answers by outcome, what came of the messages
    status_changes: dict[str, int] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=Verdict)

    def as_json(self) -> str:
        """Everything, for programs."""
        return json.dumps(asdict(self), indent=1)

    def as_text(self) -> str:
        """The same for people."""
        rate = self.webhooks / self.load_seconds if self.load_seconds else 0
        lines = [
            f"seed {self.plan.seed}: {self.webhooks} webhooks with {self.posted} elements posted in {self.load_seconds:.1f} s"
            f" ({rate:.0f}/s; +{self.settle_seconds:.1f} s to settle), {self.acknowledged} elements answered 200",
            f"elements: {self.thrown}",
            f"flows: {self.flows}",
            f"answers: {self.attempts}; slowest post {self.slowest_post_seconds:.2f} s",
            f"books: {self.books} for {self.raw_items} items in the raw topic",
        ]
        if self.status_changes:
            lines.append(f"status changes: {self.status_changes}")
        for kind, count in sorted(self.faults.items()):
            times = sorted(self.recovery_seconds.get(kind, []))
            again = f"  ready again after median {times[len(times) // 2]:.2f} s, worst {times[-1]:.2f} s" if times else ""
            lines.append(f"  {kind:<16} x{count:<3}{again}")
        lines += [f"ended by itself: {words}" for words in self.ended_by_themselves]
        wrong = Counter(self.verdict.counts)
        unbalanced = sum(count for kind, count in wrong.items() if kind.startswith("books_"))
        lines.append(
            f"lost {wrong['lost'] + wrong['state_lost']}, doubled {wrong['doubled'] + wrong['state_doubled']},"
            f" out of order {wrong['out_of_order'] + wrong['before_target'] + wrong['state_out_of_order']},"
            f" books {'DO NOT BALANCE' if unbalanced else 'balance'}: {self.verdict}"
        )
        return "\n".join(lines)
