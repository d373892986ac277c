"""Which processes `channels up` starts, and on which ports."""

from __future__ import annotations

from pathlib import Path

from deploy.local.fleet import (
    Fleet,
    FleetService,
    control_process,
    health_process,
    ingest_process,
    mailbox_process,
    relay_process,
    router_process,
    sync_process,
    token_rotator_process,
)
from deploy.local.ports import choose_port
from deploy.local.settings import GivenPorts
from deploy.local.settings_file import keep_settings, kept_settings
from shared.runtime.settings import load

_USUAL_PORTS = {
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
FLEET_PORTS = tuple(_USUAL_PORTS)  # the settings that `plan_fleet` keeps
_MAILBOX_PORTS = {"mailbox_operations_port": 9083}  # only where there is one: not every installation reads mailboxes


def plan_fleet(home: Path, fleet: Fleet, *, ingests: int, routers: int, mailboxes: int = 0) -> list[FleetService]:
    """The processes in the order in which to start them; their ports are kept in `<home>/stack.json`.

    A port that the environment gives must be free (ConfigError otherwise). Others are those of the last start, else the
    usual ones, else free ones. A process that runs keeps its ports.
    """
    ports = _ports(home, fleet, _USUAL_PORTS | (_MAILBOX_PORTS if mailboxes else {}))
    keep_settings(home, ports)
    taken = set(ports.values())
    router_ports = _operations_ports(fleet, "router", ports["router_operations_port"], routers, taken)
    ingest_ports = _operations_ports(fleet, "ingest", ports["ingest_operations_port"], ingests, taken)
    return [
        relay_process(operations_port=ports["relay_operations_port"]),
        sync_process(operations_port=ports["sync_operations_port"]),
        *(router_process(slot, operations_port=port) for slot, port in enumerate(router_ports)),
        *_mailboxes(fleet, ports, mailboxes, taken),
        token_rotator_process(operations_port=ports["token_rotator_operations_port"]),
        health_process(operations_port=ports["health_operations_port"]),
        control_process(port=ports["control_port"], operations_port=ports["control_operations_port"]),
        *(ingest_process(number, port=ports["ingest_port"], operations_port=port) for number, port in enumerate(ingest_ports)),
    ]


def _mailboxes(fleet: Fleet, ports: dict[str, int], count: int, taken: set[int]) -> list[FleetService]:
    if not count:
        return []
    chosen = _operations_ports(fleet, "mailbox", ports["mailbox_operations_port"], count, taken)
    return [mailbox_process(number, operations_port=port) for number, port in enumerate(chosen)]


def _ports(home: Path, fleet: Fleet, usual_ports: dict[str, int]) -> dict[str, int]:
    kept, given = kept_settings(home), load(GivenPorts).model_dump()
    running = {name.partition("-")[0] for name in fleet.names() if fleet.pid(name)}
    chosen: dict[str, int] = {}
    for setting, usual in usual_ports.items():
        if setting.removesuffix("_operations_port").removesuffix("_port") in running and setting in kept:
            chosen[setting] = int(kept[setting])
            continue
        chosen[setting] = choose_port(
            given=given[setting],
            before=int(kept.get(setting, usual)),
            purpose=setting.replace("_", " "),
            variable=f"CHANNELS_{setting.upper()}",
            taken=frozenset(chosen.values()),
        )
    return chosen


def _operations_ports(fleet: Fleet, service: str, first: int, count: int, taken: set[int]) -> list[int]:
    ports = [first]
    for number in range(1, count):
        name = f"{service}-{number}"
        if fleet.pid(name) is not None:
            port = fleet.service(name).operations_port
        else:
            port = choose_port(given=None, before=None, purpose=name, variable="", taken=frozenset(taken))
        taken.add(port)
        ports.append(port)
    return ports[:count]
