"""Whose address a request came from, and who is believed about it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.ingest.client_address import ClientAddresses, networks_in
from services.ingest.settings import IngestSettings

CLIENT, PROXY, SECOND_PROXY = "198.51.100.7", "203.0.113.9", "10.0.0.9"
BEHIND = ClientAddresses(("203.0.113.0/24", "10.0.0.0/8"))


def forwarded(value: bytes) -> dict[str, bytes]:
    return {"x-forwarded-for": value}


@pytest.mark.parametrize(
    ("peer", "told"),
    [
        (CLIENT, CLIENT),
        ("::ffff:198.51.100.7", CLIENT),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1%eth0", "2001:db8:1:2::/64"),
        *((private, None) for private in ("127.0.0.1", "::1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "fe80::1", "fd00::1")),
        *((unknown, None) for unknown in (None, "", "/run/edge.sock", "not an address")),
    ],
)
def test_without_proxies_it_is_the_sockets_other_end(peer: str | None, told: str | None) -> None:
    assert ClientAddresses().of(peer, forwarded(b"192.0.2.66")) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"198.51.100.7", CLIENT),
        (b"192.0.2.66, 198.51.100.7", CLIENT),  # what a client wrote itself stands first
        (b"192.0.2.66, 198.51.100.7, 10.0.0.9", CLIENT),
        (b"198.51.100.7:51234", CLIENT),
        (b"[2001:db8:1:2::5]:443", "2001:db8:1:2::/64"),
        (b"198.51.100.7, unknown", None),
        (b"192.0.2.66,", None),
        (b"10.0.0.9", None),
        (b"192.168.1.1", None),
        (b"\xff\xfe", None),
        (b"", None),
        (b"192.0.2.66, " * 500 + b"198.51.100.7", CLIENT),
        (b"198.51.100.7" + b", 10.0.0.9" * 40, None),  # no proxy chain of ours
    ],
)
def test_a_proxy_is_believed_from_the_end_of_its_header(value: bytes, told: str | None) -> None:
    assert BEHIND.of(PROXY, forwarded(value)) == told


def test_nobody_else_is_believed() -> None:
    assert BEHIND.of(CLIENT, forwarded(b"192.0.2.66")) == CLIENT
    assert BEHIND.of(PROXY, {}) is None
    own = ClientAddresses(("203.0.113.0/24",), "x-real-ip")
    assert own.of(PROXY, {**forwarded(b"192.0.2.66"), "x-real-ip": b"198.51.100.7"}) == CLIENT


def test_the_settings_name_networks_or_are_refused() -> None:
    assert networks_in(" 10.0.0.0/8 ,2001:DB8::/32,") == ("10.0.0.0/8", "2001:db8::/32")
    settings = IngestSettings(
        kafka_bootstrap="kafka.example:9092", ingest_proxies="203.0.113.9, 10.0.0.0/8", ingest_client_header="X-Real-IP"
    )
    assert settings.addresses().of(PROXY, {"x-real-ip": CLIENT.encode()}) == CLIENT
    for wrong in ("10.0.0.1/8", "proxy.example.com"):
        with pytest.raises(ValidationError, match="ingest_proxies"):
            IngestSettings(kafka_bootstrap="kafka.example:9092", ingest_proxies=wrong)
