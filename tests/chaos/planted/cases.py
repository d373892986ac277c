"""The planted faults: what each is, what is done to the fleet meanwhile, and by which check the oracle must catch it.

A case without checks is a control: the sound service under the same torment, which must come out clean.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from shared.adapters.group_offsets import commit_offsets
from shared.adapters.kafka import full_name
from shared.domain.topics import Topic
from tests.chaos.planted.moments import REDELIVERY, RELAY, ROUTER

if TYPE_CHECKING:
    from tests.chaos.planted.stage import Stage

_PARTITIONS = 6


def keep_alive(stage: Stage) -> None:
    """Only what the processes do to themselves; they are started and continued again."""
    stage.live(stage.case.seconds)


def kill_edges_while_kafka_is_slow(stage: Stage) -> None:
    """Every piece of data takes a while, so that a kill always finds requests under way."""
    with ExitStack() as slow:
        if stage.ground is not None:
            slow.enter_context(stage.ground.kafka_proxy.delayed(0.1))
        for number in range(4):
            stage.live(1.0)
            stage.fleet.kill(f"ingest-{number % 2}")
    stage.live(1.0)


def freeze_kafka(stage: Stage) -> None:
    """For longer than a record may wait for its delivery."""
    stage.live(1.0)
    if stage.ground is not None:
        with stage.ground.kafka_proxy.frozen():
            stage.live(7.0)
    stage.live(2.0)


def cut_database(stage: Stage) -> None:
    """Reset the connections to PostgreSQL again and again."""
    for _ in range(6):
        stage.live(1.0)
        if stage.ground is not None:
            stage.ground.postgres_proxy.cut()
    stage.live(1.0)


def drain_edges(stage: Stage) -> None:
    """SIGTERM and a new start, in turn; the neighbour is always there."""
    for number in range(2):
        name = f"ingest-{number % 2}"
        stage.live(0.5)
        stage.fleet.stop(name)
        stage.live(0.1)
        stage.fleet.wait_ready(name, 20)


def set_offsets_back(stage: Stage) -> None:
    """Kafka has lost the group's offsets: they are those of yesterday."""
    stage.live(2.0)
    bootstrap, prefix = stage.site.setting("kafka_bootstrap"), stage.site.setting("topic_prefix")
    for number in range(2):
        stage.fleet.stop(f"router-{number}")
    group, topic = f"{prefix}channels-router", full_name(prefix, Topic.WEBHOOK_RECEIVED)

    def set_back() -> bool:
        try:
            commit_offsets(bootstrap, group, topic, dict.fromkeys(range(_PARTITIONS), 0), 5)
        except KafkaException:  # the group still has its static members, until their sessions end
            return False
        return True

    stage.wait(set_back, 15)
    stage.live(4.0)


def kill_automation(stage: Stage) -> None:
    """The flows fall silent, and begin again."""
    for _ in range(4):
        stage.live(2.0)
        stage.fleet.kill("automation")
    stage.live(2.0)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One planted fault, or one control."""

    module: str  # under tests/chaos/planted, or of the product for a control without moments
    service: str
    wrong: str
    caught_by: frozenset[str] = field(default_factory=frozenset)  # any one of these; none: must be clean
    may: frozenset[str] = field(default_factory=frozenset)  # of a control: what these say is no fault of it
    torment: Callable[[Stage], None] = keep_alive
    moment: str = ""
    seconds: float = 6.0  # of `keep_alive`
    frozen_seconds: float = 14.0  # how long a process that has stopped itself stays so
    status_changes_per_second: float = 0.0
    relays: int = 1
    routers: int = 2
    per_second: float = 150.0
    patient: int = 0  # hands that write to flows, as in the plan
    hasty: int = 0
    pause_seconds: float = 0.0
    target_wait_seconds: int = 4
    settle_seconds: float = 8.0
    beside: Mapping[str, str] = field(default_factory=dict)  # other services -> their planted modules
    answers_all: bool = False  # nothing is killed: each post must be answered 200
    needs_ground: bool = False
    note: str = ""

    @property
    def is_control(self) -> bool:
        """True if it must come out clean."""
        return not self.caught_by


def _kill(moments: str, times: int = 2, nth: int = 6) -> str:
    return f"{moments}:{signal.SIGKILL.name[3:].lower()}:{nth}:{times}"


def _stop(moments: str, nth: int = 12) -> str:
    return f"{moments}:stop:{nth}:1"


_ROUTER, _RELAY, _REDELIVERY = ",".join(ROUTER), ",".join(RELAY), ",".join(REDELIVERY)
_LOST, _DOUBLED = frozenset({"lost"}), frozenset({"doubled"})
_STATUS_LOST, _STATUS_DOUBLED = frozenset({"status_lost"}), frozenset({"status_doubled"})


def _case(service: str, module: str, wrong: str, *caught_by: str, **rest: object) -> Case:
    return Case(module=module, service=service, wrong=wrong, caught_by=frozenset(caught_by), **rest)  # type: ignore[arg-type]


def _flow(service: str, module: str, wrong: str, *caught_by: str, **rest: object) -> Case:
    """One with messages to flows."""
    return _case(service, module, wrong, *caught_by, **{"per_second": 50.0, "patient": 6, "hasty": 2, "seconds": 9.0, **rest})


CASES = (
    _case("ingest", "early_answer", "answers before the delivery report", "lost",
          torment=kill_edges_while_kafka_is_slow, needs_ground=True),
    _case("ingest", "swallowed_error", "takes a failed delivery for a success", "lost", torment=freeze_kafka, needs_ground=True),
    _case("ingest", "forgetful_drain", "SIGTERM forgets requests under way", "unanswered", torment=drain_edges, answers_all=True),
    _case("router", "offsets_first", "commits offsets before it produces", "lost", moment=_kill("between")),
    _case("router", "at_least_once", "produces without a transaction", "doubled", moment=_kill("between")),
    _case("router", "claim_without_owner", "a claim without owner", "lost", moment=_kill("claimed")),
    _case("router", "claim_without_item", "a claim's owner without item (and no collapse)", "doubled"),
    _case("router", "no_claims", "no claims at all", "doubled"),
    _case("router", "claims_after_events", "claims commit after the events (its own progress check stops it)", "books_items",
          moment=_kill("between")),
    _case("router", "claims_after_events_no_progress", "claims commit after the events, no progress", "doubled",
          "conversation_split", moment=_kill("between", times=6, nth=1), seconds=10.0),
    _case("router", "no_fencing", "transactions are not fenced", "doubled",
          moment=_stop("claimed"), seconds=14.0),
    _case("router", "no_fencing_no_progress", "neither fencing nor progress; zombie before the database", "doubled",
          moment=_stop("sorted"), seconds=14.0),
    _case("router", "no_progress", "progress is not asserted; offsets are set back", "doubled", torment=set_offsets_back),
    _case("router", "no_rewind", "goes on after a failed batch", "lost", torment=cut_database, needs_ground=True),
    _case("router", "fresh_ids", "ids are not looked up", "conversation_split", "contact_split"),
    _case("router", "reversed_events", "events of a batch in reverse", "out_of_order"),
    _case("router", "uncounted_repeats", "repeats are missing in the books", "books_items"),
    _case("relay", "dropped_row", "an outbox row is dropped", "status_lost", status_changes_per_second=4.0),
    _case("relay", "relay_deletes_first", "deletes rows before it publishes", "status_lost",
          moment=_kill("between"), status_changes_per_second=4.0),
    _case("relay", "relay_without_number", "does not compare numbers at its start", "status_doubled",
          moment=_kill("published", 6, 5), seconds=12.0, status_changes_per_second=4.0),  # checks of health are published, too
    _case("relay", "relay_no_fencing", "a standby fences nobody", "status_doubled",
          moment=_stop("stamped"), relays=2, seconds=19.0, frozen_seconds=14.0, status_changes_per_second=4.0),
    _flow("router", "hold_not_written", "what waits is not written down", "lost"),
    _flow("router", "hold_after_events", "what waits is written down after the events", "lost", moment=_kill("between", nth=3)),
    _flow("router", "second_copy_passes", "a second copy is taken for the first one", "doubled", "request_doubled",
          beside={"relay": "relay_copies_twice"}),
    _flow("router", "position_not_moved", "a settled row goes on naming the record before its copy", "breach"),
    _flow("router", "replay_ignores_row", "a replay does not look for its own rows", "lost", moment=_kill("claimed", 4, 3)),
    _flow("router", "queue_ignored", "later messages do not wait behind one that waits", "out_of_order"),
    _flow("router", "copies_pass_the_queue", "neither router nor relay keep copies in line", "out_of_order",
          beside={"relay": "relay_out_of_line"}),
    _flow("router", "nobody_wakes", "the next in line is not woken, and nobody sweeps", "stuck_rows",
          beside={"relay": "relay_never_sweeps"}),
    _flow("router", "last_answer_wins", "a second answer takes the place of the first", "misrouted", "lost", "books_settled"),
    _flow("router", "answers_offsets_first", "answers are acknowledged before they are noted", "stuck_rows",
          moment=_kill("between", 4, 4)),
    _flow("router", "pause_ignored", "a pause is ignored", "pause_ignored", pause_seconds=8.0),
    _flow("router", "deadline_ignored", "the deadline of a flow is ignored", "stuck_rows", settle_seconds=14.0),
    _flow("router", "asks_again", "an answered message asks its flow again", "request_doubled"),
    _flow("router", "settled_comes_out", "what a flow has settled comes out", "settled_came_out"),
    _flow("router", "orphan_at_once", "what comes before its message is an orphan at once", "orphan_in_vain"),
    _flow("router", "edits_do_not_wait", "edits do not wait for their message", "before_target"),
    _flow("router", "states_written_early", "a state that waits is written down at once", "state_lost"),
    _flow("router", "holds_booked_again", "what is held again is booked again", "books_held"),
    _flow("relay", "relay_marks_afterwards", "rows are marked sent after their copies are written", "answer_ignored",
          "settled_came_out", settle_seconds=45.0),
    _flow("relay", "relay_never_resends", "nothing is ever sent again", "stuck_rows", moment=_kill("marked", 3, 4),
          settle_seconds=45.0),
)  # fmt: skip

CONTROLS = (
    _case("ingest", "services.ingest", "control: killed while Kafka is slow", torment=kill_edges_while_kafka_is_slow,
          needs_ground=True),
    _case("ingest", "services.ingest", "control: Kafka frozen", torment=freeze_kafka, needs_ground=True),
    _case("ingest", "services.ingest", "control: drained by SIGTERM", torment=drain_edges, answers_all=True),
    _case("router", "sound_router", "control: killed at each moment in turn", moment=_kill(_ROUTER, 10), seconds=18.0),
    _case("router", "sound_router", "control: a zombie that held claims", moment=_stop("claimed"), seconds=14.0),
    _case("router", "sound_router", "control: a zombie before the database", moment=_stop("sorted"), seconds=14.0),
    _case("router", "sound_router", "control: a zombie within the transaction", moment=_stop("produced"), seconds=14.0),
    _case("router", "no_fencing", "without fencing, a zombie before the database: progress stops it",
          moment=_stop("sorted"), seconds=14.0),
    _case("router", "no_progress", "without progress, a zombie before the database: fencing keeps messages single",
          moment=_stop("sorted"), seconds=14.0, may=frozenset({"books_emitted", "books_held"})),
    _case("router", "services.router", "control: connections to PostgreSQL are cut", torment=cut_database, needs_ground=True),
    _case("relay", "sound_relay", "control: killed at each moment in turn", moment=_kill(_RELAY, 6), seconds=12.0,
          status_changes_per_second=4.0),
    _case("relay", "sound_relay", "control: a zombie with a stamped batch", moment=_stop("stamped"), relays=2,
          seconds=19.0, frozen_seconds=14.0, status_changes_per_second=4.0),
    _flow("router", "sound_router", "control: flows, killed at each moment in turn", moment=_kill(_ROUTER, 10), seconds=18.0),
    _flow("router", "sound_router", "control: three of them and flows, one a zombie that held claims", routers=3,
          moment=_stop("claimed"), seconds=14.0),
    _flow("relay", "sound_relay", "control: flows, killed at each moment of redelivery", moment=_kill(_REDELIVERY, 4),
          seconds=12.0),
    _flow("relay", "sound_relay", "control: flows, a zombie with rows that it has marked", moment=_stop("marked"), relays=2,
          seconds=19.0, frozen_seconds=14.0),
    _flow("relay", "relay_copies_twice", "control: every copy comes twice: the row and the claim stop the second"),
    _flow("router", "blind_take_over", "control: copies take claims blindly, and come twice: the row stops the second",
          beside={"relay": "relay_copies_twice"}),
    _flow("relay", "relay_out_of_line", "control: rows are sent out of line: the router keeps them in it"),
    _flow("router", "copies_pass_the_queue", "control: the router lets copies pass: the relay keeps them in line"),
    _flow("relay", "relay_never_sweeps", "control: nobody sweeps: who leaves a line wakes the next"),
    _flow("router", "sound_router", "control: paused accounts, killed at each moment in turn", pause_seconds=8.0,
          moment=_kill(_ROUTER, 5), seconds=12.0),
    _flow("automation", "tests.chaos.automation", "control: the automation module is killed", torment=kill_automation),
)  # fmt: skip
