"""What a record of another module's snapshot asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.sync.decide import Forget, Refuse, Step, Take, read_order, runs_of_one_tenant
from shared.adapters.avro import Codec
from shared.domain.snapshots import FlowSnapshot, OrgUnitSnapshot
from shared.domain.topics import Topic

TENANT, UNIT, OTHER = (f"0190a000-0000-7000-8000-00000000000{number}" for number in (1, 2, 3))
SNAPSHOT = OrgUnitSnapshot(version=1, org_unit_id=UNIT, tenant_id=TENANT, name="Support")
FLOW = FlowSnapshot(version=1, flow_id=UNIT, tenant_id=TENANT, name="Welcome", category="intake", published=True)
CODEC = Codec()


def order(snapshot: OrgUnitSnapshot, key: str | None = UNIT) -> Any:
    return read_order(Topic.ORG_UNIT_SNAPSHOT, key, CODEC.encode(Topic.ORG_UNIT_SNAPSHOT, snapshot), CODEC.decode)


def test_a_snapshot_is_taken_and_a_null_forgets() -> None:
    assert order(SNAPSHOT) == Take(SNAPSHOT)
    assert read_order(Topic.ORG_UNIT_SNAPSHOT, UNIT, None, CODEC.decode) == Forget(UNIT)
    flow = read_order(Topic.FLOW_SNAPSHOT, UNIT, CODEC.encode(Topic.FLOW_SNAPSHOT, FLOW), CODEC.decode)
    assert isinstance(flow, Take)
    assert (flow.subject_id, flow.tenant_id) == (UNIT, TENANT)


@pytest.mark.parametrize(
    ("snapshot", "key", "reason"),
    [
        (SNAPSHOT, None, "key_invalid"),
        (SNAPSHOT, "unit-7", "key_invalid"),
        (SNAPSHOT, UNIT.upper(), "key_invalid"),  # one spelling, or two keys would name one row
        (SNAPSHOT, OTHER, "key_mismatch"),
        (replace(SNAPSHOT, tenant_id="acme"), UNIT, "tenant_invalid"),
        (replace(SNAPSHOT, name="  "), UNIT, "name_invalid"),
        (replace(SNAPSHOT, name="a\0b"), UNIT, "name_invalid"),
        (replace(SNAPSHOT, name="x" * 501), UNIT, "name_invalid"),
    ],
)
def test_a_faulty_record_is_refused_by_the_name_of_its_fault(snapshot: OrgUnitSnapshot, key: str | None, reason: str) -> None:
    assert order(snapshot, key) == Refuse(reason)


def test_bytes_that_are_no_record_are_refused() -> None:
    assert read_order(Topic.ORG_UNIT_SNAPSHOT, UNIT, b"garbage", CODEC.decode) == Refuse("corrupt_data")


def test_neighbours_of_one_tenant_make_one_run_in_order() -> None:
    steps = [
        Step(offset=number, tenant_id=tenant, order=Forget(UNIT))
        for number, tenant in enumerate([TENANT, TENANT, OTHER, None, TENANT])
    ]
    runs = [(tenant, [step.offset for step in run]) for tenant, run in runs_of_one_tenant(steps)]
    assert runs == [(TENANT, [0, 1]), (OTHER, [2]), (None, [3]), (TENANT, [4])]
