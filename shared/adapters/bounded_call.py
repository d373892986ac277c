"""Gives calls into a client library a limit that holds, also where the library's own does not.

librdkafka's `send_offsets_to_transaction` can wait for ever for a group coordinator that went away while it was asked; its
timeout is never looked at (https://github.com/confluentinc/librdkafka/issues/5456, 5511).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from shared.domain.errors import ChannelsError


class Overdue(ChannelsError):
    """Raised when a call has not come back in time. It still goes on: what it works on must not be used again."""

    code = "call_overdue"
    retryable = True


def call_bounded(call: Callable[[], object], seconds: float) -> None:
    """Run `call` in a thread of its own and wait for it; raises what it raises, or Overdue after `seconds`.

    The thread of an overdue call is left behind, with everything that the call refers to; it does not hold up the
    process's end.
    """
    failures: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:  # handed to the caller
            failures.append(error)

    thread = threading.Thread(target=run, name="bounded-call", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise Overdue(f"no answer within {seconds:.0f} s")
    if failures:
        raise failures[0]
