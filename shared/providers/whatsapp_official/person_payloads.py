"""The parts of Meta's payloads that tell of a person and are no message; as `payloads`, all fields are optional.

Source: https://developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids and
…/webhooks/reference/user_preferences
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field


class SystemNote(Struct, gc=False):
    """`system`: what changed. `new_wa_id` and `customer` are the older spelling."""

    type: str | None = None
    wa_id: str | None = None
    new_wa_id: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None
    customer: str | None = None


class SystemMessage(Struct, gc=False):
    """A message of type `system`; `from` is the person as known until now."""

    system: SystemNote | None = None
    timestamp: str | int | None = None
    sender: str | None = field(name="from", default=None)
    from_user_id: str | None = None
    from_parent_user_id: str | None = None


class Preference(Struct, gc=False):
    """One element of `value.user_preferences`."""

    wa_id: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None
    category: str | None = None
    value: str | None = None
    timestamp: str | int | None = None


class UserIdUpdate(Struct, gc=False):
    """One element of `value.user_id_update`; the ids are texts, or objects with `previous` and `current`."""

    wa_id: str | None = None
    user_id: str | dict[str, Any] | None = None
    parent_user_id: str | dict[str, Any] | None = None
    previous_user_id: str | None = None
    previous_parent_user_id: str | None = None
    timestamp: str | int | None = None
