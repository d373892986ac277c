"""What Meta's API can do, as the first value of a connector's capability rows.

Source: https://developers.facebook.com/docs/whatsapp/cloud-api/reference/media and …/overview#throughput. The rates are
below Meta's own, because numbers differ (80 messages a second, 20 beside the phone app; 1 in 6 s to one person, bursts to 45).
"""

from __future__ import annotations

from typing import Any

from shared.domain.enums import Feature
from shared.providers.contract import CapabilityPreset

_MB = 1_000_000

_MEDIA: dict[str, dict[str, Any]] = {
    "image": {"mime_types": ["image/jpeg", "image/png"], "max_bytes": 5 * _MB},
    "audio": {"mime_types": ["audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"], "max_bytes": 16 * _MB},
    "video": {"mime_types": ["video/mp4", "video/3gpp"], "max_bytes": 16 * _MB},
    "document": {"max_bytes": 100 * _MB},
    "sticker": {"mime_types": ["image/webp"], "max_bytes": 500_000},
}

CAPABILITIES: tuple[CapabilityPreset, ...] = (
    CapabilityPreset(
        feature=Feature.MESSAGES,
        enabled=True,
        constraints={
            "text_max_characters": 4096,
            "caption_max_characters": 1024,
            "rate_per_second": 60,
            "rate_per_peer": {"messages": 1, "seconds": 6, "burst": 10},
            "window_hours": 24,
            "reply": True,
            "reaction": True,
            "edit": False,
            "delete": False,
        },
    ),
    CapabilityPreset(feature=Feature.TEMPLATES, enabled=True, constraints={}),
    CapabilityPreset(feature=Feature.MEDIA_UPLOAD, enabled=True, constraints=_MEDIA),
    CapabilityPreset(feature=Feature.TYPING, enabled=True, constraints={"needs_inbound_message": True, "shown_seconds": 25}),
    CapabilityPreset(feature=Feature.READ_RECEIPTS, enabled=True, constraints={}),
    CapabilityPreset(
        feature=Feature.BUTTONS,
        enabled=True,
        constraints={"max_buttons": 3, "max_list_rows": 10, "title_max_characters": 20},
    ),
)
