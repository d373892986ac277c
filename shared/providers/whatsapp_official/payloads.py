"""The parts of Meta's payloads that we read. Everything else in them is ignored, so a new field changes nothing.

All fields are optional here: what must be there is decided by the mapping, which names the reason. A field of another
type than documented makes the element malformed.
Source: https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field


class Profile(Struct, gc=False):
    """What the person calls themself. The username is for show only: it can pass to another person."""

    name: str | None = None
    username: str | None = None


class Contact(Struct, gc=False):
    """One element of `value.contacts`: who the people of this change are. `user_id` is the business-scoped id."""

    profile: Profile | None = None
    wa_id: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None


class ReferredProduct(Struct, gc=False):
    """The product that a message asks about."""

    catalog_id: str | None = None
    product_retailer_id: str | None = None


class Context(Struct, gc=False):
    """What a message answers or forwards; `id` is the message that was answered."""

    id: str | None = None
    forwarded: bool | None = None
    frequently_forwarded: bool | None = None
    referred_product: ReferredProduct | None = None


class Welcome(Struct, gc=False):
    """The greeting that an advertisement showed."""

    text: str | None = None


class ReferralSource(Struct, gc=False):
    """`referral`: the advertisement or post from which the person came."""

    source_type: str | None = None
    source_id: str | None = None
    source_url: str | None = None
    headline: str | None = None
    body: str | None = None
    media_type: str | None = None
    image_url: str | None = None
    video_url: str | None = None
    thumbnail_url: str | None = None
    ctwa_clid: str | None = None
    welcome_message: Welcome | None = None


class ErrorData(Struct, gc=False):
    """The longer explanation of an error."""

    details: str | None = None


class Error(Struct, gc=False):
    """One element of any `errors` list."""

    code: int | str | None = None
    title: str | None = None
    message: str | None = None
    error_data: ErrorData | None = None


class Envelope(Struct, gc=False):
    """What all messages have in common, inbound (`from…`) and echo (`to…`)."""

    id: str | None = None
    type: str | None = None
    timestamp: str | int | None = None
    sender: str | None = field(name="from", default=None)
    from_user_id: str | None = None
    from_parent_user_id: str | None = None
    to: str | None = None
    to_user_id: str | None = None
    to_parent_user_id: str | None = None
    group_id: str | None = None
    context: Context | None = None
    referral: ReferralSource | None = None
    errors: list[Error] | None = None


class Text(Struct, gc=False):
    """`text`"""

    body: str | None = None


class MediaFile(Struct, gc=False):
    """`image`, `video`, `audio`, `document`, `sticker`; `sha256` is base64."""

    id: str | None = None
    url: str | None = None
    mime_type: str | None = None
    sha256: str | None = None
    caption: str | None = None
    filename: str | None = None
    voice: bool | None = None
    animated: bool | None = None


class Place(Struct, gc=False):
    """`location`, in decimal degrees."""

    latitude: float | None = None
    longitude: float | None = None
    name: str | None = None
    address: str | None = None
    url: str | None = None


class CardName(Struct, gc=False):
    """Name on a shared contact card; may be missing as a whole."""

    formatted_name: str | None = None
    first_name: str | None = None
    last_name: str | None = None


class CardPhone(Struct, gc=False):
    """One phone of a card."""

    phone: str | None = None
    wa_id: str | None = None


class CardEmail(Struct, gc=False):
    """One e-mail address of a card."""

    email: str | None = None


class CardOrganization(Struct, gc=False):
    """Where the person of a card works."""

    company: str | None = None


class Card(Struct, gc=False):
    """One shared contact card."""

    name: CardName | None = None
    phones: list[CardPhone] | None = None
    emails: list[CardEmail] | None = None
    org: CardOrganization | None = None


class TemplateButton(Struct, gc=False):
    """`button`: a quick reply under a template message."""

    payload: str | None = None
    text: str | None = None


class InteractiveReply(Struct, gc=False):
    """`button_reply`, `list_reply` (id, title, description) and `nfm_reply` (name, body, response_json: JSON text)."""

    id: str | None = None
    title: str | None = None
    description: str | None = None
    name: str | None = None
    body: str | None = None
    response_json: str | None = None


class CallPermission(Struct, gc=False):
    """`call_permission_reply`: may the company call?"""

    response: str | None = None
    is_permanent: bool | None = None
    expiration_timestamp: int | str | None = None
    response_source: str | None = None


class Interactive(Struct, gc=False):
    """`interactive`: the kind of answer and the answer itself."""

    type: str | None = None
    button_reply: InteractiveReply | None = None
    list_reply: InteractiveReply | None = None
    nfm_reply: InteractiveReply | None = None
    call_permission_reply: CallPermission | None = None


class ReactionMark(Struct, gc=False):
    """`reaction`: without an emoji, or with an empty one, it was taken away."""

    message_id: str | None = None
    emoji: str | None = None


class OrderProduct(Struct, gc=False):
    """One product of an order."""

    product_retailer_id: str | None = None
    quantity: int | None = None
    item_price: float | int | str | None = None
    currency: str | None = None


class OrderPlaced(Struct, gc=False):
    """`order`"""

    catalog_id: str | None = None
    text: str | None = None
    product_items: list[OrderProduct] | None = None


class Revocation(Struct, gc=False):
    """`revoke`"""

    original_message_id: str | None = None


class Correction(Struct, gc=False):
    """`edit`: the message as it is now, in the form of a message without id."""

    original_message_id: str | None = None
    message: dict[str, Any] | None = None


class Pricing(Struct, gc=False):
    """What a message costs by kind; `billable` is announced to go."""

    category: str | None = None
    billable: bool | None = None
    pricing_model: str | None = None
    type: str | None = None


class Status(Struct, gc=False):
    """One element of `value.statuses`. `recipient_id` is a phone, or a group's id if `recipient_type` is `group`."""

    id: str | None = None
    status: str | None = None
    timestamp: str | int | None = None
    recipient_id: str | None = None
    recipient_user_id: str | None = None
    recipient_parent_user_id: str | None = None
    recipient_type: str | None = None
    recipient_participant_id: str | None = None
    recipient_participant_user_id: str | None = None
    recipient_participant_parent_user_id: str | None = None
    biz_opaque_callback_data: str | None = None
    pricing: Pricing | None = None
    errors: list[Error] | None = None


JsonObject = dict[str, Any]
