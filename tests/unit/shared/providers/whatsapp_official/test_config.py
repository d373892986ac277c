"""What may be configured for Meta, and the one spelling of a number."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.enums import Feature, TokenKind
from shared.domain.errors import InvalidInput
from shared.providers import provider_of

PROVIDER = provider_of("whatsapp_official")
CANARY = "EAAGm0PX4ZCpsBAKZA1canary"


def refusal(config: dict[str, Any]) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        PROVIDER.check_config(config)
    return caught.value


class TestConnectorConfig:
    def test_the_whole_of_it(self) -> None:
        config = {"waba_id": " 200000000000001 ", "app_id": "700000000000001", "graph_version": "v25.0"}
        assert PROVIDER.check_config(config) == config | {"waba_id": "200000000000001"}

    def test_ids_may_be_written_as_numbers(self) -> None:
        assert PROVIDER.check_config({"waba_id": 200000000000001}) == {"waba_id": "200000000000001"}

    @pytest.mark.req(14, 87)
    @pytest.mark.parametrize(
        ("config", "pointer"),
        [
            ({}, "/waba_id"),
            ({"waba_id": None}, "/waba_id"),
            ({"waba_id": "not digits"}, "/waba_id"),
            ({"waba_id": "٣" * 8}, "/waba_id"),
            ({"waba_id": "200000000000001\n2"}, "/waba_id"),
            ({"waba_id": True}, "/waba_id"),
            ({"waba_id": "200000000000001", "graph_version": "25"}, "/graph_version"),
            ({"waba_id": "200000000000001", "app_id": {}}, "/app_id"),
            ({"waba_id": "200000000000001", "dialect": "evolution"}, "/dialect"),
            ({"waba_id": "200000000000001", "a/b~c": 1}, "/a~1b~0c"),
        ],
    )
    def test_a_fault_is_pointed_at(self, config: dict[str, Any], pointer: str) -> None:
        error = refusal(config)
        assert (error.pointer, error.reason) == (pointer, "config_invalid")

    @pytest.mark.req(15)
    @pytest.mark.parametrize(
        ("config", "pointer"),
        [
            ({"access_token": CANARY}, "/access_token"),
            ({"AppSecret": CANARY}, "/AppSecret"),
            ({"verify_token": CANARY}, "/verify_token"),
            ({"senha": CANARY}, "/senha"),
            ({"pin": "123456"}, "/pin"),
            ({"api-key": CANARY}, "/api-key"),
            ({"app_id": CANARY}, "/app_id"),
            ({"app_id": f"Bearer {CANARY}"}, "/app_id"),
            ({"extra": {"deep": [{"token": CANARY}]}}, "/extra/deep/0/token"),
        ],
    )
    def test_a_credential_is_refused_and_never_repeated(self, config: dict[str, Any], pointer: str) -> None:
        error = refusal({"waba_id": "200000000000001"} | config)
        assert (error.pointer, error.reason) == (pointer, "secret_in_config")
        assert CANARY not in str(error)

    def test_a_refused_value_is_never_repeated(self) -> None:
        error = refusal({"waba_id": "canary-in-the-wrong-field"})
        assert "canary" not in f"{error!r} {error.__cause__!r}"
        assert error.__suppress_context__

    def test_nesting_without_end_ends(self) -> None:
        config: dict[str, Any] = {"waba_id": "200000000000001"}
        config["again"] = config
        assert refusal(config).pointer == "/again"


class TestAccountConfig:
    def test_the_number_is_named_by_metas_id(self) -> None:
        config = PROVIDER.check_account_config({"phone_number_id": 100000000000001})
        assert config == {"phone_number_id": "100000000000001"}
        assert PROVIDER.account_refs("5511900000001", config) == ("phone_number_id:100000000000001",)

    def test_an_unchecked_row_without_it_has_no_name(self) -> None:
        assert PROVIDER.account_refs("5511900000001", {}) == ()

    @pytest.mark.parametrize("config", [{}, {"phone_number_id": "x"}, {"phone_number_id": "100000000000001", "waba_id": "1"}])
    def test_anything_else_is_refused(self, config: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput):
            PROVIDER.check_account_config(config)


class TestIdentity:
    @pytest.mark.req(19)
    @pytest.mark.parametrize(
        "written",
        ["5511900000001", "+5511900000001", "+55 11 90000-0001", " +55 (11) 90000.0001 ", "55\u00a011\u00a090000-0001"],
    )
    def test_every_spelling_of_a_number_is_one(self, written: str) -> None:
        assert PROVIDER.normalise_identity(written) == "5511900000001"

    @pytest.mark.parametrize("written", ["", "+", "abc", "123456", "1" * 16, "0511900000001", "55119000٣0001", "++5511900000001"])
    def test_what_is_no_number_is_refused(self, written: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            PROVIDER.normalise_identity(written)
        assert caught.value.pointer == "/identidade"


class TestRecord:
    def test_all_six_features_have_a_preset(self) -> None:
        assert [preset.feature for preset in PROVIDER.capabilities] == list(Feature)
        assert all(preset.enabled for preset in PROVIDER.capabilities)

    def test_a_connector_needs_an_access_token(self) -> None:
        assert PROVIDER.required_token is TokenKind.ACCESS_TOKEN

    def test_redacted_names_are_lower_case(self) -> None:
        assert {name.lower() for name in PROVIDER.redact} == PROVIDER.redact
        assert {"authorization", "access_token", "x-hub-signature-256"} <= PROVIDER.redact
