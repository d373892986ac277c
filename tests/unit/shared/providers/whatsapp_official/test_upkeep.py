"""Renewing, health and set-up: the documented calls, and a judgement of every answer."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.domain.enums import ErrorClass, HealthStatus
from shared.domain.errors import InvalidInput
from shared.providers import provider_of
from shared.providers.calling import CallContext, ProviderAnswer, ProviderResponse, TransportFault, placed
from shared.providers.checking import Graded, overall
from shared.providers.renewing import NotRenewed, Renewed
from shared.providers.setting_up import SetupOrder
from shared.providers.whatsapp_official.setup import EVENTS

PROVIDER = provider_of("whatsapp_official")
WABA, APP, NUMBER = "200000000000001", "400000000000001", "100000000000001"
HELD = {"access_token": "TOKEN", "app_secret": "SECRET", "old_access_token": "OLD", "handshake": "VERIFY"}
NOW_MS = 1_790_000_000_000


def context(**settings: Any) -> CallContext:
    return CallContext(
        connector_id="c",
        account_id="a",
        identidade="551140000001",
        settings={"waba_id": WABA, **settings},
        account_config={"phone_number_id": NUMBER},
        now_ms=NOW_MS,
    )


def answer(document: object, status: int = 200) -> ProviderResponse:
    return ProviderResponse(status=status, body=document if isinstance(document, bytes) else json.dumps(document).encode())


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


class TestRenewing:
    renewing = PROVIDER.renewing
    assert renewing is not None

    def test_the_call_is_the_documented_exchange(self) -> None:
        ready = placed(self.renewing.build(context(app_id=APP)), HELD)
        assert urlsplit(ready.url).path == "/v25.0/oauth/access_token"
        assert query_of(ready.url) == {
            "grant_type": "fb_exchange_token",
            "client_id": APP,
            "client_secret": "SECRET",
            "set_token_expires_in_60_days": "true",
            "fb_exchange_token": "TOKEN",
        }
        assert ready.headers == ()

    def test_the_old_token_is_revoked_by_the_new_one(self) -> None:
        assert self.renewing.build_revoke is not None
        query = query_of(placed(self.renewing.build_revoke(context(app_id=APP)), HELD).url)
        assert query == {"client_id": APP, "client_secret": "SECRET", "revoke_token": "OLD", "access_token": "TOKEN"}

    def test_without_the_app_nothing_can_be_renewed(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            self.renewing.build(context())
        assert (caught.value.reason, caught.value.pointer) == ("setting_missing", "/app_id")

    def test_a_new_token_and_its_life(self) -> None:
        outcome = self.renewing.read(answer({"access_token": "NEW-VALUE", "token_type": "bearer", "expires_in": 5_184_000}))
        assert isinstance(outcome, Renewed)
        assert (outcome.tokens[0].value, outcome.tokens[0].expires_in_seconds) == ("NEW-VALUE", 5_184_000)
        assert "NEW-VALUE" not in repr(outcome)
        for_ever = self.renewing.read(answer({"access_token": "NEW-VALUE"}))
        assert isinstance(for_ever, Renewed)
        assert for_ever.tokens[0].expires_in_seconds is None

    @pytest.mark.parametrize(
        ("given", "kind"),
        [
            (answer({"error": {"code": 190, "error_subcode": 463, "message": "Expired"}}, 400), ErrorClass.AUTH),
            (answer({"error": {"code": 4, "message": "Limit"}}, 400), ErrorClass.RATE_LIMITED),
            (answer(b"<html>", 503), ErrorClass.RETRYABLE),
            (answer({}), ErrorClass.RETRYABLE),
            (answer({"access_token": ""}), ErrorClass.RETRYABLE),
            (TransportFault(kind="timeout", may_have_left=True), ErrorClass.UNKNOWN_OUTCOME),
        ],
    )
    def test_no_new_token(self, given: ProviderAnswer, kind: ErrorClass) -> None:
        outcome = self.renewing.read(given)
        assert isinstance(outcome, NotRenewed)
        assert outcome.fault.error_class is kind


HEALTHY: dict[str, Any] = {
    "id": NUMBER,
    "status": "CONNECTED",
    "quality_rating": "GREEN",
    "name_status": "APPROVED",
    "platform_type": "CLOUD_API",
    "health_status": {"can_send_message": "AVAILABLE", "entities": [{"entity_type": "APP", "can_send_message": "AVAILABLE"}]},
}
SUBSCRIBED = {"data": [{"whatsapp_business_api_data": {"id": APP, "name": "Example"}}]}
TOKEN: dict[str, Any] = {
    "is_valid": True,
    "expires_at": 0,
    "scopes": ["whatsapp_business_messaging", "whatsapp_business_management"],
    "granular_scopes": [{"scope": "whatsapp_business_messaging", "target_ids": [WABA]}],
}


def entity(ability: str, *codes: int, kind: str = "WABA") -> dict[str, Any]:
    errors = [{"error_code": code, "error_description": "Invented"} for code in codes]
    given = {"entity_type": kind, "can_send_message": ability, **({"errors": errors} if codes else {})}
    return {"health_status": {"can_send_message": ability, "entities": [given]}}


class TestHealth:
    checking = PROVIDER.checking
    assert checking is not None

    def grade(self, given: dict[str, ProviderAnswer], **settings: Any) -> tuple[Graded, ...]:
        return self.checking.grade(given, context(**settings))

    def test_the_questions_change_nothing(self) -> None:
        calls = self.checking.build(context(app_id=APP))
        assert [call.step for call in calls] == ["number", "subscription", "token"]
        assert all(call.method == "GET" and call.idempotent for call in calls)
        assert query_of(placed(calls[2], HELD).url) == {"input_token": "TOKEN", "access_token": f"{APP}|SECRET"}
        assert [call.step for call in self.checking.build(context())] == ["number", "subscription"]

    def test_all_is_well(self) -> None:
        given = {"number": answer(HEALTHY), "subscription": answer(SUBSCRIBED), "token": answer({"data": TOKEN})}
        results = self.grade(given, app_id=APP)
        assert [(result.check, result.status) for result in results] == [
            ("number", HealthStatus.PASSED),
            ("subscription", HealthStatus.PASSED),
            ("token", HealthStatus.PASSED),
        ]
        assert overall(results) is HealthStatus.PASSED

    @pytest.mark.parametrize(
        ("change", "status", "cause"),
        [
            ({"status": "FLAGGED"}, HealthStatus.WARNING, "status_flagged"),
            ({"status": "BANNED"}, HealthStatus.FAILED, "status_banned"),
            ({"status": "DISCONNECTED"}, HealthStatus.FAILED, "status_disconnected"),
            ({"status": "BRAND_NEW"}, HealthStatus.WARNING, "status_brand_new"),
            ({"status": 7}, HealthStatus.WARNING, "status_"),
            ({"platform_type": "ON_PREMISE"}, HealthStatus.FAILED, "not_on_cloud_api"),
            ({"quality_rating": "RED"}, HealthStatus.WARNING, "quality_red"),
            ({"quality_rating": "YELLOW"}, HealthStatus.WARNING, "quality_yellow"),
            ({"name_status": "DECLINED"}, HealthStatus.WARNING, "name_declined"),
            (entity("BLOCKED", 141006), HealthStatus.FAILED, "waba_blocked"),
            (entity("LIMITED", 141010, kind="BUSINESS"), HealthStatus.WARNING, "business_limited"),
            (entity("BLOCKED"), HealthStatus.FAILED, "waba_blocked"),
            (entity("BLOCKED", 138024, 138025), HealthStatus.PASSED, "connected"),  # telephony only
            (entity("BLOCKED", 138024, 141006), HealthStatus.FAILED, "waba_blocked"),
            ({"health_status": ["odd"]}, HealthStatus.PASSED, "connected"),
        ],
    )
    def test_the_number(self, change: dict[str, Any], status: HealthStatus, cause: str) -> None:
        (result,) = self.grade({"number": answer(HEALTHY | change)})
        assert (result.status, result.cause) == (status, cause)
        assert (result.action is None) == (status is HealthStatus.PASSED)

    @pytest.mark.parametrize(
        ("given", "status", "cause", "action"),
        [
            (answer({"error": {"code": 190}}, 401), HealthStatus.FAILED, "auth", "renew_token"),
            (answer({"error": {"code": 200}}, 403), HealthStatus.FAILED, "account_blocked", "see_account"),
            (answer({"error": {"code": 33}}, 400), HealthStatus.FAILED, "account_blocked", "check_number"),
            (answer(b"<html>", 503), None, "unreachable", None),
            (answer(b"", 502), None, "unreachable", None),
            (answer({"error": {"code": 80007}}, 400), None, "unreachable", None),
            (TransportFault(kind="timeout", may_have_left=True), None, "unreachable", None),
        ],
    )
    def test_a_question_without_an_answer(
        self, given: ProviderAnswer, status: HealthStatus | None, cause: str, action: str | None
    ) -> None:
        (result,) = self.grade({"number": given})
        assert (result.status, result.cause, result.action) == (status, cause, action)

    @pytest.mark.parametrize(
        "document", [{"data": []}, {}, {"data": ["odd"]}, {"data": [{"whatsapp_business_api_data": {"id": "1"}}]}]
    )
    def test_without_a_subscription_nothing_is_received(self, document: dict[str, Any]) -> None:
        (result,) = self.grade({"subscription": answer(document)}, app_id=APP)
        assert (result.status, result.action) == (HealthStatus.FAILED, "set_up_webhook")

    @pytest.mark.parametrize(
        ("change", "status", "cause"),
        [
            ({"is_valid": False}, HealthStatus.FAILED, "token_invalid"),
            ({"scopes": ["whatsapp_business_messaging"]}, HealthStatus.WARNING, "permission_missing"),
            ({"scopes": None}, HealthStatus.WARNING, "permission_missing"),
            (
                {"granular_scopes": [{"scope": "whatsapp_business_messaging", "target_ids": ["9"]}]},
                HealthStatus.FAILED,
                "business_account_not_granted",
            ),
            ({"granular_scopes": [{"scope": "whatsapp_business_messaging"}]}, HealthStatus.PASSED, "token_valid"),
            ({"expires_at": NOW_MS // 1000 + 6 * 86_400}, HealthStatus.WARNING, "token_expires_soon"),
            ({"expires_at": NOW_MS // 1000 + 8 * 86_400}, HealthStatus.PASSED, "token_valid"),
        ],
    )
    def test_the_token(self, change: dict[str, Any], status: HealthStatus, cause: str) -> None:
        (result,) = self.grade({"token": answer({"data": TOKEN | change})}, app_id=APP)
        assert (result.status, result.cause) == (status, cause)

    def test_odd_lists_in_an_answer_are_graded_and_not_raised(self) -> None:
        odd = {"data": {"is_valid": True, "scopes": [{}, []], "expires_at": 0}}
        apps = {"data": [{"whatsapp_business_api_data": {"id": []}}]}
        token, subscription = (
            self.grade({"token": answer(odd)})[0],
            self.grade({"subscription": answer(apps)}, app_id="1234567")[0],
        )
        assert (token.cause, subscription.cause) == ("permission_missing", "not_subscribed")

    def test_the_worst_counts_and_the_unknown_does_not(self) -> None:
        warning, unknown = (Graded(check="x", status=status, cause="c") for status in (HealthStatus.WARNING, None))
        assert overall((warning, unknown)) is HealthStatus.WARNING
        assert overall((unknown,)) is None


ORDER = SetupOrder(callback_url="https://hooks.example.com/webhooks/c")


class TestSettingUp:
    setting_up = PROVIDER.setting_up
    assert setting_up is not None

    def test_the_business_account_is_subscribed_with_our_address(self) -> None:
        calls = self.setting_up.build(ORDER, context(app_id=APP))
        assert [call.step for call in calls] == ["subscribe", "account", "fields"]
        ready = placed(calls[0], HELD)
        assert ready.url.endswith(f"/{WABA}/subscribed_apps")
        assert json.loads(ready.body) == {"override_callback_uri": ORDER.callback_url, "verify_token": "VERIFY"}
        assert "VERIFY" not in repr(calls)

    def test_the_apps_own_address_is_written_by_its_only_connector(self) -> None:
        calls = self.setting_up.build(ORDER, context(app_id=APP, owns_app=True))
        assert [call.step for call in calls] == ["subscribe", "app", "account", "fields"]
        ready = placed(calls[1], HELD)
        document = json.loads(ready.body)
        assert (document["callback_url"], document["verify_token"]) == (ORDER.callback_url, "VERIFY")
        assert {"messages", "account_update", "message_template_status_update", "user_id_update"} <= set(
            document["fields"].split(",")
        )
        assert query_of(ready.url) == {"access_token": f"{APP}|SECRET"}

    def account(self, url: str | None = ORDER.callback_url) -> ProviderResponse:
        entry: dict[str, Any] = {"whatsapp_business_api_data": {"id": APP}}
        return answer({"data": [entry | ({"override_callback_uri": url} if url else {})]})

    def fields(self, names: tuple[str, ...], url: str = "https://elsewhere.example.com") -> ProviderResponse:
        listed = [{"name": name, "version": "v25.0"} for name in names]
        return answer({"data": [{"object": "whatsapp_business_account", "callback_url": url, "active": True, "fields": listed}]})

    def test_complete(self) -> None:
        state = self.setting_up.read({"account": self.account(), "fields": self.fields(EVENTS)}, ORDER)
        assert state.complete
        assert (state.registered_url, state.by_hand) == (ORDER.callback_url, ())

    def test_what_is_missing_is_named(self) -> None:
        state = self.setting_up.read({"account": self.account(None), "fields": self.fields(EVENTS[1:])}, ORDER)
        assert state.registered_url == "https://elsewhere.example.com"
        assert state.missing == ("callback_url", f"event:{EVENTS[0]}")
        assert len(state.by_hand) == 1
        assert self.setting_up.read({"account": answer({"data": []})}, ORDER).missing == ("subscription", "callback_url")

    def test_the_apps_address_serves_where_there_is_no_override(self) -> None:
        answers = {"account": self.account(None), "fields": self.fields(EVENTS, ORDER.callback_url)}
        assert self.setting_up.read(answers, ORDER).complete

    def test_a_fault_is_told_and_nothing_is_called_complete(self) -> None:
        refused = answer({"error": {"code": 200, "message": "Invented"}}, 403)
        state = self.setting_up.read({"subscribe": refused, "account": self.account()}, ORDER)
        assert state.fault is not None
        assert not state.complete
        assert self.setting_up.read({"account": TransportFault(kind="connect", may_have_left=False)}, ORDER).fault is not None
