"""Settings of a mailbox process."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pydantic import Field

from shared.runtime.settings import (
    DatabaseSettings,
    HttpSettings,
    KafkaSettings,
    LogSettings,
    MailServerSettings,
    ObjectStoreSettings,
    VaultSettings,
)


class MailboxSettings(
    KafkaSettings, DatabaseSettings, VaultSettings, ObjectStoreSettings, HttpSettings, MailServerSettings, LogSettings
):
    """Any number of processes may run against one database: each mailbox is read by one of them at a time."""

    mailbox_operations_host: str = "127.0.0.1"
    mailbox_operations_port: int = Field(default=9083, ge=0, le=65535)
    mailbox_readers: int = Field(default=100, ge=1, le=1000)  # mailboxes, and so connections and threads, of this process
    mailbox_lease_seconds: float = Field(default=6, ge=2, le=60)  # after a kill another process takes over within it and a second
    mailbox_idle_seconds: float = Field(default=540, ge=1, le=1740)  # a server may end IDLE after 30 min, a NAT after 10
    mailbox_poll_seconds: float = Field(default=30, ge=0.2, le=3600)  # where the server has no IDLE
    mailbox_connect_seconds: float = Field(default=15, ge=1, le=120)
    mailbox_command_seconds: float = Field(default=60, ge=1, le=600)  # for each command, and each part of a mail
    mailbox_mail_bytes: int = Field(default=157_286_400, ge=1_000_000, le=1_000_000_000)  # what is above it is cut off, and said
    mailbox_large_at_once: int = Field(default=2, ge=1, le=100)  # mails above 256 KiB under way in this process
    mailbox_first_days: int = Field(default=1, ge=0, le=3650)  # how old a mail may be that was there before we first came
    mailbox_resync_days: int = Field(default=3, ge=1, le=3650)  # read again before the last progress when UIDs start anew
    mailbox_spool_dir: Path = Path(tempfile.gettempdir())  # sealed parts of large mails; unlinked as soon as they are made
    mailbox_delivery_seconds: float = Field(default=10, ge=1, le=60)
    mailbox_drain_seconds: float = 20.0
