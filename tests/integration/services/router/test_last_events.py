"""`ultimo_evento_em`: per webhook row and class, within 30 seconds, and never more than two writes a minute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.router.last_events import LastEvents
from shared.adapters.router_store import RouterStore
from shared.domain.enums import WebhookEvent, WebhookStatus
from shared.domain.snapshots import WebhookSnapshot
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import Management, management_of
from tests.unit.services.router import builders


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        yield made


def last(management: Management) -> dict[str, float | None]:
    rows = management.read("SELECT id::text, extract(epoch FROM ultimo_evento_em)::float8 FROM channel_webhook")
    return dict(rows)  # type: ignore[arg-type]


@pytest.mark.req(38)
def test_the_row_of_the_class_moves_and_no_other(management: Management, database: DatabaseUnderTest) -> None:
    connector = management.connector()
    for event in (WebhookEvent.MESSAGE_IN, WebhookEvent.MESSAGE_STATUS):
        management.run(
            lambda session, event=event: session.connection().exec_driver_sql(
                "INSERT INTO channel_webhook (id, connector_id, evento, url, status)"
                " VALUES (gen_random_uuid(), %s, %s, 'x', 'disabled')",
                (connector, event.value),
            )
        )
    rows = {event: row for row, event in management.read("SELECT id::text, evento::text FROM channel_webhook")}
    snapshots = tuple(
        WebhookSnapshot(webhook_id=row, evento=WebhookEvent(event), status=WebhookStatus.ACTIVE, segredo=None)
        for event, row in rows.items()
    )
    store, now = RouterStore(database.worker_url), [0.0]
    events, writes = LastEvents(store, lambda: now[0]), []

    def arrive(at_ms: int) -> None:
        one = builders.opened(0, builders.message())
        record = replace(one.record, received_at_ms=at_ms)
        events.note([replace(one, record=record, connector=replace(builders.connector(), webhooks=snapshots))])

    try:
        for second in range(121):
            now[0] = float(second)
            arrive(1_000_000 + second * 1_000)
            events.flush()
            seen = last(management)[rows["message_in"]]
            assert seen is not None
            assert 1_000 + second - seen <= 32
            writes.append(seen)
        assert len(set(writes)) <= 5  # two a minute, and the first
        assert last(management)[rows["message_status"]] is None
        arrive(1)
        now[0] = 500.0
        events.flush()
        assert last(management)[rows["message_in"]] == pytest.approx(1_120)  # never backwards
    finally:
        store.close()
