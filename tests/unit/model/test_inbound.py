"""The whole inbound path in a model: holds, redelivery, receipts and the conversation queue under crashes at every step.

`--model-runs N` makes it a long run. A seed that fails is repeated by `run(seed)`; each history is short.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from services.router import gate as gating
from services.router.facts import Candidate, Facts, owner_of
from services.router.lines import Lines
from shared.domain.enums import HoldReason, ItemOutcome
from shared.domain.holding import HeldRow, Waiting
from shared.domain.snapshots import AccountSnapshot
from tests.unit.model import inbound_tables, inbound_world
from tests.unit.model.inbound_history import run
from tests.unit.model.inbound_oracle import faults
from tests.unit.model.inbound_world import Rules

ENOUGH = 1_500  # histories within which each sabotage must show
Patch = Callable[[pytest.MonkeyPatch], None]
Fold = gating._Fold


@pytest.mark.req(64, 67)
def test_no_history_breaks_a_promise(model_runs: int) -> None:
    broken = {seed: found for seed in range(model_runs) if (found := faults(run(seed)))}
    assert broken == {}


def test_a_history_is_repeatable() -> None:
    assert run(7).world.seen == run(7).world.seen


def test_histories_reach_what_they_are_for() -> None:
    """Else the model proves nothing: each reason to wait, each ending, answers and stalled parts do occur."""
    reasons: set[HoldReason] = set()
    endings: set[ItemOutcome] = set()
    decisions: set[str] = set()
    for seed in range(150):
        history = run(seed)
        reasons |= {stored.row.reason for stored in history.world.tables.held.values()}
        for seen in history.world.seen:
            event = seen.publish.event
            decisions |= {event.decision.reason} if hasattr(event, "decision") else set()
            endings |= {line.outcome for line in event.counts} if hasattr(event, "counts") else set()
    assert endings == set(ItemOutcome) - {ItemOutcome.IGNORED}
    assert reasons >= {HoldReason.INTAKE, HoldReason.QUEUED, HoldReason.TARGET_UNKNOWN, HoldReason.PAUSED}
    assert decisions >= {"account_default", "flow_configured", "flow_routed", "intake_deadline", "route_paused", "flow_unusable"}


# --- what the tests break on purpose


def _nothing(patch: pytest.MonkeyPatch) -> None:
    """The pure functions stay as they are; a rule of the world is off."""


def _method(owner: type, name: str) -> Callable[[Callable[..., object]], Patch]:
    """Put a function in the place of a method; it gets the original as its first argument."""

    def made(function: Callable[..., object]) -> Patch:
        original = getattr(owner, name)

        def apply(patch: pytest.MonkeyPatch) -> None:
            patch.setattr(owner, name, lambda self, *given, **named: function(original, self, *given, **named))

        return apply

    return made


@_method(Fold, "_copy")
def _second_copies_count(original, self, candidate: Candidate, row: HeldRow | None) -> None:
    if (row is None or not row.unfinished) and candidate.claim_key is not None:
        self._facts.owners[candidate.claim_key] = owner_of(self._epoch, candidate)
        self._consider(candidate, None)
    else:
        original(self, candidate, row)


@_method(Fold, "_obey")
def _replays_decide_anew(original, self, candidate: Candidate, row: HeldRow) -> None:
    if row.unfinished or not self._mine(candidate):
        original(self, candidate, row)
    else:
        self._consider(candidate, None)


@_method(Fold, "_obey")
def _replays_do_not_ask_again(original, self, candidate: Candidate, row: HeldRow) -> None:
    original(self, candidate, row)
    candidate.asks = None


@_method(Lines, "_behind")
def _whoever_waits_blocks(original, self, standing, candidate: Candidate, row: HeldRow | None) -> bool:
    if row is not None:
        return any(other.id != row.id for other in standing)
    return bool(original(self, standing, candidate, row))


@_method(Lines, "conversation_blocked")
def _conversations_do_not_queue(original, self, conversation: str, candidate: Candidate, row: HeldRow | None) -> bool:
    return False


@_method(Lines, "target_blocked")
def _targets_do_not_queue(original, self, line: tuple[str, str], candidate: Candidate, row: HeldRow | None) -> bool:
    return False


@_method(Lines, "message_waits")
def _edits_overtake_their_message(original, self, conversation: str, message_id: str) -> bool:
    return False


@_method(Fold, "_queued")
def _edits_keep_their_old_place(original, self, candidate: Candidate, row: HeldRow | None, *, at_the_back: bool) -> Waiting:
    return replace(original(self, candidate, row, at_the_back=at_the_back), at_the_back=False)


@_method(Fold, "_answered")
def _the_deadline_decides(original, self, candidate: Candidate, row: HeldRow, account: AccountSnapshot) -> None:
    original(self, candidate, replace(row, decision={}), account)


@_method(Fold, "_answered")
def _orphans_forget_it(original, self, candidate: Candidate, row: HeldRow, account: AccountSnapshot) -> None:
    original(self, candidate, row, account)
    candidate.orphan_reason = None


@_method(Fold, "_misses_target")
def _nobody_waits_for_a_target(original, self, candidate: Candidate) -> bool:
    return False


def _claims_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(inbound_tables, "taken_from", lambda opened: None)


def _holds_are_booked_again(patch: pytest.MonkeyPatch) -> None:
    """As if the copy of a held item were an item of its own."""
    original = inbound_world.audit

    def without_rows(candidates, *given):
        return original([replace(one, row=None) for one in candidates], *given)

    patch.setattr(inbound_world, "audit", without_rows)


def _second_copies_are_booked(patch: pytest.MonkeyPatch) -> None:
    original = inbound_world.audit
    patch.setattr(inbound_world, "audit", lambda all_, *given: original([replace(one, unbooked=False) for one in all_], *given))


def _receipts_forget_their_past(patch: pytest.MonkeyPatch) -> None:
    original = inbound_tables.Tables.record_receipts

    def only_mine(self, mine, facts: Facts) -> None:
        original(self, mine, facts)
        facts.receipts = {key: rows[-1:] for key, rows in facts.receipts.items()}

    patch.setattr(inbound_tables.Tables, "record_receipts", only_mine)


def _wanting(**changes: object) -> Patch:
    """The router sees fewer rows than the gate needs."""

    def apply(patch: pytest.MonkeyPatch) -> None:
        original = inbound_tables.wanted_rows
        patch.setattr(inbound_tables, "wanted_rows", lambda *given: replace(original(*given), **changes))  # type: ignore[arg-type]

    return apply


def _one_row_of_a_line(patch: pytest.MonkeyPatch) -> None:
    original = inbound_tables.wanted_rows

    def fewer(*given):
        wanted = original(*given)
        lines = {name: dict.fromkeys(getattr(wanted, name), 1) for name in ("conversations", "targets")}
        return replace(wanted, **lines)

    patch.setattr(inbound_tables, "wanted_rows", fewer)


SABOTAGE: dict[str, tuple[Rules, Patch]] = {
    "a second copy is an item": (Rules(), _second_copies_count),
    "rows stay where they were first": (Rules(position_moves=False), _nothing),
    "replays decide anew": (Rules(), _replays_decide_anew),
    "replays do not ask again": (Rules(), _replays_do_not_ask_again),
    "whoever waits blocks, before or behind": (Rules(), _whoever_waits_blocks),
    "conversations do not queue": (Rules(), _conversations_do_not_queue),
    "what is about one message does not queue": (Rules(), _targets_do_not_queue),
    "an edit overtakes its message": (Rules(), _edits_overtake_their_message),
    "an edit keeps its old place": (Rules(), _edits_keep_their_old_place),
    "nobody waits for a target": (Rules(), _nobody_waits_for_a_target),
    "orphans forget why": (Rules(), _orphans_forget_it),
    "the deadline decides although the flow answered": (Rules(), _the_deadline_decides),
    "an answer counts when the copy is on its way": (Rules(answers_only_waiting=False), _nothing),
    "claims are not taken over": (Rules(), _claims_stay),
    "copy and original in one batch": (Rules(cuts_before_copies=False), _nothing),
    "receipts are written before the gate": (Rules(receipts_after_gate=False), _nothing),
    "receipts forget their past": (Rules(), _receipts_forget_their_past),
    "holds are booked again": (Rules(), _holds_are_booked_again),
    "second copies are booked": (Rules(), _second_copies_are_booked),
    "of a line one row is seen": (Rules(), _one_row_of_a_line),
    "nobody looks for a message that waits itself": (Rules(), _wanting(messages=())),
    "nobody looks for older edits": (Rules(), _wanting(edits=())),
    "nobody wakes the next, nobody sweeps": (Rules(wakes=False, sweeps=False), _nothing),
    "lost copies are not sent again": (Rules(sends_again=False), _nothing),
    "a frozen router may commit": (Rules(workers_are_fenced=False), _nothing),
    "a frozen router may write to PostgreSQL": (Rules(partition_has_holder=False, progress_is_asserted=False), _nothing),
    "nobody says that a partition went elsewhere": (Rules(partition_has_holder=False), _nothing),
}

# Seldom seen: where to begin. The router has no holder yet (only `first_offset`): the model is ahead of it here.
FIRST = {"nobody says that a partition went elsewhere": 1_100}


@pytest.mark.parametrize("name", SABOTAGE)
def test_each_sabotage_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rules, patch = SABOTAGE[name]
    patch(monkeypatch)
    first = FIRST.get(name, 0)
    for seed in range(first, first + ENOUGH):
        try:
            if faults(run(seed, rules)):
                return
        except (AssertionError, KeyError):  # the database would have refused it, or the router would have died of it
            return
    pytest.fail(f"nothing seen in {ENOUGH} histories")
