"""Every provider, named explicitly. A test compares this tuple with the folders."""

from __future__ import annotations

from shared.providers.contract import Provider
from shared.providers.whatsapp_official.provider import WHATSAPP_OFFICIAL

PROVIDERS: tuple[Provider, ...] = (WHATSAPP_OFFICIAL,)
