from __future__ import annotations

from deploy.local.kafka import server_properties


def _properties() -> dict[str, str]:
    lines = server_properties(20001, 20002).splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_clients_are_sent_to_the_port_that_is_listened_on() -> None:
    properties = _properties()
    assert properties["advertised.listeners"] == "PLAINTEXT://127.0.0.1:20001"
    assert properties["advertised.listeners"] in properties["listeners"]
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:20002"


def test_it_behaves_as_the_services_expect() -> None:
    properties = _properties()
    assert properties["auto.create.topics.enable"] == "false"
    assert properties["group.initial.rebalance.delay.ms"] == "0"
    assert int(properties["group.min.session.timeout.ms"]) <= 6000
    assert int(properties["offsets.retention.minutes"]) == 30 * 24 * 60
    replication = {value for name, value in properties.items() if name.endswith((".replication.factor", ".min.isr"))}
    assert replication == {"1"}
