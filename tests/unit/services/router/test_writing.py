from __future__ import annotations

from collections.abc import Iterator

from services.router.writing import AT_ONCE, written, written_as_decided
from shared.adapters.avro import Codec
from shared.domain.outcomes import Publish
from shared.domain.records import SyncRequired
from shared.domain.topics import Topic
from tests.unit.services.router.builders import ARRIVAL_MS, CONNECTOR, TENANT

PREFIX = "test."


def publish(number: int) -> Publish:
    event = SyncRequired(
        tenant_id=TENANT,
        connector_id=CONNECTOR,
        account_id=None,
        cause="unknown_account",
        detail=str(number),
        requested_at_ms=ARRIVAL_MS,
    )
    return Publish(
        topic=Topic.SYNC_REQUIRED,
        key=CONNECTOR,
        event_id=f"event-{number}",
        subject=f"subject-{number}",
        time_ms=ARRIVAL_MS,
        event=event,
        connector_id=CONNECTOR,
    )


def test_all_events_are_written_in_their_order_soon_after_they_were_decided() -> None:
    codec, events = Codec(), [publish(number) for number in range(2 * AT_ONCE + 1)]
    decided: list[int] = []

    def decide() -> Iterator[Publish]:
        for number, event in enumerate(events):
            decided.append(number)
            yield event

    assert written_as_decided(decide(), codec, PREFIX) == [written(event, codec, PREFIX) for event in events]
    assert decided == list(range(2 * AT_ONCE + 1))
    assert written_as_decided(iter(()), codec, PREFIX) == []


def test_the_headers_are_those_of_the_event() -> None:
    message = written(publish(7), Codec(), PREFIX)
    headers = dict(message.headers)
    assert message.topic == f"test.{Topic.SYNC_REQUIRED.value}"
    assert (headers["ce_id"], headers["ce_subject"]) == (b"event-7", b"subject-7")
    assert len(headers) == len(message.headers)
