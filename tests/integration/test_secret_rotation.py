"""Receiving secrets that come and go: ids that stay, the same in every row, never without a live one, last use."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.router.facts import Opened
from services.router.secret_use import SecretUses
from shared.adapters.receiving_secrets import open_segredo
from shared.adapters.router_store import RouterStore
from shared.domain.enums import KeyPurpose, RecordSource, SecretUse, WebhookEvent
from shared.domain.errors import Conflict, InvalidInput, NotFound
from shared.domain.records import WebhookReceived
from shared.management.secret_rotation import KnownSecret, add_secret, expire_secret, list_secrets
from shared.management.webhooks import NewSecret, NewWebhook, create_webhook, set_webhook_secrets
from shared.providers.contract import ReceivingSecret
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR, Management, management_of
from tests.integration.rows import connect

SIGN, HANDSHAKE = SecretUse.SIGN, SecretUse.HANDSHAKE
OLD, NEW = NewSecret(use=SIGN, value="canary-old"), NewSecret(use=SIGN, value="canary-new")
VERIFY = NewSecret(use=HANDSHAKE, value="canary-verify")
LATER_MS = 4_000_000_000_000


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        yield made


class Scene:
    """A connector whose two rows hold the same two secrets."""

    def __init__(self, management: Management) -> None:
        self.management, self.connector = management, management.connector()
        self.rows = [self._row(evento) for evento in (WebhookEvent.MESSAGE_IN, WebhookEvent.MESSAGE_STATUS)]

    def _row(self, evento: WebhookEvent) -> str:
        new = NewWebhook(evento=evento, url="https://edge.example.org", secrets=[OLD, VERIFY])
        return self.management.run(
            lambda session: create_webhook(session, self.management.vault, self.connector, new, actor=ACTOR)
        ).id

    def add(self, new: NewSecret) -> str:
        return self.management.run(lambda session: add_secret(session, self.management.vault, self.connector, new, actor=ACTOR))

    def expire(self, secret_id: str, at_ms: int = 1) -> None:
        self.management.run(
            lambda session: expire_secret(session, self.management.vault, self.connector, secret_id, at_ms, actor=ACTOR)
        )

    def listed(self) -> list[KnownSecret]:
        return self.management.run(lambda session: list_secrets(session, self.management.vault, self.connector, actor=ACTOR))

    def stored(self, row: str) -> tuple[ReceivingSecret, ...]:
        ((segredo,),) = self.management.read("SELECT segredo FROM channel_webhook WHERE id = :id", id=row)
        ring = self.management.vault.ring(KeyPurpose.INGEST, self.management.tenant, self.management.keys(KeyPurpose.INGEST))
        return open_segredo(ring, self.management.tenant, row, segredo)


@pytest.fixture
def scene(management: Management) -> Scene:
    return Scene(management)


@pytest.mark.req(77)
def test_a_secret_is_added_beside_the_old_one_in_every_row_and_the_old_one_ends(scene: Scene) -> None:
    version = scene.management.version(scene.connector)
    added = scene.add(NEW)
    assert added == f"{scene.rows[0]}/2"
    for row in scene.rows:
        assert [(one.id, one.value) for one in scene.stored(row)] == [
            (f"{row}/0", b"canary-old"),
            (f"{row}/1", b"canary-verify"),
            (f"{row}/2", b"canary-new"),
        ]
    scene.expire(f"{scene.rows[1]}/0", 1_000)  # named by the other row
    assert [one.not_after_ms for row in scene.rows for one in scene.stored(row)] == [1_000, None, None] * 2
    assert [(one.use, one.state, one.webhooks) for one in scene.listed()] == [
        (SIGN, "expired", ("message_in", "message_status")),
        (HANDSHAKE, "live", ("message_in", "message_status")),
        (SIGN, "live", ("message_in", "message_status")),
    ]
    assert scene.management.version(scene.connector) == version + 2
    actions = [action for action, _, _ in scene.management.audit(scene.rows[0])]
    assert actions == ["webhook.created", "webhook.secret_added", "webhook.secret_expired"]
    audit = scene.management.read("SELECT coalesce(before::text, '') || coalesce(after::text, '') FROM audit_log")
    assert not any("canary" in line for (line,) in audit)
    assert "canary" not in repr(scene.listed())


def test_what_would_leave_no_live_secret_is_refused(scene: Scene) -> None:
    old = f"{scene.rows[0]}/0"
    with pytest.raises(Conflict) as caught:
        scene.expire(old)
    assert caught.value.reason == "secret_last"
    scene.add(NewSecret(use=SIGN, value="short", not_after_ms=2_000))
    scene.add(NewSecret(use=SIGN, value="late", not_before_ms=LATER_MS))
    with pytest.raises(Conflict):
        scene.expire(old, 3_000)  # one has ended by then, the other has not begun
    scene.expire(old, LATER_MS)
    assert scene.listed()[0].state == "live"


def test_a_time_that_has_passed_ends_a_secret_now_so_another_must_be_live_now(scene: Scene) -> None:
    old, now_ms, day_ms = f"{scene.rows[0]}/0", int(time.time() * 1000), 86_400_000
    scene.add(NewSecret(use=SIGN, value="ended yesterday", not_after_ms=now_ms - day_ms))
    with pytest.raises(Conflict):
        scene.expire(old, 1_000)
    scene.add(NewSecret(use=SIGN, value="begun yesterday", not_before_ms=now_ms - day_ms))
    scene.expire(old, 1_000)
    assert [one.state for one in scene.listed() if one.use is SIGN] == ["expired", "expired", "live"]


def test_a_new_secret_does_not_inherit_the_last_use_of_one_that_is_gone(scene: Scene, database: DatabaseUnderTest) -> None:
    number = scene.add(NEW).rpartition("/")[2]
    with connect(database.worker_url) as router:
        for row in scene.rows:
            router.execute("INSERT INTO secret_use VALUES (%s, %s, now())", (row, number))
    for row in scene.rows:
        with scene.management.work() as session:
            set_webhook_secrets(session, scene.management.vault, row, [OLD, VERIFY], actor=ACTOR)
            session.commit()
    scene.add(NewSecret(use=SIGN, value="third"))
    assert [one.last_used_at for one in scene.listed()] == [None] * 3


def test_faults_are_named(scene: Scene) -> None:
    for new, reason in ((OLD, "secret_known"), (NewSecret(use=SIGN, value=""), "secret_empty")):
        with pytest.raises((Conflict, InvalidInput)) as caught:
            scene.add(new)
        assert caught.value.reason == reason
    with pytest.raises(InvalidInput, match="begins"):
        scene.add(NewSecret(use=SIGN, value="x", not_before_ms=2, not_after_ms=2))
    for secret_id in (f"{scene.rows[0]}/9", "nonsense"):
        with pytest.raises(NotFound):
            scene.expire(secret_id)
    bare = scene.management.connector()
    with pytest.raises(Conflict, match="webhook"):
        scene.management.run(lambda session: add_secret(session, scene.management.vault, bare, NEW, actor=ACTOR))


def test_a_list_that_is_set_anew_keeps_the_ids_of_the_secrets_that_stay(scene: Scene) -> None:
    row = scene.rows[0]

    def set_to(*secrets: NewSecret) -> bool:
        return scene.management.run(
            lambda session: set_webhook_secrets(session, scene.management.vault, row, secrets, actor=ACTOR)
        )

    assert not set_to(OLD, VERIFY)
    assert set_to(NEW, VERIFY)
    assert [one.id for one in scene.stored(row)] == [f"{row}/2", f"{row}/1"]
    assert set_to(OLD, VERIFY, NEW)
    assert [one.id for one in scene.stored(row)] == [f"{row}/3", f"{row}/1", f"{row}/2"]
    assert not set_to(OLD, VERIFY, NEW)


def record(secret_id: str | None, at_ms: int) -> Opened:
    received = WebhookReceived(
        record_id="01900000-0000-7000-8000-0000000000b1",
        source=RecordSource.WEBHOOK,
        tenant_id="t",
        connector_id="c",
        url_account_id=None,
        received_at_ms=at_ms,
        headers={},
        secret_id=secret_id,
        body_size_bytes=0,
    )
    return Opened(
        partition=0,
        offset=0,
        connector_id="c",
        record=received,
        connector=None,
        items=(),
        body=b"",
        size_bytes=0,
        traceparent=None,
    )


def test_the_router_notes_when_a_secret_was_last_used(scene: Scene, database: DatabaseUnderTest) -> None:
    store, now = RouterStore(database.worker_url), [0.0]
    uses = SecretUses(store, lambda: now[0])
    old = f"{scene.rows[1]}/0"
    strangers = [f"{scene.connector}/0", "certificate", "", None]
    try:
        uses.note([record(old, 5_000), record(old, 7_000), record(old, 6_000), *(record(one, 1) for one in strangers)])
        uses.flush()
        told = scene.listed()
        assert [one.last_used_at.timestamp() if one.last_used_at else None for one in told] == [7.0, None]
        uses.note([record(old, 4_000)])
        now[0] = 60.0
        uses.flush()
        assert scene.listed() == told  # never backwards
        uses.note([record(old, 9_000)])
        uses.flush()  # too soon
        assert scene.listed() == told
        now[0] = 120.0
        uses.flush()
        assert scene.listed() != told
    finally:
        store.close()


def test_a_database_that_is_away_is_tried_again_later(scene: Scene, database: DatabaseUnderTest) -> None:
    now = [0.0]
    nowhere = RouterStore("postgresql+psycopg://channels_worker@/channels?host=/nonexistent")
    uses = SecretUses(nowhere, lambda: now[0])
    uses.note([record(f"{scene.rows[0]}/0", 5_000)])
    uses.flush()
    store = RouterStore(database.worker_url)
    uses._store, now[0] = store, 60.0
    uses.flush()
    store.close()
    assert scene.listed()[0].last_used_at is not None
