from __future__ import annotations

import pytest

from services.router.own_faults import MAX_CONNECTORS, WINDOW_MS, OwnFaults, TooManyOwnFaults

ALONE, OTHERS = (lambda tenant: False), (lambda tenant: True)


def failing(count: int, tenant: str = "t") -> set[tuple[str, str]]:
    return {(tenant, f"{tenant}-c{number}") for number in range(count)}


def test_one_connector_alone_never_reaches_the_cap():
    faults = OwnFaults(ALONE)
    for number in range(1_000):
        faults.note({("t", "one")}, number)
    faults.note(failing(MAX_CONNECTORS - 2), 1_000)


def test_several_connectors_of_the_only_tenant_stop_the_consumer():
    faults = OwnFaults(ALONE)
    faults.note(failing(MAX_CONNECTORS - 1), 0)
    faults.note(set(), WINDOW_MS - 1)
    with pytest.raises(TooManyOwnFaults, match="roll the release back"):
        faults.note({("t", "last")}, WINDOW_MS - 1)


def test_one_of_several_tenants_never_reaches_the_cap_however_many_connectors_it_has():
    faults = OwnFaults(OTHERS)
    faults.note(failing(1_000), 0)
    with pytest.raises(TooManyOwnFaults, match="1001 connectors of 2 tenants"):
        faults.note({("other", "one")}, 1)


def test_two_tenants_need_five_connectors_together():
    faults = OwnFaults(OTHERS)
    faults.note(failing(MAX_CONNECTORS - 2) | {("other", "one")}, 0)
    with pytest.raises(TooManyOwnFaults):
        faults.note({("other", "two")}, 1)


def test_what_is_older_than_the_window_is_forgotten():
    faults = OwnFaults(ALONE)
    faults.note(failing(MAX_CONNECTORS - 1), 0)
    faults.note({("t", "last")}, WINDOW_MS)
