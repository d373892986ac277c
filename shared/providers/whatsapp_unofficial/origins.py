"""One element of a webhook: where it stands, whose account it is about, and the items that can come of it.

What all dialects agree on is decided here, so that one message reads the same through each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import Struct

from shared.domain.content import Edit
from shared.domain.enums import ConnectorEventName, DeliveryStatus, Direction, ErrorClass, HealthStatus, MessageKind, WebhookEvent
from shared.domain.items import ConnectorEventItem, MessageItem, Peer, PoisonItem, ReceiptItem
from shared.providers.cleaning import MAX_CODE_CHARACTERS, MAX_NAME_CHARACTERS, clean_text, exact_text
from shared.providers.documents import Malformed, fingerprint, fragment_of
from shared.providers.whatsapp_unofficial.jids import Jid, aliases_of, group_peer, parse_jid, peer_of
from shared.providers.whatsapp_unofficial.redaction import without_credentials
from shared.providers.whatsapp_unofficial.shapes import Said

_MESSAGE_IN, _INBOUND, _ECHO = WebhookEvent.MESSAGE_IN, Direction.INBOUND, Direction.ECHO  # a look-up costs as much as a call


class Origin(Struct, frozen=True, kw_only=True, gc=False):
    """`path` is the element's JSON Pointer, `event` the provider's word, `stamp` what tells two like events apart.

    `own_address` is that of the account itself, where the body says it.
    """

    path: str
    event: str
    account_refs: tuple[str, ...]
    element: Any
    stamp: Any = None
    own_address: str | None = None

    def poison(self, reason: str, evento: WebhookEvent = WebhookEvent.FALLBACK) -> PoisonItem:
        """The item of an element that cannot be read. No credential is left in its fragment."""
        clean = without_credentials(self.element)
        fragment = fragment_of(clean)
        try:
            key = fingerprint(reason, self.event, clean)
        except Malformed:
            key = fingerprint(reason, self.event, self.path, fragment.decode("ascii"))
        return PoisonItem(
            path=self.path, evento=evento, account_refs=self.account_refs, dedup_key=key, reason=reason, fragment=fragment
        )

    def told(
        self,
        name: ConnectorEventName,
        values: Mapping[str, object] | None = None,
        *,
        health: HealthStatus | None = None,
        evento: WebhookEvent = WebhookEvent.FALLBACK,
        time_ms: int | None = None,
    ) -> ConnectorEventItem:
        """A connector event with short codes (absent ones are left out); raises Malformed if it cannot be hashed."""
        codes = {key: _code(value) for key, value in (values or {}).items()}
        return ConnectorEventItem(
            path=self.path,
            evento=evento,
            account_refs=self.account_refs,
            dedup_key=fingerprint(self.event, self.account_refs, self.stamp, without_credentials(self.element)),
            provider_time_ms=time_ms,
            name=name,
            provider_event=clean_text(self.event, MAX_CODE_CHARACTERS) or "missing",
            values={key: code for key, code in codes.items() if code},
            health=health,
        )

    def left_out(self, reason: str, evento: WebhookEvent = WebhookEvent.MESSAGE_IN) -> ConnectorEventItem:
        """The element says nothing to anybody, and this is why."""
        return self.told(ConnectorEventName.NOTHING, {"reason": reason}, evento=evento)

    def audience(self, chat: Jid) -> ConnectorEventItem:
        """Stories, broadcast lists and channels: other products of WhatsApp, and no conversation."""
        what = "status" if chat.user == "status" else chat.server
        return self.told(ConnectorEventName.FOREIGN, {"object": what}, evento=WebhookEvent.MESSAGE_IN)


def _code(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return clean_text(str(value), MAX_CODE_CHARACTERS) or "" if isinstance(value, str | int | float) else ""


class Written(Struct, frozen=True, kw_only=True, gc=False):
    """Who wrote a message, where and when. `addresses` are all of the person's; in a group those of its member."""

    message_id: str
    from_me: bool
    chat: Jid
    addresses: tuple[str | None, ...]
    name: str | None
    time_ms: int | None
    group_name: str | None = None


def message_id_of(value: str | None) -> str:
    """A message's id exactly; raises Malformed (`id_missing`, `id_malformed`)."""
    exact = exact_text(value)
    if exact is None:
        raise Malformed("id_malformed" if value else "id_missing")
    return exact


def message(origin: Origin, written: Written, spoken: Said) -> MessageItem:
    """One message. A revocation is called after its target, because only some of the dialects give it an id of its own.

    Raises Malformed (`peer_missing`).
    """
    message_id = written.message_id
    if spoken.content.revoke is not None:
        message_id = message_id_of(f"{spoken.content.revoke.target_provider_message_id}:revoke")
    peer = _peer(written, origin.own_address)
    if peer is None:
        raise Malformed("peer_missing")
    in_group = written.chat.is_group
    return MessageItem(
        path=origin.path,
        evento=_MESSAGE_IN,
        account_refs=origin.account_refs,
        dedup_key=message_id,
        provider_time_ms=written.time_ms,
        direction=_ECHO if written.from_me else _INBOUND,
        kind=spoken.kind,
        provider_message_id=message_id,
        peer=peer,
        content=spoken.content,
        group_id=written.chat.group_id if in_group else None,
        reply_to_provider_message_id=spoken.reply_to,
        forwarded=spoken.forwarded,
        frequently_forwarded=spoken.frequently_forwarded,
        group_name=clean_text(written.group_name, MAX_NAME_CHARACTERS) or None if in_group else None,
    )


def _peer(written: Written, own_address: str | None) -> Peer | None:
    if written.from_me:  # the name on it is the company's ("Você"), not the peer's
        return group_peer(written.chat) if written.chat.is_group else peer_of(None, *_of_the_peer(written, own_address))
    peer = peer_of(written.name, *written.addresses)
    if peer is None and written.chat.is_group:  # a member whom nobody names: the message is the group's all the same
        return group_peer(written.chat)
    return peer


def _of_the_peer(written: Written, own_address: str | None) -> tuple[str | None, ...]:
    """Addresses of an own message's receiver. Where a server calls us its sender in one of them, both would become one person
    for good; the first is the chat and always counts."""
    own = set(aliases_of(own_address))
    chat, *others = written.addresses
    return (chat, *(address for address in others if not own & set(aliases_of(address))))


def edited(origin: Origin, written: Written, target: str | None, spoken: Said) -> MessageItem:
    """An edit: the new content in its own fields. Raises Malformed (`edit_target_missing`, `peer_missing`)."""
    exact = exact_text(target)
    if exact is None:
        raise Malformed("edit_target_missing")
    content = replace(spoken.content, edit=Edit(target_provider_message_id=exact, kind=spoken.kind))
    return message(origin, written, msgspec.structs.replace(spoken, kind=MessageKind.EDIT, content=content))


def receipt(
    origin: Origin,
    message_id: str,
    status: DeliveryStatus,
    *,
    chat: str | None,
    others: tuple[str | None, ...] = (),
    participant: str | None = None,
    time_ms: int | None = None,
    error_detail: str | None = None,
) -> ReceiptItem:
    """What became of a message that went out. In a group the recipient is the member; `others`: more addresses of theirs.

    None of the servers says why a message failed (Z-API does in words), so nothing may repeat it blindly.
    """
    jid = parse_jid(chat)
    member = aliases_of(participant) if participant and jid is not None and jid.is_group else ()
    failed = status is DeliveryStatus.FAILED
    key = member[0].key if member else ""
    return ReceiptItem(
        path=origin.path,
        evento=WebhookEvent.MESSAGE_STATUS,
        account_refs=origin.account_refs,
        dedup_key=f"{message_id}:{status.value}:{key}",
        provider_time_ms=time_ms,
        provider_message_id=message_id,
        status=status,
        recipient=member or aliases_of(chat, *others),
        error_class=_class_of(error_detail) if failed else None,
        participant=key,
        error_code="ERROR" if failed else None,
        error_detail=clean_text(error_detail, MAX_NAME_CHARACTERS) or None,
    )


def _class_of(detail: str | None) -> ErrorClass:
    missing = detail is not None and "not exist" in detail.lower()
    return ErrorClass.RECIPIENT_PERMANENT if missing else ErrorClass.UNKNOWN_OUTCOME
