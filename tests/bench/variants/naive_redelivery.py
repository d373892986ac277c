"""Redelivery as one would write it first: for each row a transaction, a seek, a write that is waited for, and a transaction."""

from __future__ import annotations

import os
import signal
import sys

from services.relay.copies import copy_of
from shared.adapters.avro import Codec
from shared.adapters.placed_records import Copy, PlacedRecords
from shared.adapters.redelivery_rows import RedeliveryRows
from shared.domain.topics import Topic


def main() -> None:
    """Send what is due, one after the other, until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    rows = RedeliveryRows(os.environ["CHANNELS_DATABASE_WORKER_URL"])
    codec = Codec()
    with PlacedRecords(os.environ["BENCH_BOOTSTRAP"], os.environ["BENCH_TOPIC"]) as raw:
        everything = dict.fromkeys(raw.partitions(), (0, 2**62))
        while True:
            sending = rows.take(1)
            for row in sending.rows:
                [record] = raw.each([(row.partition, row.offset)], everything)
                event = copy_of(row, codec.decode(Topic.WEBHOOK_RECEIVED, record.value))
                value = codec.encode(Topic.WEBHOOK_RECEIVED, event)
                [place] = raw.append([Copy(record.partition, record.key, value, record.headers)])
                if place is not None:
                    rows.note_copies(sending, {row: place[1]})


if __name__ == "__main__":
    main()
