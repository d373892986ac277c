"""What our own widget can do, as the first value of a connector's capability rows (docs/WEBCHAT.md)."""

from __future__ import annotations

from shared.domain.enums import DeliveryStatus, Feature
from shared.providers.limits import (
    ButtonLimits,
    CapabilityPreset,
    MediaLimit,
    MediaLimits,
    MessageLimits,
    PeerRate,
    TypingLimits,
)

_MAX_FILE = MediaLimit(max_bytes=10_000_000)

TEXT_MAX_CHARACTERS = 4000
MAX_BUTTONS = 10
MAX_ROWS = 50

CAPABILITIES: tuple[CapabilityPreset, ...] = (
    CapabilityPreset(
        feature=Feature.MESSAGES,
        enabled=True,
        limits=MessageLimits(
            text_max_characters=TEXT_MAX_CHARACTERS,
            caption_max_characters=TEXT_MAX_CHARACTERS,
            rate_per_peer=PeerRate(messages=20, seconds=60, burst=5),
            peer_must_start=True,
            reply=True,
            reaction=True,
            edit=True,
            delete=True,
            statuses=(DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.READ, DeliveryStatus.FAILED),
        ),
    ),
    CapabilityPreset(feature=Feature.TEMPLATES, enabled=False),
    CapabilityPreset(
        feature=Feature.MEDIA_UPLOAD,
        enabled=True,
        limits=MediaLimits(
            image=_MAX_FILE,
            audio=_MAX_FILE,
            video=_MAX_FILE,
            document=_MAX_FILE,
            max_inbound_bytes=_MAX_FILE.max_bytes,
            ways=("id", "link"),
        ),
    ),
    CapabilityPreset(feature=Feature.TYPING, enabled=True, limits=TypingLimits(needs_inbound_message=False, shown_seconds=5)),
    CapabilityPreset(feature=Feature.READ_RECEIPTS, enabled=True),
    CapabilityPreset(feature=Feature.BUTTONS, enabled=True, limits=ButtonLimits(max_buttons=MAX_BUTTONS, max_list_rows=MAX_ROWS)),
)
