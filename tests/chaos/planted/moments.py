"""Lets a process stop or kill itself at the worst moment, for tests: CHAOS_MOMENT=<moments>:<kill|stop>:<nth>:<times>.

`moments`: names joined by commas, taken in turn from one time to the next. `nth`: at the how-manieth passing of the
moment in one life of the process. `times`: in how many lives of all processes together (counted in a file of the home).
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

from services.relay.raw_copies import RawCopies
from services.router import app as router_app
from shared.adapters import transactional_producer
from shared.adapters.kafka_transactions import TransactionalWorker
from shared.adapters.numbered_publisher import NumberedPublisher

MOMENT = "CHAOS_MOMENT"
ROUTER = ("sorted", "claimed", "produced", "offsets_sent", "committed")
RELAY = ("stamped", "published")
REDELIVERY = ("marked", "copied")
_OVER = "moments-are-over"
_passed: Counter[str] = Counter()


def reach(moment: str) -> None:
    """This is the moment called so; what the environment asks for happens here."""
    order = os.environ.get(MOMENT)
    if not order:
        return
    names, action, nth, times = order.split(":")
    _passed[moment] += 1
    if _passed[moment] < int(nth):
        return
    wanted = names.split(",")
    if _take_turn(moment, wanted, int(times)):
        os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)


def _take_turn(moment: str, wanted: list[str], times: int) -> bool:
    """True if it is this moment's turn and there are turns left; it is then taken."""
    home = Path(os.environ["CHANNELS_HOME"])
    with (home / "moments").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if (home / _OVER).exists():
            return False
        file.seek(0)
        taken = file.read().split()
        if len(taken) >= times or wanted[len(taken) % len(wanted)] != moment:
            return False
        file.write(f"{moment}\n")
        return True


def end_moments(home: Path) -> None:
    """From now on nothing happens at any moment: nobody is there any more to start what has killed itself."""
    with (home / "moments").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (home / _OVER).touch()


def taken(home: Path) -> list[str]:
    """The moments at which something happened, in order."""
    path = home / "moments"
    return path.read_text().split() if path.exists() else []


class _Producer(transactional_producer.Producer):
    """The transactional producer, with moments before and after the offsets."""

    has_moments = True

    def send_offsets_to_transaction(self, *arguments: Any) -> Any:
        reach("produced")
        result = super().send_offsets_to_transaction(*arguments)
        reach("offsets_sent")
        return result


def install_router() -> None:
    """Moments of a batch in a router: before the database, before Kafka, within the transaction, after it."""
    collapse, commit = router_app.collapse, TransactionalWorker.commit

    def collapse_after(candidates: Any) -> Any:
        reach("sorted")
        return collapse(candidates)

    def commit_between(self: TransactionalWorker, *arguments: Any) -> None:
        reach("claimed")
        commit(self, *arguments)
        reach("committed")

    router_app.collapse = collapse_after
    TransactionalWorker.commit = commit_between  # type: ignore[method-assign]
    if not hasattr(transactional_producer.Producer, "has_moments"):
        transactional_producer.Producer = _Producer  # type: ignore[misc]


def install_relay() -> None:
    """Moments of a batch in the relay: its rows are stamped; it is published but its rows are not deleted.

    And of held records: they are marked sent; their copies are written but not noted.
    """
    publish, copy = NumberedPublisher.publish, RawCopies.copy

    def publish_between(self: NumberedPublisher, *arguments: Any) -> None:
        reach("stamped")
        publish(self, *arguments)
        reach("published")

    def copy_between(self: RawCopies, *arguments: Any) -> Any:
        reach("marked")
        copied = copy(self, *arguments)
        reach("copied")
        return copied

    NumberedPublisher.publish = publish_between  # type: ignore[method-assign]
    RawCopies.copy = copy_between  # type: ignore[method-assign]
