"""Updates as Telegram would post them, for trying things out: the simulator, the CLI, tests and benches. Pure.

Written from Telegram's documentation; nothing of `receiving` or `normalise` is used, so that a fault there cannot hide
here. All numbers and ids are invented.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

JsonObject = dict[str, Any]

BOT_ID = 5_500_000_001
SENDER = 55_667_788
GROUP = -1_001_000_000_001
TIMESTAMP = 1_790_000_000
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"


def text_message(
    *,
    update_id: int,
    message_id: int,
    text: str = "Hello, I have a question about my order.",
    sender: int = SENDER,
    timestamp: int = TIMESTAMP,
    name: str = "Example",
) -> JsonObject:
    """An update with one text message in a private chat."""
    return message({"text": text}, update_id=update_id, message_id=message_id, sender=sender, timestamp=timestamp, name=name)


def message(
    content: Mapping[str, Any],
    *,
    update_id: int,
    message_id: int,
    sender: int = SENDER,
    timestamp: int = TIMESTAMP,
    name: str = "Example",
    field: str = "message",
    chat: Mapping[str, Any] | None = None,
) -> JsonObject:
    """An update with one message of any kind; `field` is the update's kind, `chat` another chat than the private one."""
    person = {"id": sender, "is_bot": False, "first_name": name}
    private = {"id": sender, "first_name": name, "type": "private"}
    element = {"message_id": message_id, "from": person, "chat": dict(chat or private), "date": timestamp, **content}
    return {"update_id": update_id, field: element}


def edited(update: JsonObject, *, update_id: int, text: str, timestamp: int) -> JsonObject:
    """The update that tells of a text message's edit."""
    element = {**update["message"], "text": text, "edit_date": timestamp}
    return {"update_id": update_id, "edited_message": element}


def callback(
    *, update_id: int, query_id: str, data: str, message_id: int, sender: int = SENDER, title: str = "Yes"
) -> JsonObject:
    """Somebody pressed a button under a message of the bot."""
    person = {"id": sender, "is_bot": False, "first_name": "Example"}
    keyboard = {"inline_keyboard": [[{"text": title, "callback_data": data}]]}
    pressed = {
        "message_id": message_id,
        "from": {"id": BOT_ID, "is_bot": True, "first_name": "Example bot"},
        "chat": {"id": sender, "first_name": "Example", "type": "private"},
        "date": TIMESTAMP,
        "text": "Shall we?",
        "reply_markup": keyboard,
    }
    query = {"id": query_id, "from": person, "message": pressed, "chat_instance": "1234567890", "data": data}
    return {"update_id": update_id, "callback_query": query}


def blocked(*, update_id: int, sender: int = SENDER, status: str = "kicked", timestamp: int = TIMESTAMP) -> JsonObject:
    """A person blocked the bot (`kicked`) or came back (`member`)."""
    bot = {"id": BOT_ID, "is_bot": True, "first_name": "Example bot"}
    before = "member" if status == "kicked" else "kicked"
    change = {
        "chat": {"id": sender, "first_name": "Example", "type": "private"},
        "from": {"id": sender, "is_bot": False, "first_name": "Example"},
        "date": timestamp,
        "old_chat_member": {"user": bot, "status": before},
        "new_chat_member": {"user": bot, "status": status},
    }
    return {"update_id": update_id, "my_chat_member": change}


def encode(body: Mapping[str, Any]) -> bytes:
    """The bytes to post: JSON on one line; Telegram escapes what is not ASCII."""
    return json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def content(kind: str, text: str, related: int) -> JsonObject:
    """Content for `message`: one of KINDS saying `text`; `related` is the number of another message, for a reply."""
    file = {"file_id": "AgACAgEAAxkBAAEX", "file_unique_id": "AQADExample", "file_size": 20_000}
    contents: JsonObject = {
        "text": {"text": text},
        "image": {"photo": [{**file, "width": 90, "height": 67}, {**file, "width": 1280, "height": 960}], "caption": text},
        "video": {"video": {**file, "width": 640, "height": 480, "duration": 5, "mime_type": "video/mp4"}, "caption": text},
        "audio": {"voice": {**file, "duration": 3, "mime_type": "audio/ogg"}},
        "document": {"document": {**file, "file_name": "example.pdf", "mime_type": "application/pdf"}, "caption": text},
        "sticker": {
            "sticker": {
                **file,
                "type": "regular",
                "width": 512,
                "height": 512,
                "is_animated": False,
                "is_video": False,
                "emoji": "\N{THUMBS UP SIGN}",
            }
        },
        "location": {"location": {"latitude": -23.55, "longitude": -46.63}},
        "contacts": {"contact": {"phone_number": "+5511900000002", "first_name": text}},
        "reply": {"text": text, "reply_to_message": {"message_id": related, "date": TIMESTAMP, "text": "Earlier"}},
        "something_new": {"something_new": {"body": text}},
    }
    return dict(contents[kind])


KINDS = (
    *("text", "image", "video", "audio", "document", "sticker", "location", "contacts", "reply"),
    "something_new",
)
