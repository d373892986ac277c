"""What is wrong with a history: judged by what arrived, what the flow answered and what readers see, not by the code."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cached_property

from shared.domain.delivery import rank
from shared.domain.enums import AccountStatus, Direction, IntakeOutcome, ItemOutcome
from shared.domain.items import MessageItem, PoisonItem, ReceiptItem, SendResultItem
from shared.domain.records import AuditRecorded, DeadLetter, DeliveryUpdated, MessageReceived
from tests.unit.model.inbound_history import FLOW_UNIT, History, Posted
from tests.unit.model.inbound_world import EXPIRY_MS, INTAKE_MS, TARGET_MS, requests
from tests.unit.services.router.builders import UNIT


def faults(history: History) -> list[str]:
    """Each broken promise in one line; empty is good."""
    oracle = _Oracle(history)
    return [
        *oracle.left_over(),
        *oracle.doubled(),
        *oracle.books(),
        *oracle.messages(),
        *oracle.reasons(),
        *oracle.order(),
        *oracle.edits(),
        *oracle.siblings(),
        *oracle.receipts(),
    ]


class _Oracle:
    def __init__(self, history: History) -> None:
        self._history = history
        self._seen = history.world.seen
        self._rejects = any(one.status is AccountStatus.INACTIVE for one in history.accounts)
        self._configured = len(history.accounts) > 2
        self._first: dict[str, Posted] = {}
        self._times = Counter(one.name for one in history.posted if not isinstance(one.item, PoisonItem))
        for one in history.posted:
            self._first.setdefault(one.name, one)
        self._received: dict[str, tuple[int, int, MessageReceived]] = {}
        for place, seen in enumerate(self._seen):
            if isinstance(seen.publish.event, MessageReceived):
                self._received[seen.publish.event.message.provider_message_id] = (place, seen.at_ms, seen.publish.event)
        self._ids = {one.message.provider_message_id: one.request_id for one in requests(self._seen)}

    def left_over(self) -> Iterator[str]:
        if self._history.stuck:
            yield f"{self._history.stuck} items or rows are stuck"
        if self._history.world.breaches:
            yield f"{self._history.world.breaches} breaches"

    def doubled(self) -> Iterator[str]:
        came = [type(one.publish.event).__name__ + ":" + one.publish.event_id for one in self._seen]
        yield from (f"{name} came {count} times" for name, count in Counter(came).items() if count > 1)
        names = Counter(
            one.publish.event.message.provider_message_id for one in self._seen if isinstance(one.publish.event, MessageReceived)
        )
        yield from (f"{name} was received {count} times" for name, count in names.items() if count > 1)
        asked = Counter(one.message.provider_message_id for one in requests(self._seen))
        yield from (f"{name} was asked about {count} times" for name, count in asked.items() if count > 1)

    def books(self) -> Iterator[str]:
        posted, events = self._history.posted, Counter(type(one.publish.event) for one in self._seen)
        held: Counter[tuple[str | None, int]] = Counter()
        for seen in self._seen:
            if isinstance(seen.publish.event, AuditRecorded):
                for line in seen.publish.event.counts:
                    if line.outcome is ItemOutcome.HELD:
                        held[line.account_id, line.hour_ms] += line.count
        yield from (f"books: {count} held left on {key}" for key, count in held.items() if count)
        totals = self._totals
        if sum(totals.values()) != len(posted):
            yield f"books: {sum(totals.values())} items booked of {len(posted)}: {dict(totals)}"
        emitted = totals[ItemOutcome.EMITTED] + totals[ItemOutcome.ORPHANED]
        if emitted != events[MessageReceived] + events[DeliveryUpdated]:
            yield f"books: {emitted} emitted, {events[MessageReceived] + events[DeliveryUpdated]} came"
        if totals[ItemOutcome.DEAD_LETTERED] != events[DeadLetter]:
            yield f"books: {totals[ItemOutcome.DEAD_LETTERED]} dead letters, {events[DeadLetter]} came"
        repeats = sum(self._times.values()) - len(self._times)
        if not self._rejects and totals[ItemOutcome.DUPLICATE] != repeats:
            yield f"books: {totals[ItemOutcome.DUPLICATE]} duplicates, {repeats} repeats arrived"
        poison = sum(isinstance(one.item, PoisonItem) for one in posted)
        if not poison <= events[DeadLetter] <= poison + self._history.lost:
            yield f"{events[DeadLetter]} dead letters of {poison} poison items and {self._history.lost} unreadable copies"

    def messages(self) -> Iterator[str]:
        """Each message comes out, or its flow settled it."""
        answered = {name: self._history.answered[one] for name, one in self._ids.items() if one in self._history.answered}
        settled = {name for name, said in answered.items() if said.outcome is not IntakeOutcome.ROUTE}
        if self._rejects or self._history.lost:
            return
        for name, posted in self._first.items():
            if isinstance(posted.item, MessageItem) and (name in self._received) is (name in settled):
                yield f"{name} was settled and came out" if name in settled else f"{name} is lost"
        if self._totals[ItemOutcome.SETTLED_BY_FLOW] != len(settled):
            yield f"books: {self._totals[ItemOutcome.SETTLED_BY_FLOW]} settled, the flow settled {len(settled)}"
        for name, said in answered.items():
            if said.outcome is IntakeOutcome.ROUTE and name in self._received:
                decision = self._received[name][2].decision
                if (decision.reason, decision.org_unit_id, decision.labels) != ("flow_routed", FLOW_UNIT, said.labels):
                    yield f"{name} was routed by its flow and came out as {decision.reason}"

    def reasons(self) -> Iterator[str]:
        for name, (place, at_ms, event) in self._received.items():
            posted, reason = self._first[name], event.decision.reason
            item = posted.item
            assert isinstance(item, MessageItem)
            request = self._ids.get(name)
            if reason == "intake_deadline":
                # an extension counts from the moment at which it is asked for, and may be shorter than what was left
                if at_ms < self._history.extended.get(request or "", posted.at_ms + INTAKE_MS):
                    yield f"{name} came out before its deadline"
                if request is None or self._place_of_request(name) > place:
                    yield f"{name} came out at the deadline of a flow that was not asked"
            elif reason == "flow_routed":
                if request not in self._history.answered:
                    yield f"{name} came out as if the flow had answered"
            elif reason == "expired":
                if at_ms < posted.at_ms + EXPIRY_MS:
                    yield f"{name} expired too early"
            elif item.direction is Direction.INBOUND and not self._configured and event.message.account_id.endswith("1"):
                yield f"{name} came out as {reason} past its flow"
            if (event.decision.rule == "org_unit") is not (event.decision.org_unit_id in (UNIT, FLOW_UNIT)):
                yield f"{name} has no unit"

    def order(self) -> Iterator[str]:
        """Of arrival, within a conversation; without what overtakes (expired) and what waits for its target."""
        if self._rejects or self._history.lost:
            return
        last: dict[str, tuple[tuple[int, int], str]] = {}
        for name, (_, _, event) in sorted(self._received.items(), key=lambda one: one[1][0]):
            if event.decision.reason == "expired" or not self._ordinary(name):
                continue
            arrived = (self._first[name].offset, self._first[name].index)
            before = last.get(event.message.conversation_id)
            if before is not None and before[0] > arrived:
                yield f"{name} came out after {before[1]}"
            last[event.message.conversation_id] = arrived, name

    def edits(self) -> Iterator[str]:
        if self._rejects or self._history.lost:
            return
        for name, (place, at_ms, event) in self._received.items():
            target, posted = self._target(name), self._first[name]
            if target is None:
                continue
            about, orphan = self._first.get(target), event.message.orphan_reason
            if orphan is not None:
                if at_ms < posted.at_ms + TARGET_MS and event.decision.reason != "expired":
                    yield f"{name} gave up its target too early"
                if about is not None and (about.offset, about.index) < (posted.offset, posted.index):
                    yield f"{name} came out as an orphan though its target had come"
            elif about is None:
                if event.decision.reason != "expired":
                    yield f"{name} came out without a word on its target, which never came"
            elif at_ms >= posted.at_ms + TARGET_MS:
                continue  # it need not wait any longer; where a batch was tried again, a later target may be known all the same
            elif target in self._received and self._received[target][0] > place and event.decision.reason != "expired":
                yield f"{name} came out before its target {target}"

    def siblings(self) -> Iterator[str]:
        """What is about one message comes out in order of arrival."""
        if self._rejects or self._history.lost:
            return
        last: dict[str, tuple[tuple[int, int], str]] = {}
        for name, (_, _, event) in sorted(self._received.items(), key=lambda one: one[1][0]):
            target, posted = self._target(name), self._first[name]
            if target is None or event.decision.reason == "expired":
                continue
            if target in last and last[target][0] > (posted.offset, posted.index):
                yield f"{name}, about {target}, came out after {last[target][1]}"
            last[target] = (posted.offset, posted.index), name

    def receipts(self) -> Iterator[str]:
        """They move forward, come once, and none is lost that was news."""
        states: dict[tuple[str, str], list[int]] = defaultdict(list)
        came: Counter[str] = Counter()
        for seen in self._seen:
            event = seen.publish.event
            if not isinstance(event, DeliveryUpdated) or event.provider_message_id is None:
                continue
            name = f"{event.provider_message_id}:{event.status.value}:{event.participant}"
            if event.status.value == "accepted":
                name = f"{event.provider_message_id}:result"
            came[name] += 1
            if event.message_id is not None:
                states[event.provider_message_id, event.participant].append(rank(event.status))
                continue
            result, posted = self._first.get(f"{event.provider_message_id}:result"), self._first[name]
            if seen.at_ms < posted.at_ms + TARGET_MS:
                yield f"{name} gave up its message too early"
            if result is not None and not self._rejects and (result.offset, result.index) < (posted.offset, posted.index):
                yield f"{name} came out as an orphan though its message had come"
        for (target, participant), ranks in states.items():
            if sorted(set(ranks)) != ranks:
                yield f"receipts of {target} for '{participant}' went {ranks}"
        yield from (f"{name} came {count} times" for name, count in came.items() if count > 1)
        yield from self._receipts_lost(states, came)

    def _receipts_lost(self, states: dict[tuple[str, str], list[int]], came: Counter[str]) -> Iterator[str]:
        if self._rejects or self._history.lost:
            return
        older = 0
        for name, posted in self._first.items():
            item = posted.item
            if not isinstance(item, ReceiptItem | SendResultItem) or came[name]:
                continue
            older += 1
            target = item.provider_message_id if isinstance(item, ReceiptItem) else item.provider_message_ids[0]
            if not any(one > rank(item.status) for one in states[target, getattr(item, "participant", "")]):
                yield f"{name} is lost"
        if older != self._totals[ItemOutcome.SUPERSEDED]:
            yield f"books: {self._totals[ItemOutcome.SUPERSEDED]} superseded, {older} did not come"

    @cached_property
    def _totals(self) -> Counter[ItemOutcome]:
        totals: Counter[ItemOutcome] = Counter()
        for seen in self._seen:
            if isinstance(seen.publish.event, AuditRecorded):
                for line in seen.publish.event.counts:
                    totals[line.outcome] += line.count
        return totals

    def _place_of_request(self, name: str) -> int:
        return next(
            (
                place
                for place, one in enumerate(self._seen)
                if one.publish.topic.value.endswith("intake.requested") and one.publish.event_id == self._ids[name]
            ),
            len(self._seen),
        )

    def _target(self, name: str) -> str | None:
        item = self._first[name].item
        if not isinstance(item, MessageItem):
            return None
        about = item.content.edit or item.content.reaction
        return None if about is None else about.target_provider_message_id

    def _ordinary(self, name: str) -> bool:
        """Whether it never waits for a target, nor behind others that do."""
        target = self._target(name)
        if target is None:
            return True
        about = self._first.get(target)
        if about is None:
            return False
        return all(
            (one.offset, one.index) > (about.offset, about.index)
            for other, one in self._first.items()
            if self._target(other) == target
        )
