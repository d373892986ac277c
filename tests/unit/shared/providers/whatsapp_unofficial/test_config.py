"""Settings of the three dialects: what is possible together, which addresses a server may have, no credential anywhere."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.errors import InvalidInput
from shared.providers.whatsapp_unofficial.capabilities import CAPABILITIES
from shared.providers.whatsapp_unofficial.config import (
    account_refs,
    check_account_config,
    check_config,
)
from shared.providers.whatsapp_unofficial.provider import PROVIDER

GOOD = {"dialect": "evolution", "base_url": "https://evolution.example"}


class TestConnector:
    @pytest.mark.parametrize(
        ("given", "auth", "base_url"),
        [
            (GOOD, "header", "https://evolution.example"),
            (GOOD | {"webhook_auth": "jwt", "base_url": "https://e.example/api/"}, "jwt", "https://e.example/api"),
            ({"dialect": "waha", "base_url": "https://waha.example:8443"}, "hmac", "https://waha.example:8443"),
            ({"dialect": "zapi"}, "query", "https://api.z-api.io"),
            ({"dialect": "zapi", "webhook_auth": "header"}, "header", "https://api.z-api.io"),
            ({"dialect": "waha", "base_url": "http://waha:3000", "private_host": True}, "hmac", "http://waha:3000"),
            ({"dialect": "waha", "base_url": "http://10.0.0.5", "private_host": True}, "hmac", "http://10.0.0.5"),
            ({"dialect": "waha", "base_url": "https://[2606:4700::1]:8443"}, "hmac", "https://[2606:4700::1]:8443"),
        ],
    )
    def test_each_dialect_has_its_defaults(self, given: dict[str, Any], auth: str, base_url: str) -> None:
        checked = check_config(given)
        assert (checked["webhook_auth"], checked["base_url"]) == (auth, base_url)
        assert check_config(checked) == checked

    @pytest.mark.parametrize(
        "base_url",
        [
            *("http://evolution.example", "ftp://evolution.example", "evolution.example", "https://", "", "https:///path"),
            *("https://user:pw@evolution.example", "https://key@evolution.example", "https://evolution.example?apikey=1"),
            *(
                "https://evolution.example#x",
                "https://evolution.example/{token}",
                "https://a b.example",
                "https://e.example:99999",
            ),
            *("https://localhost", "https://localhost.", "https://127.0.0.1", "https://10.1.2.3", "https://[::1]"),
            *(
                "https://192.168.0.9:8080",
                "https://169.254.169.254",
                "https://evolution",
                "https://db.internal",
                "https://nas.local",
            ),
            *("https://2130706433", "https://127.1", "https://0.0.0.0", "https://[fd00::1]", "https://e.example/%2e%2e"),
        ],
    )
    def test_an_address_that_strangers_must_not_choose_is_refused(self, base_url: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            check_config(GOOD | {"base_url": base_url})
        assert caught.value.reason == "config_invalid"
        assert "pw" not in str(caught.value)

    @pytest.mark.parametrize("base_url", ["https://user:pw@waha", "ftp://waha", "http://waha?x=1"])
    def test_a_private_host_may_hold_no_credentials_either(self, base_url: str) -> None:
        with pytest.raises(InvalidInput):
            check_config({"dialect": "waha", "base_url": base_url, "private_host": True})

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ({}, "config_invalid"),
            ({"dialect": "venom", "base_url": "https://a.example"}, "config_invalid"),
            ({"dialect": "waha"}, "config_invalid"),
            (GOOD | {"webhook_auth": "hmac"}, "config_invalid"),
            ({"dialect": "waha", "base_url": "https://a.example", "webhook_auth": "header"}, "config_invalid"),
            ({"dialect": "zapi", "webhook_auth": "jwt"}, "config_invalid"),
            (GOOD | {"unknown": 1}, "config_invalid"),
            (GOOD | {"apikey": "x"}, "secret_in_config"),
            (GOOD | {"token": "x"}, "secret_in_config"),
            (GOOD | {"base_url": "0A1B2C3D-0000-4000-8000-0123456789AB"}, "secret_in_config"),
        ],
    )
    def test_what_does_not_fit_together_is_refused(self, given: dict[str, Any], reason: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            check_config(given)
        assert caught.value.reason == reason


class TestAccount:
    def test_an_instance_may_be_called_as_its_owner_likes(self) -> None:
        assert check_account_config({"instance": " Loja do Zé "}) == {"instance": "Loja do Zé"}
        assert check_account_config({"instance": 7}) == {"instance": "7"}

    @pytest.mark.parametrize("instance", ["", " ", "a/b", "a?b", "a#b", "a\nb", "x" * 129, None, []])
    def test_a_name_that_would_change_the_path_is_refused(self, instance: object) -> None:
        with pytest.raises(InvalidInput):
            check_account_config({"instance": instance})

    def test_it_is_called_by_instance_and_by_canonical_number(self) -> None:
        assert account_refs("551132345678", {"instance": "loja"}) == ("instance:loja", "phone:551132345678")
        assert account_refs("551181234567", {"instance": "loja"}) == ("instance:loja", "phone:5511981234567")
        assert account_refs("5511981234567", {}) == ("phone:5511981234567",)

    @pytest.mark.parametrize("given", ["+55 (11) 90000-0001", "5511900000001"])
    def test_a_number_has_one_spelling(self, given: str) -> None:
        assert PROVIDER.normalise_identity(given) == "5511900000001"

    @pytest.mark.parametrize("given", ["", "0511", "abc", "1" * 16])
    def test_what_is_no_number_is_refused(self, given: str) -> None:
        with pytest.raises(InvalidInput):
            PROVIDER.normalise_identity(given)


def test_no_templates_and_no_read_marks_for_hidden_ids() -> None:
    by_feature = {preset.feature.value: preset for preset in CAPABILITIES}
    assert not by_feature["templates"].enabled
    assert by_feature["read_receipts"].constraints["not_for_alias_kinds"] == ["lid"]
