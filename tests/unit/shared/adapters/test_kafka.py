from __future__ import annotations

from shared.adapters.kafka import client_config, event_headers, full_name, read_headers
from shared.domain.topics import Topic


def test_the_prefix_stands_before_the_topics_name() -> None:
    assert full_name("test-1.", Topic.AUDIT) == "test-1.channels.audit"
    assert full_name("", Topic.AUDIT) == "channels.audit"


def test_every_caller_gets_settings_of_its_own() -> None:
    config = client_config("127.0.0.1:9", "router-0")
    config["client.id"] = "changed"
    assert client_config("127.0.0.1:9", "router-0")["client.id"] == "router-0"
    assert config["bootstrap.servers"] == "127.0.0.1:9"


def test_the_headers_are_cloud_events_attributes() -> None:
    headers = event_headers(
        event_id="1", event_type="message.received", source="channels/router", subject="ação", time_ms=1_767_225_600_007
    )
    assert headers == [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"message.received"),
        ("ce_source", b"channels/router"),
        ("ce_subject", "ação".encode()),
        ("ce_id", b"1"),
        ("ce_time", b"2026-01-01T00:00:00.007Z"),
    ]


def test_the_trace_context_travels_along() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = event_headers(event_id="1", event_type="t", source="s", subject="x", time_ms=0, traceparent=trace)
    assert read_headers(headers)["traceparent"] == trace
    assert read_headers(headers)["ce_time"] == "1970-01-01T00:00:00.000Z"


def test_headers_are_read_as_text_whatever_they_hold() -> None:
    assert read_headers(None) == {}
    assert read_headers([("a", b"1"), ("a", b"2"), ("b", None), ("c", b"\xff")]) == {"a": "1", "c": "\ufffd"}
