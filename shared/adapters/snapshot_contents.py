"""What the compacted snapshot topics hold now: which objects, of which tenant, at which version."""

from __future__ import annotations

from dataclasses import dataclass

from shared.adapters.avro import Codec
from shared.adapters.kafka import full_name
from shared.adapters.topic_reader import TopicReader
from shared.domain.errors import CorruptData, NotFound
from shared.domain.snapshots import AccountSnapshot, ConnectorSnapshot
from shared.domain.topics import Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSnapshot:
    """The newest snapshot of one object that has not been deleted."""

    topic: Topic
    subject_id: str
    tenant_id: str
    version: int  # the highest one under this key since it was last deleted


def published_snapshots(bootstrap: str, topic_prefix: str, codec: Codec) -> dict[str, PublishedSnapshot]:
    """Id -> snapshot of every connector and account. Blocks; raises Unavailable. A topic that is not there holds nothing."""
    found: dict[str, PublishedSnapshot] = {}
    for topic in (Topic.CONNECTOR_SNAPSHOT, Topic.ACCOUNT_SNAPSHOT):
        try:
            with TopicReader(bootstrap, full_name(topic_prefix, topic)) as reader:
                for record in reader.scan():
                    if record.value is None:
                        found.pop(record.key or "", None)
                        continue
                    try:
                        snapshot: ConnectorSnapshot | AccountSnapshot = codec.decode(topic, record.value)
                    except CorruptData:
                        continue  # its readers skip it, too
                    key = record.key or ""
                    before = found[key].version if key in found else 0
                    found[key] = PublishedSnapshot(
                        topic=topic,
                        subject_id=key,
                        tenant_id=snapshot.tenant_id,
                        version=max(before, snapshot.version),
                    )
        except NotFound:
            continue
    return found
