"""A router process whose code fails on one text, as a bad release would: for tests of what then happens to the process."""

from __future__ import annotations

from typing import Any

from services.router.__main__ import main
from shared.adapters.avro import Codec
from shared.domain.records import MessageReceived
from shared.domain.topics import Topic
from shared.runtime.lifecycle import run


def plant() -> None:
    """Fail on every event that says `odd`."""
    encode = Codec.encode

    def odd(self: Codec, topic: Topic, value: Any) -> bytes:
        if isinstance(value, MessageReceived) and value.message.content.text == "odd":
            raise ZeroDivisionError
        return encode(self, topic, value)

    Codec.encode = odd  # type: ignore[method-assign]


if __name__ == "__main__":
    plant()
    run(main)
