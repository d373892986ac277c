from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local import ports
from deploy.local.fleet import Fleet, FleetService
from deploy.local.fleet_plan import plan_fleet
from deploy.local.settings_file import keep_settings, kept_settings
from shared.domain.errors import ConfigError


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    taken: set[int] = set()
    monkeypatch.setattr(ports, "is_free", lambda port: port not in taken)
    return taken


def _plan(home: Path, ingests: int = 1, routers: int = 1) -> dict[str, FleetService]:
    return {service.name: service for service in plan_fleet(home, Fleet(home), ingests=ingests, routers=routers)}


def test_the_usual_ports_are_taken_and_kept(busy: set[int], tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    assert list(plan) == ["relay", "sync", "router-0", "token_rotator", "health", "control", "ingest-0"]
    assert plan["ingest-0"].environment == {"CHANNELS_INGEST_PORT": "8080", "CHANNELS_INGEST_OPERATIONS_PORT": "9080"}
    assert kept_settings(tmp_path) == {
        "ingest_port": 8080,
        "ingest_operations_port": 9080,
        "router_operations_port": 9081,
        "relay_operations_port": 9082,
        "control_port": 8090,
        "control_operations_port": 9084,
        "sync_operations_port": 9085,
        "token_rotator_operations_port": 9086,
        "health_operations_port": 9087,
    }


def test_a_busy_usual_port_is_replaced_and_the_replacement_kept(busy: set[int], tmp_path: Path) -> None:
    busy.add(8080)
    port = int(_plan(tmp_path)["ingest-0"].environment["CHANNELS_INGEST_PORT"])
    assert port != 8080
    busy.clear()
    assert _plan(tmp_path)["ingest-0"].environment["CHANNELS_INGEST_PORT"] == str(port)


def test_a_given_port_is_no_wish_to_be_talked_out_of(busy: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_settings(tmp_path, {"ingest_port": 8080})
    monkeypatch.setenv("CHANNELS_INGEST_PORT", "8443")
    assert _plan(tmp_path)["ingest-0"].environment["CHANNELS_INGEST_PORT"] == "8443"
    busy.add(8443)
    with pytest.raises(ConfigError, match="CHANNELS_INGEST_PORT"):
        _plan(tmp_path)


def test_several_edges_share_one_port_and_slots_differ(busy: set[int], tmp_path: Path) -> None:
    plan = _plan(tmp_path, ingests=3, routers=2)
    edges = [plan[f"ingest-{number}"] for number in range(3)]
    assert {edge.environment["CHANNELS_INGEST_PORT"] for edge in edges} == {"8080"}
    assert {plan[f"router-{slot}"].environment["CHANNELS_ROUTER_SLOT"] for slot in range(2)} == {"0", "1"}
    operations = [service.operations_port for service in plan.values()]
    assert len(set(operations)) == len(operations) == 10


def test_mailboxes_are_read_where_that_is_asked_for(busy: set[int], tmp_path: Path) -> None:
    plan = {one.name: one for one in plan_fleet(tmp_path, Fleet(tmp_path), ingests=1, routers=1, mailboxes=2)}
    assert list(plan) == ["relay", "sync", "router-0", "mailbox-0", "mailbox-1", "token_rotator", "health", "control", "ingest-0"]
    assert (plan["mailbox-0"].module, plan["mailbox-0"].operations_port) == ("services.mailbox", 9083)
    assert plan["mailbox-1"].operations_port != 9083
    assert kept_settings(tmp_path)["mailbox_operations_port"] == 9083


def test_a_fleet_may_be_of_one_part(busy: set[int], tmp_path: Path) -> None:
    assert list(_plan(tmp_path, ingests=0, routers=0)) == ["relay", "sync", "token_rotator", "health", "control"]
