"""Capabilities: the first value of a connector's capability rows, with limits that have types.

One record of limits per feature; as JSON (the row's `constraints`) without what is not set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.enums import DeliveryStatus, Feature


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRate:
    """So many messages in so many seconds to one person, and the burst above that."""

    messages: int
    seconds: int
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLimits:
    """Of feature `messages`. `window_hours`: how long after the peer's last message free text may go out (None: ever)."""

    text_max_characters: int | None = None
    caption_max_characters: int | None = None
    rate_per_second: float | None = None
    rate_per_minute_in_group: int | None = None
    rate_per_peer: PeerRate | None = None
    window_hours: int | None = None
    peer_must_start: bool | None = None
    reply: bool = False
    reaction: bool = False
    edit: bool = False
    delete: bool = False
    statuses: tuple[DeliveryStatus, ...] | None = None  # what the provider tells of messages that we sent


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateLimits:
    """Of feature `templates`. `rendered_locally`: the provider knows none, we fill them in.

    `peers_per_day`: to how many different people within 24 hours, outside of their windows (None: to any number).
    """

    rendered_locally: bool | None = None
    peers_per_day: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimit:
    """One kind of file that may be sent."""

    max_bytes: int
    mime_types: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLimits:
    """Of feature `media_upload`. `ways`: `id`, `link`, `bytes`; `max_total_bytes` of all files of one message."""

    image: MediaLimit | None = None
    audio: MediaLimit | None = None
    video: MediaLimit | None = None
    document: MediaLimit | None = None
    sticker: MediaLimit | None = None
    max_total_bytes: int | None = None
    max_inbound_bytes: int | None = None
    ways: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TypingLimits:
    """Of feature `typing`."""

    needs_inbound_message: bool | None = None
    shown_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadReceiptLimits:
    """Of feature `read_receipts`: ours, of the peer's messages."""

    not_for_alias_kinds: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonLimits:
    """Of feature `buttons`. `unreliable`: some apps of the peers do not show them."""

    max_buttons: int | None = None
    max_list_rows: int | None = None
    title_max_characters: int | None = None
    unreliable: bool | None = None


Limits = MessageLimits | TemplateLimits | MediaLimits | TypingLimits | ReadReceiptLimits | ButtonLimits

LIMITS_OF: Mapping[Feature, type[Limits]] = {
    Feature.MESSAGES: MessageLimits,
    Feature.TEMPLATES: TemplateLimits,
    Feature.MEDIA_UPLOAD: MediaLimits,
    Feature.TYPING: TypingLimits,
    Feature.READ_RECEIPTS: ReadReceiptLimits,
    Feature.BUTTONS: ButtonLimits,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityPreset:
    """Initial value of one `channel_capability` row; `limits` is the feature's record of LIMITS_OF, None where it is off."""

    feature: Feature
    enabled: bool
    limits: Limits | None = None

    @property
    def constraints(self) -> dict[str, Any]:
        """The limits as JSON values, without those that are not set."""
        return {} if self.limits is None else _json(self.limits)


def _json(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        found = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: _json(part) for name, part in found.items() if part is not None}
    return [str(part) for part in value] if isinstance(value, tuple) else value
