"""A process that follows the snapshots as ingest and router do, and tells when each change has reached its directory.

A line of JSON per change after the first reading: [seconds since 1970, kind, id, version]; version null is a deletion, and a
negative one a snapshot that was older than the one in hand.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from shared.adapters.avro import Codec
from shared.adapters.snapshots import SnapshotReader
from shared.domain.snapshots import AccountSnapshot, ConnectorSnapshot
from shared.runtime.settings import KafkaSettings, load


def main() -> None:
    """Say `ready`, then tell changes until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = load(KafkaSettings)
    reader = SnapshotReader(settings.kafka_bootstrap, settings.topic_prefix, Codec(settings.schema_registry_url))
    directory: Any = reader.directory
    for name in ("put_account", "put_connector", "delete_account", "delete_connector"):
        setattr(directory, name, _told(getattr(directory, name), name.partition("_")[2], reader))
    reader.start()
    while not reader.wait_ready(1):
        pass
    print("ready", flush=True)
    while True:
        signal.pause()


def _told(change: Callable[[Any], bool], kind: str, reader: SnapshotReader) -> Callable[[Any], bool]:
    def told(value: AccountSnapshot | ConnectorSnapshot | str) -> bool:
        changed = change(value)
        if reader.ready:
            version = None if isinstance(value, str) else value.version if changed else -value.version
            subject = value if isinstance(value, str) else getattr(value, f"{kind}_id")
            print(json.dumps([time.time(), kind, subject, version]), flush=True)
        return changed

    return told


if __name__ == "__main__":
    main()
