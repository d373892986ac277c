"""Small makers of facts for the router's tests."""

from __future__ import annotations

from collections.abc import Sequence

from services.router.context import Context
from services.router.decide import decide
from services.router.facts import Candidate, Facts, Opened, Owner
from services.router.gate import Gated, gate
from services.router.keys import claim_key
from services.router.sorting import Accounts
from shared.domain.enums import (
    AccountStatus,
    AliasKind,
    ConnectorEventName,
    ConnectorStatus,
    ConnectorType,
    DeliveryStatus,
    Direction,
    MessageKind,
    RecordSource,
    WebhookEvent,
    WebhookStatus,
)
from shared.domain.holding import DAY_MS, HoldLimits
from shared.domain.items import Alias, AnyItem, ConnectorEventItem, Content, MessageItem, Peer, PeopleChange, ReceiptItem
from shared.domain.outcomes import Publish
from shared.domain.records import RawPosition, WebhookReceived
from shared.domain.snapshots import AccountSnapshot, ConnectorSnapshot, WebhookSnapshot

EPOCH = "00000000-0000-7000-8000-00000000e0c4"
TENANT = "00000000-0000-7000-8000-0000000000aa"
CONNECTOR = "00000000-0000-7000-8000-0000000000c1"
UNIT = "00000000-0000-7000-8000-0000000000d1"
FLOW = "00000000-0000-7000-8000-0000000000f1"
ARRIVAL_MS = 1_700_000_000_123
LIMITS = HoldLimits(intake_ms=120_000, target_ms=600_000, retention_ms=8 * DAY_MS)


def account(number: int = 1, **changes: object) -> AccountSnapshot:
    values: dict[str, object] = {
        "version": 7,
        "account_id": f"00000000-0000-7000-8000-00000000000{number}",
        "connector_id": CONNECTOR,
        "tenant_id": TENANT,
        "identidade": f"551190000000{number}",
        "status": AccountStatus.ACTIVE,
        "account_refs": (f"phone_number_id:{number}",),
        "org_unit_id": UNIT,
        "intake_flow_id": None,
        "intake_flow_usable": False,
    }
    return AccountSnapshot(**(values | changes))  # type: ignore[arg-type]


def connector(disabled: WebhookEvent | None = None) -> ConnectorSnapshot:
    webhooks = ()
    if disabled is not None:
        webhooks = (WebhookSnapshot(webhook_id="w", evento=disabled, status=WebhookStatus.DISABLED, segredo=None),)
    return ConnectorSnapshot(
        version=1,
        connector_id=CONNECTOR,
        tenant_id=TENANT,
        tipo=ConnectorType.WHATSAPP_OFFICIAL,
        status=ConnectorStatus.ACTIVE,
        config="{}",
        webhooks=webhooks,
        ingest_keys=(),
    )


def message(item_id: str = "wamid.1", *, path: str = "/m/0", number: int = 1, phone: str = "5511900000009") -> MessageItem:
    return MessageItem(
        path=path,
        evento=WebhookEvent.MESSAGE_IN,
        account_refs=(f"phone_number_id:{number}",),
        dedup_key=item_id,
        provider_time_ms=1,
        direction=Direction.INBOUND,
        kind=MessageKind.TEXT,
        provider_message_id=item_id,
        peer=Peer(aliases=(Alias(kind=AliasKind.PHONE, value=phone),)),
        content=Content(text="hello"),
    )


def receipt(status: DeliveryStatus, *, target: str = "wamid.1", path: str = "/s/0", **changes: object) -> ReceiptItem:
    values: dict[str, object] = {
        "path": path,
        "evento": WebhookEvent.MESSAGE_STATUS,
        "account_refs": ("phone_number_id:1",),
        "dedup_key": f"{target}:{status.value}:",
        "provider_message_id": target,
        "status": status,
    }
    return ReceiptItem(**(values | changes))  # type: ignore[arg-type]


def person_changed(**changes: object) -> ConnectorEventItem:
    old, new = (Alias(kind=AliasKind.PHONE, value=f"551190000000{number}") for number in (8, 9))
    values: dict[str, object] = {
        "path": "/x",
        "evento": WebhookEvent.CONTACT_UPDATE,
        "account_refs": ("phone_number_id:1",),
        "dedup_key": "changed",
        "name": ConnectorEventName.PERSON_CHANGED,
        "provider_event": "messages",
        "people": PeopleChange(old=(old,), new=(new,)),
    }
    return ConnectorEventItem(**(values | changes))  # type: ignore[arg-type]


def opened(offset: int, *items: AnyItem, copy_of: RawPosition | None = None, **changes: object) -> Opened:
    record = WebhookReceived(
        record_id="00000000-0000-7000-8000-0000000000b0",
        source=RecordSource.WEBHOOK,
        tenant_id=TENANT,
        connector_id=CONNECTOR,
        url_account_id=None,
        received_at_ms=ARRIVAL_MS,
        headers={},
        secret_id=None,
        body_size_bytes=2,
        sealed_body=b"",
        redelivery_of=copy_of,
    )
    values: dict[str, object] = {
        "partition": 0,
        "offset": offset,
        "connector_id": CONNECTOR,
        "record": record,
        "connector": connector(),
        "items": items,
        "body": b"{}",
        "size_bytes": 2,
    }
    return Opened(**(values | changes))  # type: ignore[arg-type]


class KnownAccounts(Accounts):
    def __init__(self, *accounts: AccountSnapshot) -> None:
        self._accounts = accounts

    def account(self, account_id: str) -> AccountSnapshot | None:
        return next((one for one in self._accounts if one.account_id == account_id), None)

    def account_by_ref(self, connector_id: str, ref: str) -> AccountSnapshot | None:
        return next((one for one in self._accounts if one.connector_id == connector_id and ref in one.account_refs), None)


def candidate(record: Opened, index: int = 0, who: AccountSnapshot | None = None) -> Candidate:
    item, owner = record.items[index], who or account()
    return Candidate(opened=record, index=index, item=item, account=owner, claim_key=claim_key(CONNECTOR, owner.account_id, item))


def no_facts() -> Facts:
    return Facts(owners={}, contacts={}, conversations={}, messages={}, known_message_ids={}, receipts={})


def own(facts: Facts, *candidates: Candidate) -> None:
    for one in candidates:
        assert one.claim_key is not None
        facts.owners[one.claim_key] = Owner(EPOCH, one.opened.partition, one.opened.offset, one.item.path)


def gated(candidates: Sequence[Candidate], facts: Facts, now_ms: int = ARRIVAL_MS) -> Gated:
    return gate(candidates, facts, EPOCH, LIMITS, now_ms)


def settle(candidates: Sequence[Candidate], facts: Facts, context: Context) -> list[Publish]:
    """Gate and decision, as the router has them one after the other."""
    gated(candidates, facts, context.now_ms)
    return list(decide(candidates, facts, context))
