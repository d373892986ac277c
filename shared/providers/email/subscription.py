"""Confirming an SNS subscription: what a message asks for, and the one call that it may lead to. No call is made here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from shared.providers.calling import Placement, ProviderCall
from shared.providers.email.sns import MAX_BYTES, TOPIC_ARN, SnsMessage

SUBSCRIPTION_TOKEN = "subscription_token"
_CONFIRM = "ConfirmSubscription"
_TOKEN = re.compile(r"[0-9A-Za-z]{16,1024}")
_MAX_URL = 2_048


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """A subscription that waits for one call. Its repr does not tell the token, which is good for three days.

    Source: https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.confirm.html
    """

    topic: str
    host: str
    token: str = field(repr=False)

    def call(self) -> ProviderCall:
        """The call, made of the parts that were checked and of nothing else in the address; done twice it does no harm."""
        query = urlencode({"Action": _CONFIRM, "TopicArn": self.topic})
        token = Placement(credential=SUBSCRIPTION_TOKEN, place="query", name="Token")
        return ProviderCall(
            step="confirm",
            method="GET",
            url=f"https://{self.host}/?{query}",
            placements=(token,),
            idempotent=True,
        )


def confirmation_in(url: str) -> Confirmation | None:
    """What a `SubscribeURL` confirms; None for anything but that one call on the SNS host of the topic's region."""
    parts = urlsplit(url) if len(url) <= _MAX_URL and url.isascii() and url.isprintable() else None
    if parts is None or parts.path != "/" or parts.fragment:
        return None
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True, max_num_fields=3)
    except ValueError:
        return None
    given = dict(pairs)
    if len(pairs) != len(given) or given.keys() != {"Action", "TopicArn", "Token"}:
        return None
    topic = TOPIC_ARN.fullmatch(given["TopicArn"])
    if topic is None or given["Action"] != _CONFIRM or _TOKEN.fullmatch(given["Token"]) is None:
        return None
    host = f"sns.{topic[2]}.{'amazonaws.com.cn' if topic[1] == 'aws-cn' else 'amazonaws.com'}"
    if not url.startswith(f"https://{host}/?"):  # as it is written: a parser forgives spaces, case and a password
        return None
    return Confirmation(topic=topic[0], host=host, token=given["Token"])


def confirmation_of(body: bytes) -> Confirmation | None:
    """What a message of SNS asks to be confirmed: its topic and token are those of its `SubscribeURL`. None for any other body.

    That the message is genuine, the edge has proven before it was kept.
    """
    try:
        message = msgspec.json.decode(body[: MAX_BYTES + 1], type=SnsMessage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if message.Type != "SubscriptionConfirmation" or message.SubscribeURL is None:
        return None
    try:
        found = confirmation_in(message.SubscribeURL)
    except ValueError:  # an address with half a bracket
        return None
    if found is None or (found.topic, found.token) != (message.TopicArn, message.Token):
        return None
    return found
