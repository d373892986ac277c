"""Settings of a webchat."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.errors import InvalidInput
from shared.providers.webchat import config

GOOD: dict[str, Any] = {"widget_ids": ["wgt_example1"], "origins": ["https://www.example.com"]}


def test_a_widget_and_a_page_are_enough() -> None:
    assert config.check_config(GOOD) == {**GOOD, "dialect": "browser"}
    server = config.check_config({"dialect": "server", "widget_ids": ["wgt_example1"]})
    assert server == {"dialect": "server", "widget_ids": ["wgt_example1"], "origins": []}
    assert config.check_account_config({}) == {}


@pytest.mark.parametrize("origin", ["https://www.example.com:8443", "http://localhost:3000", "http://127.0.0.1"])
def test_pages_may_stand_here(origin: str) -> None:
    assert config.check_config({**GOOD, "origins": [origin]})["origins"] == [origin]


@pytest.mark.parametrize(
    ("changed", "reason", "pointer"),
    [
        ({"origins": []}, "config_invalid", "/origins"),
        ({"origins": ["http://www.example.com"]}, "config_invalid", "/origins/0"),
        ({"origins": ["https://www.example.com/"]}, "config_invalid", "/origins/0"),
        ({"origins": ["https://WWW.example.com"]}, "config_invalid", "/origins/0"),
        ({"origins": ["*"]}, "config_invalid", "/origins/0"),
        ({"widget_ids": []}, "config_invalid", "/widget_ids"),
        ({"widget_ids": ["a:b:c"]}, "config_invalid", "/widget_ids/0"),
        ({"dialect": "other"}, "config_invalid", "/dialect"),
        ({"delivery_url": "http://example.com/in"}, "config_invalid", "/delivery_url"),
        ({"issuer": "whsec_" + "A" * 32}, "secret_in_config", "/issuer"),
        ({"session_token": "x"}, "secret_in_config", "/session_token"),
    ],
)
def test_what_is_wrong_is_named(changed: dict[str, Any], reason: str, pointer: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        config.check_config({**GOOD, **changed})
    assert (raised.value.reason, raised.value.pointer) == (reason, pointer)


def test_a_widget_is_the_account() -> None:
    assert config.normalise_identity(" wgt_Example1 ") == "wgt_Example1"
    assert config.account_refs("wgt_Example1", {}) == ("widget_id:wgt_Example1",)
    for wrong in ("", "a b c d", "abc", "é" * 5):
        with pytest.raises(InvalidInput, match="identidade"):
            config.normalise_identity(wrong)
