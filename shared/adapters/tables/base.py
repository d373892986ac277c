"""What all tables share: the declarative base, names of constraints, and the Python types that stand for column types."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, ClassVar

from sqlalchemy import ColumnElement, DateTime, Enum, MetaData, Table, Text, Uuid, inspect
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

from shared.adapters.clock import new_uuid7
from shared.domain.enums import (
    AccountStatus,
    ConnectorStatus,
    ConnectorType,
    EntityType,
    FallbackType,
    Feature,
    HealthStatus,
    TokenKind,
    UsageType,
    WebhookEvent,
    WebhookStatus,
)

UuidPk = Annotated[str, mapped_column(Uuid(as_uuid=False), primary_key=True, default=new_uuid7)]
UnlimitedText = Annotated[str, mapped_column(Text)]
Json = dict[str, Any]

# The names come from the diagram in the owner's text (ChannelType, ConnectorStatus, …).
_ENUM_TYPES: dict[type[StrEnum], str] = {
    ConnectorType: "channel_type",
    ConnectorStatus: "connector_status",
    AccountStatus: "account_status",
    Feature: "channel_feature",
    TokenKind: "token_kind",
    WebhookEvent: "webhook_event",
    WebhookStatus: "webhook_status",
    HealthStatus: "health_status",
    UsageType: "usage_type",
    EntityType: "entity_type",
    FallbackType: "fallback_type",
}


def _enum(members: type[StrEnum], name: str) -> Enum:
    return Enum(members, name=name, values_callable=lambda each: [member.value for member in each])


class Base(DeclarativeBase):
    """Base of every mapping. Ids are canonical UUID text in Python, times are timestamptz, JSON is JSONB."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        **{members: _enum(members, name) for members, name in _ENUM_TYPES.items()},
    }


def stored_in(mapping: type[Base]) -> Table:
    """The table of a mapping, for statements that know nothing of objects: they cost less, and name their values freely."""
    found = mapping.__table__
    assert isinstance(found, Table)  # noqa: S101  none is mapped to anything else
    return found


@cache
def loaded_columns(table: type[Base]) -> tuple[ColumnElement[Any], ...]:
    """The columns of a table under the names of its attributes, without those that are loaded only where they are named.

    A result row of them reads like an object of the table, and costs a third of it.
    """
    return tuple(column.columns[0].label(column.key) for column in inspect(table).column_attrs if not column.deferred)
