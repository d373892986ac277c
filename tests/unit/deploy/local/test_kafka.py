from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from deploy.local.jars import KAFKA_VERSION
from deploy.local.kafka import claim_data, server_properties
from shared.domain.errors import ConfigError


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


@pytest.mark.parametrize(
    ("note", "formatted", "readable"),
    [(None, False, True), (None, True, False), (KAFKA_VERSION, True, True), ("3.9.1", True, True), ("99.0.0", True, False)],
)
def test_data_of_a_newer_kafka_are_refused_with_the_way_out(
    tmp_path: Path, note: str | None, formatted: bool, readable: bool
) -> None:
    """Without a note, formatted data are those of 4.3.1, the first one that was used here."""
    (tmp_path / "data").mkdir()
    if note is not None:
        (tmp_path / "version").write_text(f"{note}\n")
    if formatted:
        (tmp_path / "data" / "meta.properties").write_text("version=1\n")
    with nullcontext() if readable else pytest.raises(ConfigError, match=f"remove {tmp_path}"):
        claim_data(tmp_path)
    if readable:
        assert (tmp_path / "version").read_text() == f"{KAFKA_VERSION}\n"
