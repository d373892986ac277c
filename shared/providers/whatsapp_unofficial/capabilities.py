"""What a linked device can do, as the first value of a connector's capability rows.

No page of these servers names limits: WhatsApp's own for consumers stand here, and a pace that people keep (one message in
four seconds), because a number that writes faster is banned. Templates do not exist; buttons often show as plain text.
"""

from __future__ import annotations

from shared.domain.enums import AliasKind, DeliveryStatus, Feature
from shared.providers.limits import (
    ButtonLimits,
    CapabilityPreset,
    MediaLimit,
    MediaLimits,
    MessageLimits,
    PeerRate,
    ReadReceiptLimits,
    TypingLimits,
)

_MB = 1_000_000

_MEDIA = MediaLimits(
    image=MediaLimit(max_bytes=16 * _MB, mime_types=("image/jpeg", "image/png")),
    audio=MediaLimit(max_bytes=16 * _MB),
    video=MediaLimit(max_bytes=16 * _MB, mime_types=("video/mp4", "video/3gpp")),
    document=MediaLimit(max_bytes=100 * _MB),
    sticker=MediaLimit(max_bytes=500_000, mime_types=("image/webp",)),
    ways=("link", "bytes"),
)

CAPABILITIES: tuple[CapabilityPreset, ...] = (
    CapabilityPreset(
        feature=Feature.MESSAGES,
        enabled=True,
        limits=MessageLimits(
            text_max_characters=4096,
            caption_max_characters=1024,
            rate_per_second=0.25,
            rate_per_peer=PeerRate(messages=1, seconds=4, burst=2),
            reply=True,
            reaction=True,
            edit=True,
            delete=True,
            statuses=(
                DeliveryStatus.SENT,
                DeliveryStatus.DELIVERED,
                DeliveryStatus.READ,
                DeliveryStatus.PLAYED,
                DeliveryStatus.FAILED,
            ),
        ),
    ),
    CapabilityPreset(feature=Feature.TEMPLATES, enabled=False),
    CapabilityPreset(feature=Feature.MEDIA_UPLOAD, enabled=True, limits=_MEDIA),
    CapabilityPreset(feature=Feature.TYPING, enabled=True, limits=TypingLimits(needs_inbound_message=False, shown_seconds=10)),
    CapabilityPreset(
        feature=Feature.READ_RECEIPTS,
        enabled=True,
        limits=ReadReceiptLimits(not_for_alias_kinds=(AliasKind.LID.value,)),  # Evolution ignores them without a word
    ),
    CapabilityPreset(
        feature=Feature.BUTTONS,
        enabled=False,  # WAHA documents them as not working, elsewhere they depend on the peer's app
        limits=ButtonLimits(max_buttons=3, max_list_rows=10, title_max_characters=20, unreliable=True),
    ),
)
