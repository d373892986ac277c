"""The parts of Telegram's updates that we read. Everything else in them is ignored, so a new field changes nothing.

All fields are optional here: what must be there is decided by the mapping, which names the reason. A field of another
type than documented makes the update malformed. Ids are 64-bit integers; times are Unix seconds.
Source: https://core.telegram.org/bots/api#available-types
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field


class User(Struct, gc=False):
    """A person or a bot."""

    id: int | None = None
    is_bot: bool | None = None
    first_name: str | None = None
    last_name: str | None = None
    username: str | None = None


class Chat(Struct, gc=False):
    """`type` is private, group, supergroup or channel; the ids of all but private chats are negative."""

    id: int | None = None
    type: str | None = None
    title: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    username: str | None = None


class File(Struct, gc=False):
    """Any file: photo size, audio, document, video, animation, voice, video note, sticker."""

    file_id: str | None = None
    file_name: str | None = None
    mime_type: str | None = None
    file_size: int | None = None
    duration: float | None = None
    width: int | None = None
    height: int | None = None
    length: int | None = None  # of a video note: width and height
    is_animated: bool | None = None
    is_video: bool | None = None


class Place(Struct, gc=False):
    """`location`, in decimal degrees; with `live_period` it moves."""

    latitude: Annotated[float, Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Meta(ge=-180, le=180)] | None = None
    live_period: int | None = None


class Venue(Struct, gc=False):
    """A location with a name."""

    location: Place | None = None
    title: str | None = None
    address: str | None = None


class Card(Struct, gc=False):
    """`contact`: a shared contact."""

    phone_number: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    user_id: int | None = None


class Origin(Struct, gc=False):
    """`forward_origin`: who wrote a forwarded message first."""

    type: str | None = None
    sender_user: User | None = None
    sender_user_name: str | None = None
    sender_chat: Chat | None = None
    chat: Chat | None = None


class Quote(Struct, gc=False):
    """The part of the answered message that was marked."""

    text: str | None = None


class WebAppData(Struct, gc=False):
    """What a web app sent by a keyboard button."""

    data: str | None = None
    button_text: str | None = None


class SharedUsers(Struct, gc=False):
    """`users_shared`: people chosen by a keyboard button."""

    users: list[dict[str, Any]] | None = None


class Message(Struct, gc=False):
    """What all messages have in common; their content is read from the field of its kind."""

    message_id: int | None = None
    date: int | None = None
    edit_date: int | None = None
    chat: Chat | None = None
    sender: User | None = field(name="from", default=None)
    sender_chat: Chat | None = None
    sender_business_bot: User | None = None
    business_connection_id: str | None = None
    message_thread_id: int | None = None
    is_topic_message: bool | None = None
    media_group_id: str | None = None
    caption: str | None = None
    forward_origin: Origin | None = None
    forward_date: int | None = None  # of servers before Bot API 7.0, which know no `forward_origin`
    reply_to_message: dict[str, Any] | None = None
    quote: Quote | None = None
    migrate_to_chat_id: int | None = None
    migrate_from_chat_id: int | None = None


class Button(Struct, gc=False):
    """One button of an inline keyboard."""

    text: str | None = None
    callback_data: str | None = None


class Keyboard(Struct, gc=False):
    """Buttons under a message."""

    inline_keyboard: list[list[Button]] | None = None


class CallbackQuery(Struct, gc=False):
    """Somebody pressed a button. `message` is left out for messages sent through inline mode."""

    id: str | None = None
    sender: User | None = field(name="from", default=None)
    message: dict[str, Any] | None = None
    inline_message_id: str | None = None
    data: str | None = None
    game_short_name: str | None = None


class PressedMessage(Struct, gc=False):
    """The message of a pressed button; of one that is too old only chat and id are told (`date` is 0)."""

    message_id: int | None = None
    chat: Chat | None = None
    business_connection_id: str | None = None
    message_thread_id: int | None = None
    is_topic_message: bool | None = None
    reply_markup: Keyboard | None = None


class ReactionType(Struct, gc=False):
    """`type` is emoji, custom_emoji or paid."""

    type: str | None = None
    emoji: str | None = None
    custom_emoji_id: str | None = None


class MessageReaction(Struct, gc=False):
    """Somebody changed their reactions to a message; both lists are complete."""

    chat: Chat | None = None
    message_id: int | None = None
    user: User | None = None
    actor_chat: Chat | None = None
    date: int | None = None
    old_reaction: list[ReactionType] | None = None
    new_reaction: list[ReactionType] | None = None


class PollAnswer(Struct, gc=False):
    """Somebody answered a poll that is not anonymous, or took the answer back (no options)."""

    poll_id: str | None = None
    voter_chat: Chat | None = None
    user: User | None = None
    option_ids: list[int] | None = None


class Member(Struct, gc=False):
    """`status` is creator, administrator, member, restricted, left or kicked."""

    status: str | None = None
    user: User | None = None


class MemberChange(Struct, gc=False):
    """`my_chat_member` and `chat_member`."""

    chat: Chat | None = None
    sender: User | None = field(name="from", default=None)
    date: int | None = None
    old_chat_member: Member | None = None
    new_chat_member: Member | None = None


class BusinessConnection(Struct, gc=False):
    """A business account was connected to the bot, changed, or disconnected."""

    id: str | None = None
    date: int | None = None
    is_enabled: bool | None = None


class DeletedMessages(Struct, gc=False):
    """`deleted_business_messages`: of one chat of a connected business account."""

    business_connection_id: str | None = None
    chat: Chat | None = None
    message_ids: list[Any] | None = None


class OtherUpdate(Struct, gc=False):
    """What the updates that are neither message nor answer have in common."""

    id: str | int | None = None
    chat: Chat | None = None
    date: int | None = None
    message_id: int | None = None
