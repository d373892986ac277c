"""Health and set-up of a bot: what is asked, and what is made of the answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.domain.enums import HealthStatus
from shared.domain.errors import InvalidInput
from shared.providers import provider_of
from shared.providers.calling import CallContext, ProviderResponse, TransportFault, placed
from shared.providers.checking import overall
from shared.providers.setting_up import SetupOrder
from shared.providers.telegram.setting_up import EVENTS

CONNECTOR = "01990000-0000-7000-8000-00000000000b"
URL = f"https://hooks.example.com/webhooks/{CONNECTOR}"
CONTEXT = CallContext(
    connector_id=CONNECTOR,
    account_id=None,
    identidade=None,
    settings={"bot_id": "5500000001", "max_connections": 20},
    account_config={},
    now_ms=1_790_000_000_000,
)
PROVIDER = provider_of("telegram")
CHECKING, SETTING_UP = PROVIDER.checking, PROVIDER.setting_up
assert CHECKING is not None
assert SETTING_UP is not None


def ok(result: object) -> ProviderResponse:
    return ProviderResponse(status=200, body=json.dumps({"ok": True, "result": result}).encode())


def error(status: int, description: str) -> ProviderResponse:
    document = {"ok": False, "error_code": status, "description": description}
    return ProviderResponse(status=status, body=json.dumps(document).encode())


ME = {"id": 5_500_000_001, "is_bot": True, "first_name": "Example", "can_read_all_group_messages": True}
INFO: dict[str, Any] = {"url": URL, "has_custom_certificate": False, "pending_update_count": 0, "allowed_updates": list(EVENTS)}


class TestChecks:
    def grade(self, info: object = None, me: object = None) -> dict[str, tuple[HealthStatus | None, str]]:
        answers = {
            "get_me": me if isinstance(me, ProviderResponse | TransportFault) else ok(me or ME),
            "webhook_info": info if isinstance(info, ProviderResponse | TransportFault) else ok(info or INFO),
        }
        return {one.check: (one.status, one.cause) for one in CHECKING.grade(answers, CONTEXT)}

    def test_two_harmless_questions_are_asked(self) -> None:
        calls = CHECKING.build(CONTEXT)
        assert [(call.step, call.idempotent) for call in calls] == [("webhook_info", True), ("get_me", True)]

    def test_all_is_well(self) -> None:
        assert self.grade() == {"token": (HealthStatus.PASSED, "ok"), "webhook": (HealthStatus.PASSED, "ok")}

    @pytest.mark.parametrize("answer", [error(401, "Unauthorized"), error(404, "Not Found")])
    def test_a_dead_token_fails(self, answer: ProviderResponse) -> None:
        assert self.grade(answer, answer) == dict.fromkeys(("token", "webhook"), (HealthStatus.FAILED, "token_invalid"))

    def test_another_bots_token_fails(self) -> None:
        assert self.grade(me={**ME, "id": 1})["token"] == (HealthStatus.FAILED, "wrong_bot")

    @pytest.mark.parametrize(
        ("changed", "status", "cause"),
        [
            ({"url": ""}, HealthStatus.FAILED, "webhook_missing"),
            ({"url": "https://other.example/x"}, HealthStatus.FAILED, "subscription_mismatch"),
            ({"pending_update_count": 50}, HealthStatus.WARNING, "updates_waiting"),
            ({"pending_update_count": 49}, HealthStatus.PASSED, "ok"),
            ({"last_error_date": 1_789_999_500, "last_error_message": "Wrong response"}, HealthStatus.WARNING, "delivery_errors"),
            ({"last_error_date": 1_789_999_300}, HealthStatus.PASSED, "ok"),
            ({"last_synchronization_error_date": 1_789_999_999}, HealthStatus.WARNING, "delivery_errors"),
            ({"allowed_updates": ["message"]}, HealthStatus.WARNING, "events_missing"),
            ({"allowed_updates": []}, HealthStatus.WARNING, "events_missing"),
        ],
    )
    def test_the_webhook_is_graded(self, changed: dict[str, Any], status: HealthStatus, cause: str) -> None:
        assert self.grade({**INFO, **changed})["webhook"] == (status, cause)

    @pytest.mark.parametrize(
        "answer", [TransportFault(kind="timeout", may_have_left=True), error(500, "x"), ProviderResponse(status=502, body=b"<")]
    )
    def test_nobody_can_tell_while_telegram_does_not_answer(self, answer: Any) -> None:
        graded = self.grade(answer, answer)
        assert {status for status, _ in graded.values()} == {None}
        assert overall(CHECKING.grade({}, CONTEXT)) is None


class TestSetUp:
    ORDER = SetupOrder(callback_url=URL)

    def test_the_webhook_is_set_with_its_secret(self) -> None:
        call = SETTING_UP.build(self.ORDER, CONTEXT)[0]
        made = placed(call, {"access_token": "1:a", "sign": "the_secret"})
        assert (call.step, call.idempotent) == ("set_webhook", True)
        assert json.loads(made.body) == {  # type: ignore[arg-type]
            "url": URL,
            "allowed_updates": list(EVENTS),
            "drop_pending_updates": False,
            "max_connections": 20,
            "secret_token": "the_secret",
        }
        assert "the_secret" not in repr(made) + repr(call)

    @pytest.mark.parametrize(
        "url", ["http://hooks.example.com/x", "https://hooks.example.com:8080/x", "https://", "x", "https://a:b/x"]
    )
    def test_what_telegram_would_refuse_is_not_asked(self, url: str) -> None:
        with pytest.raises(InvalidInput) as raised:
            SETTING_UP.build(SetupOrder(callback_url=url), CONTEXT)
        assert raised.value.reason == "callback_url_invalid"

    @pytest.mark.parametrize("port", ["", ":443", ":80", ":88", ":8443"])
    def test_the_documented_ports_are_taken(self, port: str) -> None:
        assert SETTING_UP.build(SetupOrder(callback_url=f"https://hooks.example.com{port}/x"), CONTEXT)

    def read(self, info: dict[str, Any], me: dict[str, Any] = ME) -> Any:
        return SETTING_UP.read({"set_webhook": ok(True), "webhook_info": ok(info), "get_me": ok(me)}, self.ORDER)

    def test_what_was_set_is_complete(self) -> None:
        state = self.read({**INFO, "pending_update_count": 3})
        assert (state.complete, state.registered_url, state.pending_count, state.by_hand) == (True, URL, 3, ())

    def test_drift_is_named(self) -> None:
        assert self.read({**INFO, "url": "https://other.example"}).missing == ("callback_url",)
        assert self.read({**INFO, "url": ""}).registered_url is None
        lacking = self.read({**INFO, "allowed_updates": [name for name in EVENTS if name != "message_reaction"]})
        assert lacking.missing == ("event:message_reaction",)
        without = {name: value for name, value in INFO.items() if name != "allowed_updates"}
        assert self.read(without).missing == ("event:chat_member", "event:message_reaction", "event:message_reaction_count")

    def test_privacy_in_groups_is_for_a_person_to_change(self) -> None:
        assert "/setprivacy" in self.read(INFO, {**ME, "can_read_all_group_messages": False}).by_hand[0]

    def test_a_call_that_failed_is_told_with_what_is_known(self) -> None:
        state = SETTING_UP.read({"set_webhook": error(429, "Too Many Requests"), "webhook_info": ok(INFO)}, self.ORDER)
        assert not state.complete
        assert state.fault is not None
        assert (state.fault.code, state.registered_url) == ("429", URL)
        assert SETTING_UP.read({}, self.ORDER).missing == ("callback_url",)


def test_a_token_is_never_renewed() -> None:
    assert PROVIDER.renewing is None
