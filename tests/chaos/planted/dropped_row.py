"""The relay deletes an outbox row now and then whose event it has not published."""

from __future__ import annotations

from typing import Any

from services.relay import app
from shared.domain.topics import Topic
from tests.chaos.planted.start import start

_EVERY = 9


def plant() -> None:
    """Every ninth change of a status is not among the publications."""
    plan_batch = app.plan_batch
    seen = [0]

    def kept(topic: Topic) -> bool:
        seen[0] += topic is Topic.CONNECTOR_STATUS_CHANGED
        return topic is not Topic.CONNECTOR_STATUS_CHANGED or seen[0] % _EVERY != 0

    def forgetful(*arguments: Any) -> Any:
        publications, aside = plan_batch(*arguments)
        return [one for one in publications if kept(one.topic)], aside

    app.plan_batch = forgetful


if __name__ == "__main__":
    start("relay", plant)
