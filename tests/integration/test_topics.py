"""`channels topics` against the real broker."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, Producer, TopicPartition

from services.cli.topics import topics
from shared.adapters.kafka import client_config, full_name
from shared.adapters.kafka_admin import KafkaAdmin
from shared.adapters.topics import apply_topics, declarations, verify_topics
from shared.domain.errors import ConfigError, Unavailable
from shared.domain.topics import Topic

RAW = Topic.WEBHOOK_RECEIVED
SOME = (RAW, Topic.AUDIT, Topic.ACCOUNT_SNAPSHOT)


def test_apply_creates_every_declared_topic_and_a_second_time_changes_nothing(kafka_bootstrap: str, topic_prefix: str) -> None:
    first = apply_topics(kafka_bootstrap, topic_prefix)
    assert len(first.created) == len(Topic)
    groups = {"channels-router": RAW, "channels-router-intake": Topic.INTAKE_COMPLETED, "channels-health": Topic.AUDIT}
    assert sorted(first.committed) == sorted(
        f"{topic_prefix}{group}: offset 0 on {full_name(topic_prefix, topic)} [0, 1, 2, 3, 4, 5]"
        for group, topic in groups.items()
    )
    assert first.problems == []

    second = apply_topics(kafka_bootstrap, topic_prefix)
    assert not second.changed
    assert second.problems == []
    assert verify_topics(kafka_bootstrap, topic_prefix).problems == []

    admin = KafkaAdmin(kafka_bootstrap)
    _, present = admin.cluster()
    for topic, declaration in declarations().items():
        name = full_name(topic_prefix, topic)
        assert present[name].partitions == declaration.partitions
        found = admin.topic_configs([name])[name]
        assert {key: found[key] for key in declaration.topic_config()} == declaration.topic_config()


def test_the_router_starts_at_offset_0_of_every_partition(kafka_bootstrap: str, topic_prefix: str) -> None:
    apply_topics(kafka_bootstrap, topic_prefix, only=[RAW])
    committed = KafkaAdmin(kafka_bootstrap).committed(f"{topic_prefix}channels-router", full_name(topic_prefix, RAW), 6)
    assert committed == dict.fromkeys(range(6), 0)


def test_a_committed_offset_stays_where_it_is(kafka_bootstrap: str, topic_prefix: str) -> None:
    apply_topics(kafka_bootstrap, topic_prefix, only=[RAW])
    name, group = full_name(topic_prefix, RAW), f"{topic_prefix}channels-router"
    producer = Producer(client_config(kafka_bootstrap, "test"))
    producer.produce(name, b"x", partition=2)
    assert producer.flush(10) == 0
    admin = KafkaAdmin(kafka_bootstrap)
    admin.commit(group, name, {2: 1})
    assert not apply_topics(kafka_bootstrap, topic_prefix, only=[RAW]).changed
    assert admin.committed(group, name, 6) == {0: 0, 1: 0, 2: 1, 3: 0, 4: 0, 5: 0}
    assert verify_topics(kafka_bootstrap, topic_prefix, only=[RAW]).problems == []


def test_another_partition_count_is_reported_and_left_alone(kafka_bootstrap: str, topic_prefix: str) -> None:
    apply_topics(kafka_bootstrap, topic_prefix, only=SOME, partitions={RAW: 2})
    name = full_name(topic_prefix, RAW)
    for report in (
        apply_topics(kafka_bootstrap, topic_prefix, only=SOME),
        verify_topics(kafka_bootstrap, topic_prefix, only=SOME),
    ):
        assert [line.split(";")[0] for line in report.problems] == [f"{name}: has 2 partitions, declared 6"]
        assert not report.changed
    assert verify_topics(kafka_bootstrap, topic_prefix, only=SOME, partitions={RAW: 2}).problems == []


def test_a_changed_setting_is_reported_by_verify_and_set_by_apply(kafka_bootstrap: str, topic_prefix: str) -> None:
    apply_topics(kafka_bootstrap, topic_prefix, only=SOME)
    name = full_name(topic_prefix, RAW)
    KafkaAdmin(kafka_bootstrap).set_topic_config(name, {"retention.ms": "1000", "max.message.bytes": "2000000"})

    (problem,) = verify_topics(kafka_bootstrap, topic_prefix, only=SOME).problems
    assert problem.startswith(f"{name}: retention.ms is 1000, declared 691200000")

    assert apply_topics(kafka_bootstrap, topic_prefix, only=SOME).altered == [f"{name}: retention.ms 1000 -> 691200000"]
    assert verify_topics(kafka_bootstrap, topic_prefix, only=SOME).problems == []
    assert KafkaAdmin(kafka_bootstrap).topic_configs([name])[name]["max.message.bytes"] == "2000000"


def test_verify_names_what_is_missing(kafka_bootstrap: str, topic_prefix: str) -> None:
    apply_topics(kafka_bootstrap, topic_prefix, only=[Topic.AUDIT])
    problems = verify_topics(kafka_bootstrap, topic_prefix, only=SOME).problems
    assert problems == [
        f"{full_name(topic_prefix, topic)}: missing; `channels topics apply` creates it" for topic in (RAW, SOME[2])
    ]


def test_an_offset_beyond_the_end_is_reported(kafka_bootstrap: str, topic_prefix: str) -> None:
    apply_topics(kafka_bootstrap, topic_prefix, only=[RAW])
    KafkaAdmin(kafka_bootstrap).commit(f"{topic_prefix}channels-router", full_name(topic_prefix, RAW), {4: 7})
    (problem,) = verify_topics(kafka_bootstrap, topic_prefix, only=[RAW]).problems
    assert problem.endswith("partition 4: committed 7 lies outside of what is there, 0 to 0")


def test_a_group_with_members_is_not_moved(kafka_bootstrap: str, topic_prefix: str) -> None:
    apply_topics(kafka_bootstrap, topic_prefix, only=[Topic.AUDIT])
    name, group = full_name(topic_prefix, RAW), f"{topic_prefix}channels-router"
    admin = KafkaAdmin(kafka_bootstrap)
    admin.create_topic(name, 6, 1, declarations()[RAW].topic_config())
    consumer = Consumer({**client_config(kafka_bootstrap, "test"), "group.id": group, "enable.auto.commit": False})
    try:
        consumer.subscribe([name])
        for _ in range(100):
            consumer.poll(0.1)
            if consumer.assignment():
                break
        assert len(consumer.assignment()) == 6
        (problem,) = apply_topics(kafka_bootstrap, topic_prefix, only=[RAW]).problems
        assert "it has members: stop them" in problem
        assert all(position.offset < 0 for position in consumer.committed([TopicPartition(name, n) for n in range(6)], 10))
    finally:
        consumer.close()


def test_an_offset_in_an_open_transaction_is_waited_for_and_never_taken_for_none(kafka_bootstrap: str, topic_prefix: str) -> None:
    apply_topics(kafka_bootstrap, topic_prefix, only=[Topic.AUDIT])
    name, group = full_name(topic_prefix, RAW), f"{topic_prefix}channels-router"
    KafkaAdmin(kafka_bootstrap).create_topic(name, 6, 1, declarations()[RAW].topic_config())
    producer = Producer({**client_config(kafka_bootstrap, "test"), "transactional.id": f"{topic_prefix}test"})
    producer.init_transactions(10)
    consumer = Consumer({**client_config(kafka_bootstrap, "test"), "group.id": group})
    try:
        producer.begin_transaction()
        producer.send_offsets_to_transaction([TopicPartition(name, 3, 5)], consumer.consumer_group_metadata(), 10)
        with pytest.raises(Unavailable):
            apply_topics(kafka_bootstrap, topic_prefix, only=[RAW], timeout_seconds=2)
        producer.commit_transaction(10)
        apply_topics(kafka_bootstrap, topic_prefix, only=[RAW])
        assert KafkaAdmin(kafka_bootstrap).committed(group, name, 6) == {0: 0, 1: 0, 2: 0, 3: 5, 4: 0, 5: 0}
    finally:
        consumer.close()


def test_a_cluster_too_small_for_the_replicas_is_a_setting_to_correct(kafka_bootstrap: str, topic_prefix: str) -> None:
    with pytest.raises(ConfigError, match="replication factor 3 needs 3 brokers; the cluster has 1"):
        apply_topics(kafka_bootstrap, topic_prefix, 3)


def test_an_unreachable_broker_is_named_with_the_mend() -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 .*`channels up`"):
        verify_topics("127.0.0.1:1", "x.", timeout_seconds=1)


@pytest.fixture
def settings(kafka_bootstrap: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHANNELS_KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("CHANNELS_TOPIC_PREFIX", topic_prefix)


def test_the_command_tells_what_it_did_and_what_is_wrong(settings: None, topic_prefix: str) -> None:
    runner = CliRunner()
    created = runner.invoke(topics, ["apply"])
    assert created.exit_code == 0
    assert f"created    {topic_prefix}message.received (6 partitions)" in created.stdout
    assert runner.invoke(topics, ["apply"]).stdout == "topics are as declared; nothing to do\n"
    assert runner.invoke(topics, ["verify"]).stdout == f"{len(Topic)} topics are as declared\n"

    other = runner.invoke(topics, ["verify", "--partitions", "message.received=9"])
    assert other.exit_code == 1
    assert f"PROBLEM    {topic_prefix}message.received: has 6 partitions, declared 9" in other.stderr
