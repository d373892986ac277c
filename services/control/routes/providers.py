"""`/v1/providers`: what can be registered, and which settings each takes. The same for every tenant."""

from __future__ import annotations

from services.control.call import Reader
from services.control.route import router_of
from services.control.views import ProviderSchemaView, ProviderView
from shared.domain.enums import ConnectorType
from shared.providers import PROVIDERS, provider_of
from shared.providers.contract import Provider

router = router_of("/v1/providers", "providers")


@router.get("")
def list_them(_: Reader) -> list[ProviderView]:
    """Every type that can be registered."""
    return [_view(provider) for provider in PROVIDERS]


@router.get("/{tipo}")
def read(_: Reader, tipo: ConnectorType) -> ProviderView:
    """One type; 422 `tipo_reserved` for `future`."""
    return _view(provider_of(tipo))


@router.get("/{tipo}/schema")
def schema(_: Reader, tipo: ConnectorType) -> ProviderSchemaView:
    """JSON Schema of `config`, from the very models that check it."""
    return ProviderSchemaView(**provider_of(tipo).settings.schema())


def _view(provider: Provider) -> ProviderView:
    features = [preset.feature for preset in provider.capabilities if preset.enabled]
    return ProviderView(tipo=provider.tipo, required_token=provider.required_token, features=features)
