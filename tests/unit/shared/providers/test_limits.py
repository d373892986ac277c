"""Limits become JSON without what is not set."""

from __future__ import annotations

from shared.domain.enums import DeliveryStatus, Feature
from shared.providers.limits import CapabilityPreset, MediaLimit, MediaLimits, MessageLimits, PeerRate


def test_what_is_not_set_is_left_out() -> None:
    preset = CapabilityPreset(
        feature=Feature.MESSAGES,
        enabled=True,
        limits=MessageLimits(
            text_max_characters=10,
            rate_per_peer=PeerRate(messages=1, seconds=6, burst=10),
            reply=True,
            statuses=(DeliveryStatus.SENT,),
        ),
    )
    assert preset.constraints == {
        "text_max_characters": 10,
        "rate_per_peer": {"messages": 1, "seconds": 6, "burst": 10},
        "reply": True,
        "reaction": False,
        "edit": False,
        "delete": False,
        "statuses": ["sent"],
    }


def test_nested_limits_and_none() -> None:
    limits = MediaLimits(image=MediaLimit(max_bytes=5, mime_types=("image/png",)))
    assert CapabilityPreset(feature=Feature.MEDIA_UPLOAD, enabled=True, limits=limits).constraints == {
        "image": {"max_bytes": 5, "mime_types": ["image/png"]}
    }
    assert CapabilityPreset(feature=Feature.TEMPLATES, enabled=False).constraints == {}
