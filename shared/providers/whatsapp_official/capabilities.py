"""What Meta's API can do, as the first value of a connector's capability rows.

Source: https://developers.facebook.com/docs/whatsapp/cloud-api/reference/media and …/overview#throughput. The rates are
below Meta's own, because numbers differ (80 messages a second, 20 beside the phone app; 1 in 6 s to one person, bursts to 45).
"""

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

_MB = 1_000_000
RATE_PER_SECOND = 60  # of 80; a number that Meta lets go faster is told apart by its description

_MEDIA = MediaLimits(
    image=MediaLimit(mime_types=("image/jpeg", "image/png"), max_bytes=5 * _MB),
    audio=MediaLimit(mime_types=("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"), max_bytes=16 * _MB),
    video=MediaLimit(mime_types=("video/mp4", "video/3gpp"), max_bytes=16 * _MB),
    document=MediaLimit(max_bytes=100 * _MB),
    sticker=MediaLimit(mime_types=("image/webp",), max_bytes=500_000),
    max_inbound_bytes=100 * _MB,
    ways=("id", "link", "bytes"),
)

CAPABILITIES: tuple[CapabilityPreset, ...] = (
    CapabilityPreset(
        feature=Feature.MESSAGES,
        enabled=True,
        limits=MessageLimits(
            text_max_characters=4096,
            caption_max_characters=1024,
            rate_per_second=RATE_PER_SECOND,
            rate_per_peer=PeerRate(messages=1, seconds=6, burst=10),
            window_hours=24,
            reply=True,
            reaction=True,
            statuses=(
                DeliveryStatus.SENT,
                DeliveryStatus.DELIVERED,
                DeliveryStatus.READ,
                DeliveryStatus.PLAYED,
                DeliveryStatus.FAILED,
            ),
        ),
    ),
    CapabilityPreset(feature=Feature.TEMPLATES, enabled=True),
    CapabilityPreset(feature=Feature.MEDIA_UPLOAD, enabled=True, limits=_MEDIA),
    CapabilityPreset(feature=Feature.TYPING, enabled=True, limits=TypingLimits(needs_inbound_message=True, shown_seconds=25)),
    CapabilityPreset(feature=Feature.READ_RECEIPTS, enabled=True),
    CapabilityPreset(
        feature=Feature.BUTTONS,
        enabled=True,
        limits=ButtonLimits(max_buttons=3, max_list_rows=10, title_max_characters=20),
    ),
)
