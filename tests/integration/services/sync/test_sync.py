"""Rules 55 and 59: units and flows follow other modules' topics; an account that loses its target is warned and told anew."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from services.sync.decide import Step, Take
from services.sync.writing import ReferenceWriter
from shared.adapters.clock import new_uuid7
from shared.adapters.database import create_engine_for
from shared.adapters.lost_targets import count_lost_targets, read_lost_targets
from shared.adapters.snapshots import SnapshotReader
from shared.domain.errors import InvalidInput
from shared.domain.snapshots import FlowSnapshot, OrgUnitSnapshot
from shared.domain.topics import Topic
from shared.management.reference import put_tenant
from shared.management.reference_feed import Result, Taken
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import Management
from tests.integration.services.relay.scene import RelayProcess
from tests.integration.services.sync.conftest import Modules, SyncProcess
from tests.waiting import allowed, eventually

StartSync = Callable[..., SyncProcess]
_SECOND = {"config": {"phone_number_id": "100000000000002"}}


def unit_of(management: Management, unit_id: str, version: int = 1, name: str = "Sales") -> OrgUnitSnapshot:
    return OrgUnitSnapshot(version=version, org_unit_id=unit_id, tenant_id=management.tenant, name=name)


def flow_of(management: Management, flow_id: str, version: int, **changes: Any) -> FlowSnapshot:
    values = {"name": "Welcome", "category": "intake", "published": True, **changes}
    return FlowSnapshot(version=version, flow_id=flow_id, tenant_id=management.tenant, **values)


def unit_row(management: Management, unit_id: str) -> Any:
    found = management.read("SELECT name, version, deleted_at IS NOT NULL FROM org_unit WHERE id = :id", id=unit_id)
    return found[0] if found else None


def lines(process: SyncProcess, event: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.log().splitlines() if f'"{event}"' in line]


@pytest.mark.req(55)
def test_rows_follow_the_topic_and_versions_never_go_back(
    management: Management, modules: Modules, start_sync: StartSync
) -> None:
    unit, flow = new_uuid7(), new_uuid7()
    modules.tell(unit_of(management, unit, 2, "Vendas"))
    modules.tell(flow_of(management, flow, 1, category="marketing", published=False))
    sync = start_sync()
    eventually(lambda: unit_row(management, unit) == ("Vendas", 2, False), 20)
    modules.tell(unit_of(management, unit, 1, "older"))
    modules.tell(unit_of(management, unit, 3, "Vendas 2"))
    eventually(lambda: unit_row(management, unit) == ("Vendas 2", 3, False))
    modules.delete(Topic.ORG_UNIT_SNAPSHOT, unit)
    eventually(lambda: unit_row(management, unit) == ("Vendas 2", 3, True))
    modules.delete(Topic.ORG_UNIT_SNAPSHOT, new_uuid7())  # of what was never here
    modules.tell(unit_of(management, unit, 1, "again"))  # a new life may count anew
    eventually(lambda: unit_row(management, unit) == ("again", 1, False))
    eventually(lambda: management.read("SELECT category, published, version FROM automation_flow WHERE id = :f", f=flow))
    results = Counter(line["result"] for line in lines(sync, "reference_taken"))
    assert results == {"created": 2, "older": 1, "changed": 2, "deleted": 1, "unknown": 1}
    actions = [action for action, *_ in management.audit(unit)]
    assert actions == ["org_unit.created", "org_unit.updated", "org_unit.deleted", "org_unit.updated"]


@pytest.mark.req(55)
def test_a_restart_takes_nothing_in_twice(management: Management, modules: Modules, start_sync: StartSync) -> None:
    units = [new_uuid7() for _ in range(30)]
    sync = start_sync(CHANNELS_SYNC_BATCH_RECORDS="3")
    for number, unit in enumerate(units):
        modules.tell(unit_of(management, unit, 1))
        if number % 10 == 5:
            eventually(lambda u=unit: unit_row(management, u), 20)  # type: ignore[misc]
            sync.process.kill()
            sync.process.wait(10)
            sync.start()
    eventually(lambda: all(unit_row(management, unit) for unit in units), 20)
    created = management.read("SELECT subject_id::text, count(*) FROM audit_log WHERE action = 'org_unit.created' GROUP BY 1")
    assert {subject: count for subject, count in created if subject in units} == dict.fromkeys(units, 1)
    assert management.read("SELECT next_offset FROM consumer_offset WHERE topic LIKE '%org_unit%'") == [(30,)]


@pytest.mark.req(55)
def test_two_processes_share_without_doubling(management: Management, modules: Modules, start_sync: StartSync) -> None:
    both = [start_sync(), start_sync()]
    for sync in both:
        eventually(lambda s=sync: '"active"' in s.log(), 20)  # type: ignore[misc]
    units = [new_uuid7() for _ in range(20)]
    for unit in units:
        modules.tell(unit_of(management, unit))
    eventually(lambda: all(unit_row(management, unit) for unit in units), 20)
    taken = [line["offset"] for sync in both for line in lines(sync, "reference_taken")]
    assert sorted(taken) == list(range(20))


@pytest.mark.req(4, 55)
def test_a_deleted_unit_warns_its_accounts_and_their_messages_go_elsewhere(
    management: Management,
    modules: Modules,
    start_sync: StartSync,
    relay: RelayProcess,
    reader: SnapshotReader,
    database: DatabaseUnderTest,
) -> None:
    unit = new_uuid7()
    modules.tell(unit_of(management, unit))
    sync = start_sync()
    eventually(lambda: unit_row(management, unit), 20)
    connector = management.connector()
    only_unit = management.account(connector, org_unit_id=unit)
    both = management.account(connector, "5511900000002", org_unit_id=unit, intake_flow_id=management.flow, **_SECOND)
    eventually(lambda: reader.directory.account(both), 20)
    assert reader.directory.account(only_unit).org_unit_id == unit  # type: ignore[union-attr]

    modules.delete(Topic.ORG_UNIT_SNAPSHOT, unit)
    deleted = time.monotonic()
    eventually(lambda: reader.directory.account(only_unit).org_unit_id is None)  # type: ignore[union-attr]
    eventually(lambda: reader.directory.account(both).org_unit_id is None)  # type: ignore[union-attr]
    took = time.monotonic() - deleted
    print(f"tombstone to directory: {took:.3f} s")
    assert took < allowed(2)
    eventually(lambda: len(lines(sync, "account_target_lost")) == 2)
    told = {line["account_id"]: (line["cause"], line["instead"]) for line in lines(sync, "account_target_lost")}
    assert told == {only_unit: ("deleted", "nothing"), both: ("deleted", "intake_flow")}
    assert management.audit(only_unit)[-1][::2] == (
        "account.target_lost",
        {"target": "org_unit", "cause": "deleted", "instead": "nothing"},
    )
    engine = create_engine_for(database.worker_url)
    with engine.connect() as connection:
        assert count_lost_targets(connection) == {"org_unit": 2, "intake_flow": 0}
        listed = {one.account_id: (one.org_unit_lost, one.routed) for one in read_lost_targets(connection, management.tenant)}
        assert listed == {only_unit: (True, False), both: (True, True)}
    with pytest.raises(InvalidInput) as caught:  # nobody new gets it
        management.account(connector, "5511900000003", org_unit_id=unit, config={"phone_number_id": "100000000000003"})
    assert caught.value.reason == "org_unit_unknown"

    modules.tell(unit_of(management, unit, 2))
    eventually(lambda: reader.directory.account(only_unit).org_unit_id == unit)  # type: ignore[union-attr]
    with engine.connect() as connection:
        assert count_lost_targets(connection) == {"org_unit": 0, "intake_flow": 0}
    engine.dispose()


@pytest.mark.req(55, 59)
@pytest.mark.parametrize("cause", ["unpublished", "not_intake", "deleted"])
def test_a_flow_that_can_no_longer_be_used_warns_its_accounts(
    management: Management, modules: Modules, start_sync: StartSync, relay: RelayProcess, reader: SnapshotReader, cause: str
) -> None:
    account = management.account(management.connector(), intake_flow_id=management.flow)
    eventually(lambda: reader.directory.account(account), 20)
    assert reader.directory.account(account).intake_flow_usable  # type: ignore[union-attr]
    sync = start_sync()
    if cause == "deleted":
        modules.delete(Topic.FLOW_SNAPSHOT, management.flow)
    else:
        change = {"published": False} if cause == "unpublished" else {"category": "marketing"}
        modules.tell(flow_of(management, management.flow, 5, **change))
    eventually(lambda: not reader.directory.account(account).intake_flow_usable, 20)  # type: ignore[union-attr]
    eventually(lambda: lines(sync, "account_target_lost"))
    [line] = lines(sync, "account_target_lost")
    assert (line["account_id"], line["target"], line["cause"], line["instead"]) == (account, "intake_flow", cause, "org_unit")
    modules.tell(flow_of(management, management.flow, 6))
    eventually(lambda: reader.directory.account(account).intake_flow_usable)  # type: ignore[union-attr]
    assert len(lines(sync, "account_target_lost")) == 1


@pytest.mark.req(55)
def test_what_cannot_be_used_is_refused_by_itself(management: Management, modules: Modules, start_sync: StartSync) -> None:
    unit, stranger = new_uuid7(), new_uuid7()
    sync = start_sync()
    modules.write(Topic.ORG_UNIT_SNAPSHOT, unit, b"garbage")
    modules.tell(OrgUnitSnapshot(version=9, org_unit_id=management.unit, tenant_id=stranger, name="taken over"))
    modules.write(Topic.ORG_UNIT_SNAPSHOT, "no id", None)
    modules.tell(OrgUnitSnapshot(version=1, org_unit_id=unit, tenant_id=stranger, name="of a tenant we do not know yet"))
    eventually(lambda: len(lines(sync, "reference_taken")) == 1, 20)
    assert [line["reason"] for line in lines(sync, "reference_refused")] == ["corrupt_data", "id_taken", "key_invalid"]
    assert unit_row(management, management.unit)[0] == "Support"
    assert "taken over" not in sync.log()


@pytest.mark.req(55)
def test_a_tenant_that_is_written_by_hand_at_the_same_time_costs_no_unit(
    database: DatabaseUnderTest, management: Management
) -> None:
    topic_id, tenant, unit = new_uuid7(), new_uuid7(), new_uuid7()
    step = Step(offset=0, tenant_id=tenant, order=Take(OrgUnitSnapshot(version=1, org_unit_id=unit, tenant_id=tenant, name="U")))
    writer = ReferenceWriter(database.api_url, database.worker_url)
    writer.begin("units", 0, topic_id)
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool, management.work(tenant) as session:
        put_tenant(session, tenant, "Acme", actor="by hand")
        written = pool.submit(writer.write, Topic.ORG_UNIT_SNAPSHOT, "units", 0, topic_id, tenant, [step], start=0)
        eventually(lambda: management.read(waiting))
        session.commit()
        [effect] = written.result(20)
    writer.close()
    assert effect == Taken(result=Result.CREATED)
