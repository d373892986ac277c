"""Settings of a bot, and how it is called."""

from __future__ import annotations

import pytest

from shared.domain.errors import InvalidInput
from shared.providers.telegram import config


def test_everything_may_be_left_out() -> None:
    assert config.check_config({}) == {}
    assert config.check_account_config({}) == {}


def test_numbers_may_stand_for_text() -> None:
    cleaned = config.check_config({"bot_id": 5_500_000_001, "api_url": "http://bot-api.internal:8081", "max_connections": 20})
    assert cleaned == {"bot_id": "5500000001", "api_url": "http://bot-api.internal:8081", "max_connections": 20}


@pytest.mark.parametrize(
    ("given", "reason", "pointer"),
    [
        ({"bot_id": "12"}, "config_invalid", "/bot_id"),
        ({"api_url": "https://api.telegram.org/bot"}, "config_invalid", "/api_url"),
        ({"api_url": "https://user@example.com"}, "config_invalid", "/api_url"),
        ({"max_connections": 101}, "config_invalid", "/max_connections"),
        ({"other": 1}, "config_invalid", "/other"),
        ({"bot_token": "x"}, "secret_in_config", "/bot_token"),
        ({"bot_id": "5500000001:" + "A" * 35}, "secret_in_config", "/bot_id"),
    ],
)
def test_what_is_wrong_is_named_and_never_shown(given: dict[str, object], reason: str, pointer: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        config.check_config(given)
    assert (raised.value.reason, raised.value.pointer) == (reason, pointer)
    assert "AAAA" not in str(raised.value)


@pytest.mark.parametrize("given", ["@Example_Bot", "example_bot", " https://t.me/Example_Bot ", "T.me/example_bot"])
def test_a_username_has_one_spelling(given: str) -> None:
    assert config.normalise_identity(given) == "example_bot"


def test_a_number_stays_what_it_is() -> None:
    assert config.normalise_identity("5500000001") == "5500000001"


@pytest.mark.parametrize("given", ["", "@", "a b", "0123456", "é" * 5, "a" * 33, "1abc"])
def test_what_is_no_name_is_refused(given: str) -> None:
    with pytest.raises(InvalidInput, match="identidade"):
        config.normalise_identity(given)


def test_a_connector_has_one_bot_and_any_number_of_business_accounts() -> None:
    assert config.account_refs("5500000001", {}) == config.account_refs("example_bot", {}) == ("bot",)
    assert config.account_refs("loja", {"business_connection_id": "B1"}) == ("business_connection:B1",)
