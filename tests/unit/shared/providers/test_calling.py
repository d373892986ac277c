"""Calls as values: credentials go in at the last moment and are told nowhere."""

from __future__ import annotations

import json

import pytest

from shared.domain.errors import CorruptData, InvalidInput
from shared.providers.calling import (
    Carry,
    Mail,
    Part,
    Placement,
    ProviderCall,
    ProviderResponse,
    carried,
    json_at,
    json_object,
    placed,
    retry_after_seconds,
)

SECRET = "invented-secret-value"


def call(*placements: Placement, **parts: object) -> ProviderCall:
    given: dict[str, object] = {"step": "send", "method": "POST", "url": "https://api.example.com/x", "placements": placements}
    return ProviderCall(**(given | parts))  # type: ignore[arg-type]


class TestPlacing:
    def test_header_query_path_form_json_and_login(self) -> None:
        def at(place: str, name: str, template: str = "{}") -> Placement:
            return Placement(credential="token", place=place, name=name, template=template)  # type: ignore[arg-type]

        held = {"token": "a b"}
        assert placed(call(at("header", "Authorization", "Bearer {}")), held).headers == (("Authorization", "Bearer a b"),)
        assert placed(call(at("query", "key")), held).url == "https://api.example.com/x?key=a+b"
        assert placed(call(at("query", "key"), url="https://h/x?a=1"), held).url == "https://h/x?a=1&key=a+b"
        assert placed(call(at("path", "token"), url="https://h/bot{token}/send"), held).url == "https://h/bota%20b/send"
        assert placed(call(at("form", "key"), body=(("a", "1"),)), held).body == (("a", "1"), ("key", "a b"))
        assert placed(call(at("json", "key"), body=b'{"a":1}'), held).body == b'{"a":1,"key":"a b"}'
        assert placed(call(at("login", "me@example.com")), held).login == ("me@example.com", "a b")

    def test_a_derived_value_sees_all_credentials(self) -> None:
        proof = Placement(credential="app_secret", place="query", name="proof", derive=lambda held: held["token"] + "!")
        assert placed(call(proof), {"token": "t", "app_secret": "s"}).url.endswith("?proof=t%21")

    @pytest.mark.parametrize("derive", [None, lambda held: held["token"]])
    def test_a_missing_credential_is_named(self, derive: object) -> None:
        placement = Placement(credential="token", place="header", name="X", derive=derive)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="'token'") as caught:
            placed(call(placement), {})
        assert caught.value.reason == "credential_missing"

    def test_no_repr_tells_a_credential_or_a_body(self) -> None:
        header = Placement(credential="token", place="header", name="Authorization", template="Bearer {}")
        ready = placed(call(header, body=SECRET.encode()), {"token": SECRET})
        mail = Mail(sender="a@example.com", recipients=("b@example.com",), data=SECRET.encode())
        told = [
            ready,
            ready.call,
            mail,
            Part(name="file", content=SECRET.encode()),
            ProviderResponse(status=200, body=SECRET.encode()),
        ]
        assert SECRET not in repr(told)


class TestCarrying:
    def test_a_value_of_an_earlier_answer_takes_the_markers_place(self) -> None:
        later = call(
            body=json.dumps({"image": {"id": "MARK"}}).encode(), carries=(Carry(step="upload", pointer="/id", marker="MARK"),)
        )
        done = carried(later, {"upload": ProviderResponse(status=200, body=b'{"id": 300000000000001}')})
        assert json.loads(done.body) == {"image": {"id": "300000000000001"}}  # type: ignore[arg-type]
        assert done.carries == ()
        assert (done.url, done.placements) == (later.url, later.placements)

    def test_an_answer_without_the_value_is_corrupt(self) -> None:
        later = call(body=b'{"id":"MARK"}', carries=(Carry(step="upload", pointer="/id", marker="MARK"),))
        with pytest.raises(CorruptData, match="/id"):
            carried(later, {"upload": ProviderResponse(status=200, body=b"{}")})

    def test_without_carries_nothing_changes(self) -> None:
        assert carried(call(body=b"{}"), {}) == call(body=b"{}")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("  7 ", 7.0),
        ("99999999", 86_400.0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float) -> None:
    answer = ProviderResponse(status=429, body=b"", headers={"retry-after": value}, received_at_ms=1_767_225_600_000)
    assert retry_after_seconds(answer) == seconds


@pytest.mark.parametrize("value", ["", "soon", "-1", "1.5", "\u0661"])
def test_any_other_retry_after_is_none(value: str) -> None:
    assert retry_after_seconds(ProviderResponse(status=429, body=b"", headers={"retry-after": value})) is None
    assert retry_after_seconds(ProviderResponse(status=429, body=b"")) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"null", b"[" * 100_000, b"\xff"])
def test_an_answer_that_is_no_object_is_empty(body: bytes) -> None:
    assert json_object(body) == {}
    assert json_at(body, "/a/0") is None


def test_a_pointer_goes_through_lists() -> None:
    body = b'{"messages": [{"id": "a"}]}'
    assert (json_at(body, "/messages/0/id"), json_at(body, "/messages/1/id"), json_at(body, "/messages/x")) == ("a", None, None)
