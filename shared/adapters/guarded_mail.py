"""Mail servers that tenants name, for readers with a thread of their own: judged by the egress guard before a socket is made.

The name is looked up once for a session, every one of its addresses is judged, and exactly those are connected to.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Sequence

from shared.adapters.egress import Egress
from shared.adapters.egress_target import MAIL_PORTS, read_target
from shared.adapters.guarded_dial import asked_name, judged, system_addresses
from shared.adapters.imap import Endpoint, ServerAway
from shared.adapters.mail_line import first_connection

# name → addresses in text form; blocks, raises OSError.
BlockingLookup = Callable[[str], Sequence[str]]


class GuardedServers:
    """`egress`: the rules of URLs that tenants set, with the ports of mail beside its own. Safe for threads."""

    def __init__(self, egress: Egress, tls: ssl.SSLContext, lookup: BlockingLookup = system_addresses) -> None:
        self._egress = egress
        self._tls = tls
        self._lookup = lookup

    def endpoint(self, url: str, *, plain: bool = False) -> Endpoint:
        """Where `imaps://host:port` (`imap`: STARTTLS, or `plain`) is, for one session; opens no connection.

        Blocks for the name's look-up. Raises EgressRefused, and ServerAway for a name without an address.
        """
        target = read_target(url, MAIL_PORTS)
        self._egress.admit(target)
        if target.address is not None:
            addresses = [str(target.address)]
        else:
            try:
                addresses = [str(one) for one in judged(self._egress, target, self._lookup(asked_name(self._egress, target)))]
            except OSError as error:
                raise ServerAway(f"{target.host} has no address now ({error.strerror or error})") from error

        def dial(where: tuple[str, int], seconds: float) -> socket.socket:
            until = time.monotonic() + seconds
            return first_connection(addresses, where[1], lambda: max(0.001, until - time.monotonic()))

        return Endpoint(
            host=target.host,
            port=target.port,
            tls=None if plain else self._tls,
            starttls=not plain and target.scheme == "imap",
            dial=dial,
        )
