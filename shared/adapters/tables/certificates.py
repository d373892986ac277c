"""`connector_certificate`: what a snapshot carries so that the edge can prove signatures without a call."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Text, UniqueConstraint, Uuid, func
from sqlalchemy.orm import Mapped, mapped_column

from shared.adapters.tables.base import Base, UuidPk


class ConnectorCertificate(Base):
    """One public certificate by the address that signatures name. PEM text; a use case fetches it."""

    __tablename__ = "connector_certificate"
    __table_args__ = (
        UniqueConstraint("connector_id", "url"),
        CheckConstraint("length(url) <= 512 AND length(pem) <= 65536", name="sizes"),
    )

    id: Mapped[UuidPk]
    connector_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("channel_connector.id", ondelete="CASCADE"))
    url: Mapped[str] = mapped_column(Text)
    pem: Mapped[str] = mapped_column(Text)
    not_after: Mapped[datetime]
    fetched_at: Mapped[datetime] = mapped_column(server_default=func.now())
