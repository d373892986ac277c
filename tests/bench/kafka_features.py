"""Raises a feature of a Kafka cluster by the wire protocol: no client of Python offers `UpdateFeatures`.

The embedded node is formatted without features, so its groups know the classic protocol only; KIP-848 needs `group.version` 1,
and that a newer `metadata.version`. https://kafka.apache.org/protocol (API key 57, version 1).
"""

from __future__ import annotations

import socket
import struct

_NEWEST_METADATA, _OLDEST_METADATA = 40, 22  # levels; the highest one that the node takes


def offer_new_groups(bootstrap: str) -> None:
    """Let groups of this node use KIP-848. Raises RuntimeError where it has no level that will do."""
    for level in range(_NEWEST_METADATA, _OLDEST_METADATA - 1, -1):
        if _update(bootstrap, "metadata.version", level) == 0:
            break
    code = _update(bootstrap, "group.version", 1)
    if code:
        raise RuntimeError(f"group.version 1 is refused: error {code}")


def _update(bootstrap: str, feature: str, level: int) -> int:
    """The error code: 0 for done."""
    name = feature.encode()
    one = bytes([len(name) + 1]) + name + struct.pack(">hb", level, 1) + b"\0"  # 1: an upgrade
    body = struct.pack(">i", 30_000) + b"\x02" + one + b"\0" + b"\0"  # an array of one; not only validated; no tags
    request = struct.pack(">hhi", 57, 1, 1) + struct.pack(">h", 5) + b"bench" + b"\0" + body
    host, _, port = bootstrap.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=40) as wire:
        wire.sendall(struct.pack(">i", len(request)) + request)
        size = struct.unpack(">i", _exactly(wire, 4))[0]
        answer = _exactly(wire, size)
    code: int = struct.unpack(">h", answer[9:11])[0]  # behind correlation id, tags and throttle time
    return code


def _exactly(wire: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = wire.recv(size - len(found))
        if not part:
            raise ConnectionError("the broker hung up")
        found += part
    return found
