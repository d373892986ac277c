"""A person's aliases through the router, on real Kafka and PostgreSQL: who they lead to, and what is told of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.router.contacts import Contacts
from services.router.facts import Candidate, Facts
from shared.adapters import alias_rows
from shared.adapters.alias_rows import AliasWrite
from shared.adapters.clock import new_uuid7
from shared.adapters.kafka_transactions import Aborted
from shared.adapters.router_store import RouterStore
from shared.domain.enums import AliasKind, ConnectorType, DeliveryStatus, RecordSource, WebhookEvent, WebhookStatus
from shared.domain.items import Alias
from shared.domain.records import RawPosition, Redrive
from shared.domain.send_result import encode_send_result
from shared.domain.snapshots import WebhookSnapshot
from shared.domain.topics import Topic
from tests.integration.services.router.conftest import RunningRouter
from tests.pipeline import FLOW_NUMBER, UNIT_NUMBER, Pipeline, Read, messages_value, meta_body, text_item
from tests.unit.services.router import builders

pytestmark = pytest.mark.req(48)
PROVIDERS = Path("shared/providers")
FIRST, SECOND, THIRD = "5511900000001", "5511900000002", "5511900000003"
OLD_ID, NEW_ID = "BR.70112233445566", "BR.90112233445577"


def example(name: str) -> bytes:
    return (PROVIDERS / f"{name}.json").read_bytes()


def text(item_id: str, phone: str | None, user_id: str | None = None) -> bytes:
    item = text_item(item_id, sender=phone or "") | ({"from_user_id": user_id} if user_id else {})
    if phone is None:
        del item["from"]
    return meta_body(messages_value(UNIT_NUMBER, [item]))


def number_changed(old: str, new: str, item_id: str = "wamid.sys") -> bytes:
    system = {"type": "user_changed_number", "wa_id": new, "body": "changed"}
    item = {"from": old, "id": item_id, "timestamp": "1700000000", "type": "system", "system": system}
    return meta_body(messages_value(UNIT_NUMBER, [item]))


def told(reads: list[Read]) -> list[tuple[str, str, str]]:
    """(cause, added, retired) of each `contact.updated`."""
    return [
        (
            read.event.cause,
            " ".join(alias.key for alias in read.event.added),
            " ".join(alias.key for alias in read.event.retired),
        )
        for read in reads
    ]


def rows(pipeline: Pipeline) -> dict[str, tuple[str, dict[str, Any]]]:
    """alias key -> (contact, metadata)"""
    found = pipeline.sql("SELECT chave_externa, entidade_id::text, metadata FROM channel_mapping WHERE entidade_type = 'contact'")
    return {key: (contact, metadata) for key, contact, metadata in found}


@pytest.fixture
def later(pipeline: Pipeline) -> Iterator[Callable[..., RunningRouter]]:
    """Starts a router when everything is posted, so that it is one batch (or as many as are asked for)."""
    started: list[RunningRouter] = []

    def start(**options: Any) -> RunningRouter:
        started.append(RunningRouter(pipeline, len(started), **options).start())
        return started[-1]

    yield start
    for router in started:
        router.stop()
        assert router.failure is None


@pytest.mark.parametrize("batch_items", [1, 2_000])
def test_a_new_alias_beside_a_known_one_is_told_once(pipeline: Pipeline, later: Any, batch_items: int) -> None:
    for number, (phone, user_id) in enumerate([(FIRST, None), (FIRST, OLD_ID), (FIRST, OLD_ID), (None, OLD_ID)]):
        pipeline.post(text(f"wamid.{number}", phone, user_id))
    pipeline.post(text("wamid.1", FIRST, OLD_ID))  # the provider repeats itself
    later(batch_items=batch_items)
    messages = pipeline.read(Topic.MESSAGE_RECEIVED, 4)
    (update,) = pipeline.read(Topic.CONTACT_UPDATED, 1, settle_seconds=2)
    assert told([update]) == [("alias_added", f"bsuid:{OLD_ID}", "")]
    assert {read.event.message.contact_id for read in messages} == {update.event.contact_id}
    assert len({read.key for read in messages}) == 1
    assert update.key == update.event.contact_id == update.headers["ce_subject"].decode()
    assert update.headers["ce_id"].decode() == update.event.update_id
    assert update.headers["ce_type"] == b"contact.updated"
    assert update.headers["ce_source"].decode().endswith(pipeline.connector_id)
    assert update.event.tenant_id == pipeline.tenant_id
    assert update.event.raw == messages[1].event.message.raw
    stored = rows(pipeline)
    assert {metadata["kind"] for _, metadata in stored.values()} == {"phone", "bsuid"}
    assert all(set(metadata) == {"kind", "since", "by"} for _, metadata in stored.values())
    books = pipeline.books(10, 5)
    assert books.pop(("emitted", "org_unit")) == 4
    assert sum(books.values()) == 1


@pytest.mark.parametrize("batch_items", [1, 2_000])
def test_a_changed_number_and_then_a_message_from_it(pipeline: Pipeline, later: Any, batch_items: int) -> None:
    pipeline.post(text("wamid.1", FIRST))
    pipeline.post(example("whatsapp_official/examples/event_person_number_changed"))
    pipeline.post(text("wamid.2", SECOND))
    pipeline.post(text("wamid.3", FIRST))
    later(batch_items=batch_items)
    messages = pipeline.read(Topic.MESSAGE_RECEIVED, 3)
    updates = pipeline.read(Topic.CONTACT_UPDATED, 1, settle_seconds=2)
    assert told(updates) == [("person_changed", f"phone:{SECOND}", f"phone:{FIRST}")]
    assert updates[0].event.provider_time_ms == 1_790_000_025_000
    assert {read.event.message.contact_id for read in messages} == {updates[0].key}
    assert len({read.key for read in messages}) == 1
    old, new = (rows(pipeline)[f"phone:{phone}"][1] for phone in (FIRST, SECOND))
    assert old["until"] == new["since"]
    assert "until" not in new
    assert pipeline.books(10, 4) == {("emitted", "org_unit"): 3, ("emitted", "contact"): 1}


@pytest.mark.parametrize(
    ("name", "added", "retired"),
    [
        (
            "event_person_user_id",
            f"bsuid:{NEW_ID} parent_bsuid:BR.ENT.55552222333344",
            f"bsuid:{OLD_ID} parent_bsuid:BR.ENT.11112222333344",
        ),
        ("event_person_user_id_flat", f"bsuid:{NEW_ID}", f"bsuid:{OLD_ID}"),
        ("event_person_system_user_id", f"bsuid:{NEW_ID}", f"bsuid:{OLD_ID}"),
    ],
)
def test_a_changed_user_id(pipeline: Pipeline, router: Any, name: str, added: str, retired: str) -> None:
    pipeline.post(text("wamid.1", FIRST, OLD_ID))
    pipeline.post(example(f"whatsapp_official/examples/{name}"))
    pipeline.post(text("wamid.2", None, NEW_ID))
    messages = pipeline.read(Topic.MESSAGE_RECEIVED, 2)
    assert len({read.key for read in messages}) == 1
    assert told(pipeline.read(Topic.CONTACT_UPDATED, 1, settle_seconds=1)) == [("person_changed", added, retired)]
    stored = rows(pipeline)
    assert "until" not in stored[f"phone:{FIRST}"][1]  # the number has no successor
    assert "until" in stored[f"bsuid:{OLD_ID}"][1]


def test_a_hidden_id_of_evolution_and_the_number_behind_it(pipeline: Pipeline, later: Any) -> None:
    config = json.dumps({"dialect": "evolution"})
    pipeline.publish_connector(pipeline.connector(version=2, tipo=ConnectorType.WHATSAPP_UNOFFICIAL, config=config))
    pipeline.publish_account(pipeline.unit_account(version=2, account_refs=("instance:loja-centro",)))
    pipeline.post(example("whatsapp_unofficial/examples/evolution/text_lid_without_phone"))
    pipeline.post(example("whatsapp_unofficial/examples/evolution/text_lid_with_sender_pn"))
    pipeline.post(example("whatsapp_unofficial/examples/evolution/group"))
    later()
    messages = pipeline.read(Topic.MESSAGE_RECEIVED, 3)
    assert told(pipeline.read(Topic.CONTACT_UPDATED, 1, settle_seconds=1)) == [("alias_added", f"phone:{FIRST}", "")]
    assert len({read.event.message.contact_id for read in messages}) == 1  # a member of the group, too
    assert messages[0].key == messages[1].key != messages[2].key
    assert set(rows(pipeline)) == {"lid:99000000000001", f"phone:{FIRST}"}


def test_two_known_contacts_collide_are_told_once_and_stay_apart(pipeline: Pipeline, later: Any) -> None:
    for number, (phone, user_id) in enumerate(
        [(FIRST, None), (None, OLD_ID), (FIRST, OLD_ID), (FIRST, OLD_ID), (None, OLD_ID), (SECOND, OLD_ID), (FIRST, OLD_ID)]
    ):
        pipeline.post(text(f"wamid.{number}", phone, user_id))
    pipeline.post(number_changed(FIRST, SECOND))  # SECOND joined the younger contact: the same pair, by another alias
    router = later(batch_items=1)
    contacts = [read.event.message.contact_id for read in pipeline.read(Topic.MESSAGE_RECEIVED, 7)]
    older, younger = contacts[:2]
    assert contacts == [older, younger, older, older, younger, younger, older]
    updates = pipeline.read(Topic.CONTACT_UPDATED, 2, settle_seconds=2)
    assert told(updates) == [("collision", "", ""), ("alias_added", f"phone:{SECOND}", "")]
    assert (updates[0].key, updates[0].event.other_contact_id) == (older, younger)
    assert {contact for contact, _ in rows(pipeline).values()} == {older, younger}
    assert router.registry.get_sample_value("channels_router_alias_collisions_total") == 1
    assert pipeline.books(10, 8) == {("emitted", "org_unit"): 7, ("ignored", "contact_unchanged"): 1}


@pytest.mark.req(67)
def test_what_a_held_message_says_of_a_person_is_told_at_once(pipeline: Pipeline, router: Any) -> None:
    """Its copy comes from another position, so it has nothing to tell."""
    for number, user_id in enumerate((None, OLD_ID)):
        pipeline.post(text(f"wamid.{number}", FIRST, user_id).replace(UNIT_NUMBER.encode(), FLOW_NUMBER.encode()))
    assert told(pipeline.read(Topic.CONTACT_UPDATED, 1)) == [("alias_added", f"bsuid:{OLD_ID}", "")]
    assert pipeline.books(10, 2) == {("held", ""): 2}
    assert pipeline.read(Topic.MESSAGE_RECEIVED, 1, 0.5) == []


def test_a_send_result_may_name_the_alias_first(pipeline: Pipeline, router: Any) -> None:
    pipeline.post(text("wamid.1", FIRST))
    pipeline.read(Topic.MESSAGE_RECEIVED, 1)
    recipient = (Alias(kind=AliasKind.PHONE, value=FIRST), Alias(kind=AliasKind.BSUID, value=OLD_ID))
    result = encode_send_result(
        account_id=pipeline.unit_account_id,
        message_id=new_uuid7(),
        attempt=1,
        status=DeliveryStatus.ACCEPTED,
        recipient=recipient,
        provider_message_ids=("wamid.out",),
        at_ms=1,
    )
    pipeline.post(result, source=RecordSource.RESULT)
    assert told(pipeline.read(Topic.CONTACT_UPDATED, 1)) == [("alias_added", f"bsuid:{OLD_ID}", "")]


def test_what_tells_nothing_new_of_a_person(pipeline: Pipeline, router: Any) -> None:
    """Nobody known; a device key; an unknown number of ours; the same change in other words."""
    pipeline.post(number_changed(FIRST, SECOND))
    pipeline.post(example("whatsapp_official/examples/event_person_identity"))
    pipeline.post(number_changed(THIRD, SECOND).replace(UNIT_NUMBER.encode(), b"100000000000009"))
    pipeline.post(number_changed(FIRST, SECOND, "wamid.sys2"))
    assert pipeline.books(10, 4) == {("ignored", "contact_unchanged"): 2, ("ignored", "connector_event"): 2}
    assert pipeline.read(Topic.CONTACT_UPDATED, 1, 1) == []
    assert set(rows(pipeline)) == {f"phone:{FIRST}", f"phone:{SECOND}"}


@pytest.mark.req(37)
def test_a_disabled_row_for_contacts_changes_nobody(pipeline: Pipeline, later: Any) -> None:
    row = WebhookSnapshot(
        webhook_id=pipeline.unit_id, evento=WebhookEvent.CONTACT_UPDATE, status=WebhookStatus.DISABLED, segredo=None
    )
    pipeline.publish_connector(pipeline.connector(version=2, webhooks=(row,)))
    pipeline.post(text("wamid.1", FIRST))
    pipeline.post(number_changed(FIRST, SECOND))
    later()
    assert pipeline.books(10, 2) == {("emitted", "org_unit"): 1, ("rejected", "webhook_disabled"): 1}
    assert set(rows(pipeline)) == {f"phone:{FIRST}"}


def test_a_crash_between_the_two_commits_tells_everything_again_and_once(pipeline: Pipeline) -> None:
    """Each batch of two items is committed in PostgreSQL and lost in Kafka, and comes again."""
    router = RunningRouter(pipeline, batch_items=2)
    commit, lost = router.parts.worker.commit, []

    def spoilt(messages: Any, offsets: Any) -> None:
        if offsets[0] not in lost:
            lost.append(offsets[0])
            raise Aborted("planted: nothing of it was written")
        commit(messages, offsets)

    router.parts.worker.commit = spoilt  # type: ignore[method-assign]
    pipeline.post(text("wamid.0", FIRST))
    pipeline.post(text("wamid.1", THIRD))
    pipeline.post(text("wamid.2", FIRST, OLD_ID))
    pipeline.post(number_changed(FIRST, SECOND, "wamid.3"))
    pipeline.post(number_changed(SECOND, FIRST, "wamid.4"))
    pipeline.post(text("wamid.5", THIRD, OLD_ID))
    router.start()
    try:
        messages = pipeline.read(Topic.MESSAGE_RECEIVED, 4, settle_seconds=1)
        assert len(messages) == 4
        updates = pipeline.read(Topic.CONTACT_UPDATED, 4, settle_seconds=2)
        assert told(updates) == [
            ("alias_added", f"bsuid:{OLD_ID}", ""),
            ("person_changed", f"phone:{SECOND}", f"phone:{FIRST}"),
            ("person_changed", f"phone:{FIRST}", f"phone:{SECOND}"),
            ("collision", "", ""),
        ]
        assert len(lost) >= 3
        assert len({read.event.update_id for read in updates}) == 4
        assert "until" not in rows(pipeline)[f"phone:{FIRST}"][1]
        assert "until" in rows(pipeline)[f"phone:{SECOND}"][1]
    finally:
        router.stop()
    assert router.failure is None


def test_rows_of_an_earlier_release_are_nobodys(pipeline: Pipeline, later: Any) -> None:
    contact = new_uuid7()
    for key in (f"phone:{FIRST}", f"bsuid:{OLD_ID}"):
        pipeline.sql(
            "INSERT INTO channel_mapping (id, connector_id, chave_externa, entidade_type, entidade_id, metadata)"
            " VALUES (%s, %s, %s, 'contact', %s, %s)",
            *(new_uuid7(), pipeline.connector_id, key, contact, None if key.startswith("bsuid") else '{"kind": "phone"}'),
        )
    pipeline.post(text("wamid.0", FIRST, OLD_ID))
    pipeline.post(number_changed(FIRST, SECOND))
    later()
    assert pipeline.read(Topic.MESSAGE_RECEIVED, 1)[0].event.message.contact_id == contact
    updates = pipeline.read(Topic.CONTACT_UPDATED, 1, settle_seconds=1)
    assert told(updates) == [("person_changed", f"phone:{SECOND}", f"phone:{FIRST}")]


def test_two_workers_race_for_one_alias_and_one_contact_is_left(pipeline: Pipeline) -> None:
    """The slower one inserts while the faster one's rows are not committed: it waits, looks again, and follows."""
    one, other = RouterStore(pipeline.database.worker_url), RouterStore(pipeline.database.worker_url)
    connector, contact = pipeline.connector_id, new_uuid7()
    news: dict[str, Any] = {}

    def slower() -> None:
        facts = resolve(other, person(pipeline, 7, OLD_ID))
        news.update(contacts=facts.contacts, news=facts.news)

    thread = threading.Thread(target=slower)
    try:
        with one.transaction() as cursor:
            theirs = AliasWrite(connector, f"phone:{FIRST}", contact, '{"kind":"phone","by":"e/1/1//m"}')
            assert alias_rows.insert_aliases(cursor, [theirs])
            thread.start()
            _until_it_waits(pipeline)
        thread.join(20)
        assert not thread.is_alive()
    finally:
        one.close()
        other.close()
    assert set(news["contacts"].values()) == {contact}
    assert {found for found, _ in rows(pipeline).values()} == {contact}
    (told_once,) = news["news"].values()
    assert [alias.key for alias in told_once.added] == [f"bsuid:{OLD_ID}"]  # the phone is the other's to tell


def person(pipeline: Pipeline, offset: int, *user_ids: str, redrive: Redrive | None = None, connector: str = "") -> Candidate:
    """A message of FIRST under these other names, as a candidate at `offset`."""
    plain = builders.message(phone=FIRST)
    others = tuple(Alias(kind=AliasKind.BSUID, value=one) for one in user_ids)
    item = replace(plain, peer=replace(plain.peer, aliases=plain.peer.aliases + others))
    record = builders.opened(offset, item, connector_id=connector or pipeline.connector_id)
    assert record.record is not None
    return builders.candidate(replace(record, record=replace(record.record, redrive=redrive)))


def resolve(store: RouterStore, *candidates: Candidate) -> Facts:
    facts = builders.no_facts()
    with store.transaction() as cursor:
        Contacts(cursor, builders.EPOCH, new_uuid7, lambda *_: None).resolve(candidates, facts)
    return facts


@pytest.fixture
def store(pipeline: Pipeline) -> Iterator[RouterStore]:
    made = RouterStore(pipeline.database.worker_url)
    yield made
    made.close()


@pytest.mark.parametrize(("reason", "tells"), [("own_exception", True), ("unknown_account", False)])
def test_a_redriven_item_tells_what_its_failed_try_could_only_write(
    pipeline: Pipeline, store: RouterStore, reason: str, tells: bool
) -> None:
    resolve(store, person(pipeline, 1))
    assert len(resolve(store, person(pipeline, 2, OLD_ID)).news) == 1
    origin = RawPosition(epoch=builders.EPOCH, partition=0, offset=2, item="/m/0")
    redrive = Redrive(origin=origin, attempt=2, tries=(2,), reason=reason, account_id=None, first_arrival_at_ms=1)
    assert bool(resolve(store, person(pipeline, 9, OLD_ID, redrive=redrive)).news) is tells
    assert not resolve(store, person(pipeline, 9, OLD_ID)).news


def test_the_same_alias_of_another_connector_is_somebody_else(pipeline: Pipeline, store: RouterStore) -> None:
    other = new_uuid7()
    with psycopg.connect(pipeline.database.owner_url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO channel_connector (id, tenant_id, tipo, nome, config, status)"
            " VALUES (%s, %s, 'whatsapp_official', 'Other', '{}', 'pending')",
            (other, pipeline.tenant_id),
        )
    resolve(store, person(pipeline, 1))
    assert not resolve(store, person(pipeline, 2, OLD_ID, connector=other)).news  # seen for the first time there
    contacts = resolve(store, person(pipeline, 3, OLD_ID), person(pipeline, 4, OLD_ID, connector=other)).contacts
    assert contacts[pipeline.connector_id, f"phone:{FIRST}"] == contacts[pipeline.connector_id, f"bsuid:{OLD_ID}"]
    assert contacts[other, f"phone:{FIRST}"] == contacts[other, f"bsuid:{OLD_ID}"]
    assert len(set(contacts.values())) == 2


def _until_it_waits(pipeline: Pipeline) -> None:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(2_000):
        if pipeline.sql(waiting):
            return
    raise AssertionError("the second worker never waited")


def test_the_usual_message_costs_one_statement_and_writes_no_row(pipeline: Pipeline, store: RouterStore) -> None:
    versions = "SELECT xmin::text, xmax::text, ctid::text FROM channel_mapping ORDER BY id"

    def statements(offset: int) -> list[str]:
        with store.transaction() as cursor:
            counted = _Counted(cursor)
            contacts = Contacts(counted, builders.EPOCH, new_uuid7, lambda *_: None)
            contacts.resolve([person(pipeline, offset, OLD_ID)], builders.no_facts())
        return [statement.split()[0] for statement in counted.statements]

    assert statements(1) == ["SELECT", "INSERT"]
    before = pipeline.sql(versions)
    assert statements(2) == ["SELECT"]
    assert pipeline.sql(versions) == before


class _Counted:
    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self.statements: list[str] = []

    def execute(self, statement: str, *arguments: Any) -> Any:
        self.statements.append(statement)
        return self._cursor.execute(statement, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)
