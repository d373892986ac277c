"""Identifier types. All are canonical lower-case UUID text (36 characters) unless said otherwise."""

from __future__ import annotations

from typing import NewType

TenantId = NewType("TenantId", str)
ConnectorId = NewType("ConnectorId", str)
AccountId = NewType("AccountId", str)
OrgUnitId = NewType("OrgUnitId", str)
FlowId = NewType("FlowId", str)
ContactId = NewType("ContactId", str)
ConversationId = NewType("ConversationId", str)
MessageId = NewType("MessageId", str)
RecordId = NewType("RecordId", str)  # UUIDv7 of one raw record; also its ce_id
