"""Health and set-up of the three dialects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.domain.enums import HealthStatus
from shared.providers.calling import CallContext, ProviderCall, ProviderResponse, TransportFault, placed
from shared.providers.checking import overall
from shared.providers.setting_up import SetupOrder
from shared.providers.whatsapp_unofficial import receiving
from shared.providers.whatsapp_unofficial.checking import CHECKING
from shared.providers.whatsapp_unofficial.provider import PROVIDER
from shared.providers.whatsapp_unofficial.setting_up import EVOLUTION_EVENTS, SETTING_UP, WAHA_EVENTS

PASSED, WARNING, FAILED = HealthStatus.PASSED, HealthStatus.WARNING, HealthStatus.FAILED
URL = "https://edge.example/webhooks/1"
CREDENTIALS = {"api_key": "THE-KEY", "secret": "THE-SECURITY-TOKEN", "sign": "the secret/1"}
OWN = "551140000001"


def context(dialect: str, auth: str | None = None) -> CallContext:
    settings = {"dialect": dialect, "base_url": "https://server.example"} | ({"webhook_auth": auth} if auth else {})
    return CallContext(
        connector_id="c", account_id="a", identidade=OWN, settings=settings, account_config={"instance": "loja"}, now_ms=0
    )


def answer(document: Any, status: int = 200) -> ProviderResponse:
    return ProviderResponse(status=status, body=json.dumps(document).encode())


def grades(dialect: str, given: Any) -> list[tuple[str, HealthStatus | None, str]]:
    call = CHECKING.build(context(dialect))[0]
    assert call.idempotent
    return [(one.check, one.status, one.cause) for one in CHECKING.grade({call.step: given}, context(dialect))]


class TestChecks:
    @pytest.mark.parametrize(
        ("dialect", "document", "status", "cause"),
        [
            ("evolution", [{"connectionStatus": "open", "token": "THE-KEY"}], PASSED, "connected"),
            ("evolution", [{"connectionStatus": "connecting"}], WARNING, "connecting"),
            ("evolution", [{"connectionStatus": "close", "disconnectionReasonCode": 401}], FAILED, "disconnected"),
            ("evolution", [{"connectionStatus": "undefined"}], FAILED, "state_unknown"),
            ("evolution", [], FAILED, "instance_unknown"),
            ("waha", {"status": "WORKING"}, PASSED, "connected"),
            ("waha", {"status": "STARTING"}, WARNING, "connecting"),
            ("waha", {"status": "SCAN_QR_CODE", "me": None}, FAILED, "pairing_needed"),
            ("waha", {"status": "PASSKEY_REQUIRED"}, FAILED, "pairing_needed"),
            ("waha", {"status": "STOPPED"}, FAILED, "session_stopped"),
            ("waha", {"status": 5}, FAILED, "state_unknown"),
            (
                "zapi",
                {"connected": True, "smartphoneConnected": True, "error": "You are already connected."},
                PASSED,
                "connected",
            ),
            ("zapi", {"connected": True, "smartphoneConnected": False}, WARNING, "phone_offline"),
            ("zapi", {"connected": False, "error": "You are not connected."}, FAILED, "disconnected"),
            ("zapi", "what", FAILED, "disconnected"),
        ],
    )
    def test_each_state_has_its_grade(self, dialect: str, document: Any, status: HealthStatus, cause: str) -> None:
        assert grades(dialect, answer(document)) == [("session", status, cause)]

    @pytest.mark.parametrize(("number", "status"), [(f"{OWN}:4", PASSED), ("5511900000009", FAILED)])
    def test_another_number_on_the_session_is_a_failure(self, number: str, status: HealthStatus) -> None:
        evolution = answer([{"connectionStatus": "open", "ownerJid": f"{number}@s.whatsapp.net"}])
        waha = answer({"status": "WORKING", "me": {"id": f"{number}@c.us"}})
        for dialect, given in (("evolution", evolution), ("waha", waha)):
            call = CHECKING.build(context(dialect))[0]
            assert overall(CHECKING.grade({call.step: given}, context(dialect))) is status

    @pytest.mark.parametrize("dialect", ["evolution", "waha", "zapi"])
    def test_a_server_that_does_not_answer_gives_no_grade(self, dialect: str) -> None:
        for given in (TransportFault(kind="timeout", may_have_left=True), answer({}, 502), answer({}, 503), answer({}, 429)):
            assert grades(dialect, given) == [("session", None, "unreachable")]

    @pytest.mark.parametrize("dialect", ["evolution", "waha", "zapi"])
    @pytest.mark.parametrize(("status", "cause"), [(401, "credential_refused"), (404, "instance_unknown"), (400, "refused")])
    def test_a_refusal_is_a_failure(self, dialect: str, status: int, cause: str) -> None:
        assert grades(dialect, answer({}, status)) == [("session", FAILED, cause)]

    def test_nothing_of_the_token_is_told(self) -> None:
        call = CHECKING.build(context("evolution"))[0]
        given = answer([{"connectionStatus": "close", "token": "THE-KEY", "disconnectionReasonCode": 401}])
        assert "THE-KEY" not in repr(CHECKING.grade({call.step: given}, context("evolution")))

    @pytest.mark.req(36)
    @pytest.mark.parametrize(
        ("url", "status", "cause"),
        [
            ("https://edge.example/webhooks/c/a", PASSED, "subscribed"),
            ("https://other.example/hook", FAILED, "subscription_mismatch"),
            ("", WARNING, "webhook_missing"),
        ],
    )
    def test_where_the_server_posts_is_looked_at(self, url: str, status: HealthStatus, cause: str) -> None:
        session, webhook = CHECKING.build(context("evolution"))
        evolution = {
            session.step: answer([{"connectionStatus": "open"}]),
            webhook.step: answer({"url": url, "enabled": bool(url), "headers": {"X-Channel-Secret": "the secret/1"}}),
        }
        (call,) = CHECKING.build(context("waha"))
        hooks = [{"url": url, "hmac": {"key": "the secret/1"}}] if url else []
        waha = {call.step: answer({"status": "WORKING", "config": {"webhooks": hooks}})}
        for dialect, answers in (("evolution", evolution), ("waha", waha)):
            graded = CHECKING.grade(answers, context(dialect))
            assert [(one.check, one.status, one.cause) for one in graded][-1] == ("webhook", status, cause)
            assert "the secret" not in repr(graded)

    def test_a_server_that_does_not_tell_its_webhook_gives_no_grade_of_it(self) -> None:
        session, webhook = CHECKING.build(context("evolution"))
        answers = {session.step: answer([{"connectionStatus": "open"}]), webhook.step: answer({}, 500)}
        assert [one.check for one in CHECKING.grade(answers, context("evolution"))] == ["session"]


def register(dialect: str, auth: str | None = None) -> tuple[ProviderCall, dict[str, Any]]:
    call = SETTING_UP.build(SetupOrder(callback_url=URL), context(dialect, auth))[0]
    assert call.idempotent
    assert "the secret" not in repr(call) + str(call.body)
    body = placed(call, CREDENTIALS).body
    assert isinstance(body, bytes)
    return call, json.loads(body)


class TestSetup:
    @pytest.mark.parametrize(("auth", "name"), [("header", receiving.SECRET_HEADER), ("jwt", "jwt_key")])
    def test_evolution_gets_the_secret_in_the_header_that_is_verified(self, auth: str, name: str) -> None:
        call, body = register("evolution", auth)
        assert call.url == "https://server.example/webhook/set/loja"
        webhook = body["webhook"]
        assert {key.lower(): value for key, value in webhook["headers"].items()} == {name: "the secret/1"}
        assert (webhook["url"], webhook["base64"], webhook["byEvents"], webhook["enabled"]) == (URL, False, False, True)
        assert webhook["events"] == list(EVOLUTION_EVENTS)

    def test_waha_gets_the_key_of_the_hmac(self) -> None:
        call, body = register("waha")
        (webhook,) = body["config"]["webhooks"]
        assert (call.method, webhook["url"], webhook["hmac"]) == ("PUT", URL, {"key": "the secret/1"})
        assert "message" not in webhook["events"]  # it would repeat what message.any tells

    def test_zapi_gets_the_secret_in_the_url_that_is_verified(self) -> None:
        call, body = register("zapi", "query")
        assert body == {"value": f"{URL}?secret=the%20secret%2F1", "notifySentByMe": True}
        assert "{token}" in call.url
        _, plain = register("zapi", "header")
        assert plain["value"] == URL

    def test_evolution_is_read_back(self) -> None:
        order = SetupOrder(callback_url=URL)
        (call,) = SETTING_UP.build_read_back(context("evolution"))
        whole = answer({"url": URL, "enabled": True, "events": list(EVOLUTION_EVENTS)})
        assert SETTING_UP.read({call.step: whole}, order).complete
        part = answer({"url": "https://other.example", "enabled": False, "events": list(EVOLUTION_EVENTS[1:])})
        state = SETTING_UP.read({call.step: part}, order)
        assert state.missing == ("callback_url", "enabled", "event:MESSAGES_UPSERT")
        assert state.registered_url == "https://other.example"

    def test_an_address_per_event_is_none_of_ours(self) -> None:
        split = {"url": URL, "enabled": True, "events": list(EVOLUTION_EVENTS), "webhookByEvents": True}
        assert SETTING_UP.read({"evolution_webhook": answer(split)}, SetupOrder(callback_url=URL)).missing == ("one_url",)

    def test_waha_is_read_back_among_other_webhooks(self) -> None:
        order = SetupOrder(callback_url=URL)
        (call,) = SETTING_UP.build_read_back(context("waha"))
        ours = {"url": URL, "events": list(WAHA_EVENTS), "hmac": {"key": "x"}}
        whole = answer({"config": {"webhooks": [{"url": "https://other.example"}, ours]}})
        assert SETTING_UP.read({call.step: whole}, order).complete
        assert not SETTING_UP.read({call.step: answer({"config": {"webhooks": [{**ours, "hmac": None}]}})}, order).complete

    def test_of_zapi_nobody_can_see_anything(self) -> None:
        assert SETTING_UP.build_read_back(context("zapi")) == ()
        state = SETTING_UP.read({"zapi_register": answer({"value": True})}, SetupOrder(callback_url=URL))
        assert state.complete
        assert state.by_hand

    @pytest.mark.parametrize("dialect", ["evolution", "waha", "zapi"])
    def test_a_fault_is_told(self, dialect: str) -> None:
        calls = SETTING_UP.build(SetupOrder(callback_url=URL), context(dialect))
        state = SETTING_UP.read({call.step: answer({}, 401) for call in calls}, SetupOrder(callback_url=URL))
        assert state.fault is not None
        assert not state.complete


def test_nothing_is_renewed() -> None:
    assert PROVIDER.renewing is None
