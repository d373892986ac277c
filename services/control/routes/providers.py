"""`/v1/providers`: what can be registered, and which settings each takes. The same for every tenant."""

from __future__ import annotations

from fastapi import Response

from services.control.call import Reader, written
from services.control.route import router_of
from services.control.views import Json, ProviderSchemaView, ProviderView
from shared.domain.enums import ConnectorType
from shared.providers import PROVIDERS, provider_of
from shared.providers.contract import Provider

router = router_of("/v1/providers", "providers")


@router.get("", response_model=list[ProviderView])
def list_them(_: Reader) -> Response:
    """Every type that can be registered."""
    return written([_told(provider) for provider in PROVIDERS])


@router.get("/{tipo}", response_model=ProviderView)
def read(_: Reader, tipo: ConnectorType) -> Response:
    """One type; 422 `tipo_reserved` for `future`."""
    return written(_told(provider_of(tipo)))


@router.get("/{tipo}/schema", response_model=ProviderSchemaView)
def schema(_: Reader, tipo: ConnectorType) -> Response:
    """JSON Schema of `config`, from the very models that check it."""
    return written(provider_of(tipo).settings.schema())


def _told(provider: Provider) -> Json:
    features = [preset.feature for preset in provider.capabilities if preset.enabled]
    return {"tipo": provider.tipo, "required_token": provider.required_token, "features": features}
