from __future__ import annotations

import pytest

from deploy.local import ports
from deploy.local.ports import choose_port
from shared.domain.errors import ConfigError


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    taken: set[int] = set()
    monkeypatch.setattr(ports, "is_free", lambda port: port not in taken)
    return taken


def _choose(given: int | None = None, before: int | None = None, taken: frozenset[int] = frozenset()) -> int:
    return choose_port(given=given, before=before, purpose="Kafka", variable="CHANNELS_KAFKA_PORT", taken=taken)


def test_a_given_port_comes_first(busy: set[int]) -> None:
    assert _choose(given=9092, before=20001) == 9092


def test_a_given_port_that_is_busy_is_an_error_that_names_the_variable(busy: set[int]) -> None:
    busy.add(9092)
    with pytest.raises(ConfigError, match=r"port 9092 for Kafka is taken.*CHANNELS_KAFKA_PORT"):
        _choose(given=9092, before=20001)


def test_the_port_of_before_is_kept_while_it_is_free(busy: set[int]) -> None:
    assert _choose(before=20001) == 20001
    busy.add(20001)
    assert _choose(before=20001) != 20001


def test_a_free_port_lies_below_those_of_outgoing_connections_and_is_given_once(busy: set[int]) -> None:
    port = _choose(taken=frozenset(range(20000, 31999)))
    assert port == 31999


def test_no_free_port_is_an_error(busy: set[int]) -> None:
    busy.update(range(20000, 32000))
    with pytest.raises(ConfigError, match="no free port for Kafka"):
        _choose()
