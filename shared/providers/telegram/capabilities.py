"""What the Bot API can do, as the first value of a connector's capability rows.

Source: https://core.telegram.org/bots/api#sending-files and https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
(30 messages a second, 1 a second to one chat, 20 a minute to one group; ours stay below). Telegram documents no largest
number of buttons; 100 is what its servers are known to take.
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

TEXT_MAX_CHARACTERS = 4096
CAPTION_MAX_CHARACTERS = 1024
MAX_BUTTONS = 100

CAPABILITIES: tuple[CapabilityPreset, ...] = (
    CapabilityPreset(
        feature=Feature.MESSAGES,
        enabled=True,
        limits=MessageLimits(
            text_max_characters=TEXT_MAX_CHARACTERS,
            caption_max_characters=CAPTION_MAX_CHARACTERS,
            rate_per_second=25,
            rate_per_minute_in_group=20,
            rate_per_peer=PeerRate(messages=1, seconds=1, burst=3),
            peer_must_start=True,
            reply=True,
            reaction=True,
            edit=True,
            delete=True,
            statuses=(DeliveryStatus.SENT, DeliveryStatus.FAILED),
        ),
    ),
    CapabilityPreset(feature=Feature.TEMPLATES, enabled=False),
    CapabilityPreset(
        feature=Feature.MEDIA_UPLOAD,
        enabled=True,
        limits=MediaLimits(
            image=MediaLimit(max_bytes=10 * _MB),
            audio=MediaLimit(max_bytes=50 * _MB),
            video=MediaLimit(max_bytes=50 * _MB),
            document=MediaLimit(max_bytes=50 * _MB),
            sticker=MediaLimit(max_bytes=50 * _MB, mime_types=("image/webp", "application/x-tgsticker", "video/webm")),
            max_inbound_bytes=20 * _MB,
            ways=("id", "link", "bytes"),
        ),
    ),
    CapabilityPreset(feature=Feature.TYPING, enabled=True, limits=TypingLimits(needs_inbound_message=False, shown_seconds=5)),
    CapabilityPreset(feature=Feature.READ_RECEIPTS, enabled=False),
    CapabilityPreset(feature=Feature.BUTTONS, enabled=True, limits=ButtonLimits(max_buttons=MAX_BUTTONS)),
)
