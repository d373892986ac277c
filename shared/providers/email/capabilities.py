"""What mail can do, as the first value of a connector's capability rows.

25 MB is what the large providers take for a whole mail (https://support.google.com/mail/answer/6584); base64 makes 18 MB of
files that large. The rate is below Exchange Online's 30 messages a minute.
"""

from __future__ import annotations

from shared.domain.enums import DeliveryStatus, Feature
from shared.providers.limits import CapabilityPreset, MediaLimit, MediaLimits, MessageLimits, TemplateLimits

MAX_ATTACHED_BYTES = 18_000_000
_FILE = MediaLimit(max_bytes=MAX_ATTACHED_BYTES)

CAPABILITIES: tuple[CapabilityPreset, ...] = (
    CapabilityPreset(
        feature=Feature.MESSAGES,
        enabled=True,
        limits=MessageLimits(
            rate_per_second=20 / 60,
            reply=True,
            statuses=(DeliveryStatus.SENT, DeliveryStatus.DELIVERED, DeliveryStatus.FAILED),
        ),
    ),
    CapabilityPreset(feature=Feature.TEMPLATES, enabled=True, limits=TemplateLimits(rendered_locally=True)),
    CapabilityPreset(
        feature=Feature.MEDIA_UPLOAD,
        enabled=True,
        limits=MediaLimits(
            image=_FILE,
            audio=_FILE,
            video=_FILE,
            document=_FILE,
            max_total_bytes=MAX_ATTACHED_BYTES,
            max_inbound_bytes=50_000_000,
            ways=("bytes",),
        ),
    ),
    CapabilityPreset(feature=Feature.TYPING, enabled=False),
    CapabilityPreset(feature=Feature.READ_RECEIPTS, enabled=False),
    CapabilityPreset(feature=Feature.BUTTONS, enabled=False),
)
