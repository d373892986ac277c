"""Reads one mailbox for as long as its lease is ours: connect, catch up, wait for news, again.

A mail counts as read only once Kafka has it: progress moves after that, by compare-and-set on the lease. Whatever fails, the same
mails are read again; nothing is skipped but with a log line, a counter and a `channel.account.sync_required`.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass

import structlog

from services.mailbox import decide
from services.mailbox.decide import Mailbox
from services.mailbox.logins import Logins
from services.mailbox.writing import MailWriter, Written
from shared.adapters.guarded_mail import GuardedServers
from shared.adapters.http_faults import EgressRefused
from shared.adapters.imap import FolderMissing, ImapConnection, LoginRefused, Refused, ServerFaulty
from shared.adapters.mailbox_positions import Lease, MailboxPositions, Position
from shared.domain.errors import ChannelsError, ConfigError, Fenced, InvalidInput, Unavailable
from shared.runtime.metrics import MailboxMetrics

_BATCH_MAILS, _BATCH_BYTES = 50, 4_000_000  # under way at once from one mailbox
_SESSION_SECONDS = 3600.0  # then the folder is opened anew: a changed UIDVALIDITY is told only then
_UNREADABLE_AFTER = 3  # refusals of the same mail
_REFUSED_LOOK_SECONDS = 5.0
_KAFKA_LOOK_SECONDS = 0.2
_TELL_AGAIN_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderParts:
    """What every reader of a process works with, and how patient it is."""

    positions: MailboxPositions
    logins: Logins
    writer: MailWriter
    metrics: MailboxMetrics
    servers: GuardedServers
    connect_seconds: float
    command_seconds: float
    idle_seconds: float
    poll_seconds: float
    delivery_seconds: float
    first_days: int
    resync_days: int


class Reader:
    """One thread for one mailbox. `stop` asks it to end; `ended` says that it has."""

    def __init__(self, mailbox: Mailbox, lease: Lease, parts: ReaderParts) -> None:
        self.mailbox = mailbox
        self.lease = lease
        self.state = "starting"  # starting | reading | trouble
        self.fault: ConfigError | None = None  # what ended it, where the whole process must end
        self._position = lease.position
        self._parts = parts
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"mailbox-{lease.account_id}", daemon=True)
        self._failures = 0
        self._refusals: dict[int, int] = {}
        self._told: dict[str, float] = {}
        self._log = structlog.get_logger().bind(
            service="mailbox", account_id=mailbox.account_id, connector_id=mailbox.connector_id
        )

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Ask for the end: what Kafka already has is still written down, no further mail is begun."""
        self._stopping.set()

    @property
    def ended(self) -> bool:
        """Whether the thread has ended (or never began)."""
        return not self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Wait for the end, at most so long."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._parts.writer.ready:  # no login, and no credential opened, for what could not be written
                self._stopping.wait(_KAFKA_LOOK_SECONDS)
                continue
            token_id: str | None = None
            try:
                token_id = self._parts.logins.token_id(self.mailbox)
                self._session(token_id)
                self._failures = 0
            except Fenced as error:
                if not self._stopping.is_set():
                    self._log.warning("mailbox_lost", reason=str(error))
                return
            except ConfigError as error:
                self.fault = error
                return
            except LoginRefused as error:
                self._trouble(error)
                self._wait_for_another_token(token_id)
            except EgressRefused as error:
                self._trouble(error)
                # A changed account has a new reader; by itself only a name's addresses can change.
                self._stopping.wait(decide.pause_seconds(self._failures, first=30, longest=900))
            except ChannelsError as error:
                self._trouble(error)
                self._stopping.wait(decide.pause_seconds(self._failures, first=1, longest=60))
            except Exception as error:  # one mailbox's surprise must not end the others
                self._log.exception("mailbox_failed")
                self._trouble(error)
                self._stopping.wait(decide.pause_seconds(self._failures, first=5, longest=300))

    def _session(self, token_id: str | None) -> None:
        mailbox, parts = self.mailbox, self._parts
        # Before the credential is opened: where nobody is called, none is needed.
        endpoint = parts.servers.endpoint(mailbox.url, plain=mailbox.tls == "none")
        login = parts.logins.open(mailbox, token_id)
        connection = ImapConnection(endpoint, connect_seconds=parts.connect_seconds, command_seconds=parts.command_seconds)
        try:
            connection.login(login)
            del login
            parts.metrics.logins.labels("accepted").inc()
            self._begin(connection)
            self._follow(connection)
        finally:
            connection.close()

    def _begin(self, connection: ImapConnection) -> None:
        """Open the folder and compare it with what is written down."""
        mailbox, parts = self.mailbox, self._parts
        state = connection.open_folder(mailbox.folder, to_write=mailbox.mark_seen)
        top = connection.highest_uid()
        begun = decide.start(
            self._position,
            state,
            server=mailbox.server,
            top_uid=top,
            today=dt.datetime.now(dt.UTC).date(),
            first_days=parts.first_days,
            resync_days=parts.resync_days,
        )
        if begun.cause is None:
            return
        old, new = self._position, begun.position
        self._log.warning(
            "mailbox_resync" if begun.cause != "first" else "mailbox_first_read",
            cause=begun.cause,
            old_uid_validity=old.uid_validity,
            new_uid_validity=new.uid_validity,
            old_last_uid=old.last_uid,
            since=str(new.resync_since),
            mails=state.mails,
        )
        parts.metrics.resyncs.labels(begun.cause).inc()
        if begun.cause != "first":
            detail = f"folder read again since {new.resync_since}; UIDVALIDITY {old.uid_validity} -> {new.uid_validity}"
            # Told before it is written down: a kill in between tells twice, never not at all.
            self._done(parts.writer.ask_for_sync(mailbox, begun.cause, detail))
        self._move(new)

    def _follow(self, connection: ImapConnection) -> None:
        parts = self._parts
        idles, until = connection.can_idle, time.monotonic() + _SESSION_SECONDS
        while not self._stopping.is_set():
            self._catch_up(connection, connection.highest_uid())
            self._well()
            if time.monotonic() > until:
                return
            if idles:
                connection.idle(parts.idle_seconds, self._stopping.is_set)
            else:
                self._stopping.wait(parts.poll_seconds)

    def _catch_up(self, connection: ImapConnection, top_uid: int) -> None:
        for first, last, since in decide.windows(self._position, top_uid):
            uids = connection.uids(first, last, since)
            if since is None and last == top_uid and top_uid not in uids and connection.highest_uid() == top_uid:
                # It is there, and the search did not name it: believed, it would be passed over for ever.
                raise ServerFaulty(f"a search of {first}:{last} does not find UID {top_uid}, which is in the folder")
            self._write_all(connection, uids)
            if self._stopping.is_set():
                return
            # All that the window held is safe, and no mail can still come into it: UIDs only grow.
            self._move(decide.moved(self._position, last))

    def _write_all(self, connection: ImapConnection, uids: list[int]) -> None:
        """Write the mails and move progress, batch by batch, until all are done or a stop is asked for."""
        batch: list[Written] = []
        read: list[int] = []
        for uid in uids:
            if self._stopping.is_set():
                break
            try:
                written = self._write(connection, uid)
            except Refused:
                self._settle(connection, batch, read)  # those before it need not come again each time
                raise
            read.append(uid)
            if written is not None:
                batch.append(written)
            if len(read) >= _BATCH_MAILS or sum(one.size_bytes for one in batch) >= _BATCH_BYTES:
                self._settle(connection, batch, read)
                batch, read = [], []
        self._settle(connection, batch, read)

    def _write(self, connection: ImapConnection, uid: int) -> Written | None:
        parts = self._parts
        assert self._position.uid_validity is not None  # noqa: S101  `_begin` has set it
        try:
            written = parts.writer.write(self.mailbox, connection, self._position.uid_validity, uid, self._stopping.is_set)
        except Refused as error:
            self._refusals[uid] = self._refusals.get(uid, 0) + 1
            if self._refusals[uid] < _UNREADABLE_AFTER:
                raise
            self._log.error("mail_unreadable", uid=uid, error=str(error))
            parts.metrics.mails.labels("unreadable").inc()
            self._done(parts.writer.ask_for_sync(self.mailbox, "mail_unreadable", f"UID {uid}: the server does not give it"))
            return None
        if written is None:
            parts.metrics.mails.labels("gone").inc()
        return written

    def _settle(self, connection: ImapConnection, batch: list[Written], read: list[int]) -> None:
        """Wait until Kafka has the batch, then move."""
        for one in batch:
            self._done(one.safe)
            if one.cut:
                self._log.warning("mail_cut", uid=one.uid, kept_bytes=one.size_bytes)
            self._parts.metrics.mails.labels("cut" if one.cut else "written").inc()
            self._parts.metrics.mail_bytes.inc(one.size_bytes)
        if read:
            self._move(decide.moved(self._position, read[-1]))
        if self.mailbox.mark_seen and batch:
            with suppress(Refused):  # a wish, not a promise
                connection.mark_seen([one.uid for one in batch])

    def _done(self, future: Future[None]) -> None:
        try:
            future.result(self._parts.delivery_seconds + 5)
        except FutureTimeout as error:
            raise Unavailable("Kafka: no report for a record") from error
        except InvalidInput as error:
            raise Unavailable(str(error)) from error  # a record that never fits would be a fault of ours: stop here, be seen

    def _move(self, position: Position) -> None:
        if position != self._position:
            self._parts.positions.move(self.lease, position)
            self._position = position

    def _well(self) -> None:
        if self.state != "reading":
            self._log.info("mailbox_reading", last_uid=self._position.last_uid)
        self.state, self._failures = "reading", 0
        self._refusals.clear()
        self._told.clear()

    def _trouble(self, error: Exception) -> None:
        """Count, tell once per outage, and ask for somebody where waiting will not help."""
        self.state = "trouble"
        self._failures += 1
        code = error.code if isinstance(error, ChannelsError) else "unexpected"
        self._parts.metrics.faults.labels(code).inc()
        if isinstance(error, LoginRefused):
            self._parts.metrics.logins.labels("refused").inc()
        now = time.monotonic()
        if now - self._told.get(code, -_TELL_AGAIN_SECONDS) < _TELL_AGAIN_SECONDS:
            return
        self._told[code] = now
        more = {"reason": error.reason} if isinstance(error, EgressRefused) else {}
        self._log.warning("mailbox_trouble", code=code, error=str(error), **more)
        if isinstance(error, LoginRefused | FolderMissing | EgressRefused):
            try:
                self._done(self._parts.writer.ask_for_sync(self.mailbox, code, str(error)))
            except ChannelsError:
                del self._told[code]  # Kafka is away: tell it the next time

    def _wait_for_another_token(self, refused: str | None) -> None:
        """Servers lock accounts that try too often: wait long, but not once there is another credential."""
        until = time.monotonic() + decide.pause_seconds(self._failures, first=30, longest=900)
        while time.monotonic() < until and not self._stopping.wait(_REFUSED_LOOK_SECONDS):
            with suppress(Unavailable):
                if self._parts.logins.token_id(self.mailbox) != refused:
                    self._failures = 0
                    return
