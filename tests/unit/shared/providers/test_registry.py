"""Providers are found by the owner's names."""

from __future__ import annotations

import pytest

import shared.providers
from shared.domain.enums import ConnectorType
from shared.domain.errors import InvalidInput
from shared.providers import PROVIDERS, provider_of
from shared.providers.receiving import receiving_of


def test_each_provider_is_found_by_its_type() -> None:
    assert [provider_of(provider.tipo) for provider in PROVIDERS] == list(PROVIDERS)
    assert provider_of("whatsapp_official").tipo is ConnectorType.WHATSAPP_OFFICIAL


@pytest.mark.req(11)
@pytest.mark.parametrize(("tipo", "reason"), [("future", "tipo_reserved"), ("sms", "tipo_unknown"), ("", "tipo_unknown")])
def test_a_type_without_provider_is_refused(tipo: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        provider_of(tipo)
    assert (caught.value.reason, caught.value.pointer) == (reason, "/tipo")


def test_the_edge_gets_none_for_a_type_without_provider() -> None:
    assert receiving_of(ConnectorType.FUTURE) is None


def test_the_package_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match="nothing_else"):
        _ = shared.providers.nothing_else
