"""Brings a cluster to what `schemas/topics/` declares, and tells where it differs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from shared.adapters.kafka import full_name
from shared.adapters.kafka_admin import KafkaAdmin, TopicState
from shared.adapters.topic_declarations import TopicConsumer, TopicDeclaration, declarations
from shared.domain.errors import ConfigError, Conflict
from shared.domain.topics import Topic

__all__ = ["TopicConsumer", "TopicDeclaration", "TopicReport", "apply_topics", "declarations", "verify_topics"]

_USUAL_REPLICAS = 3
_OFFSETS_RETENTION_MINUTES = 30 * 24 * 60


@dataclass(slots=True)
class TopicReport:
    """What `apply_topics` did, or what `verify_topics` found; every line is complete by itself."""

    created: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    committed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """True if the cluster is no longer what it was."""
        return bool(self.created or self.altered or self.committed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """One topic as it must be on this cluster."""

    name: str
    partitions: int
    replicas: int
    config: Mapping[str, str]
    groups: tuple[str, ...]


def apply_topics(
    bootstrap: str,
    prefix: str,
    replication_factor: int | None = 1,
    *,
    only: Collection[Topic] | None = None,
    partitions: Mapping[Topic, int] | None = None,
    timeout_seconds: float = 30.0,
) -> TopicReport:
    """Create what is missing, set what differs, commit offset 0 for each declared group and partition without one.

    `replication_factor` None: three, or as many as there are brokers. `only`: these topics. `partitions`: other counts
    than the declared ones; they hold for creation, and an existing topic is measured by them. A topic is never deleted
    and its partitions never changed: such differences come back as problems. Blocks; raises Unavailable when Kafka does
    not answer, ConfigError when the cluster is too small, Conflict when it refuses. Running it twice changes nothing.
    """
    admin = KafkaAdmin(bootstrap, timeout_seconds)
    brokers, existing = admin.cluster()
    plans = _plans(prefix, _replicas(replication_factor, len(brokers)), only, partitions or {})
    report = TopicReport(problems=_broker_problems(admin, brokers))
    for plan in plans:
        if plan.name not in existing and admin.create_topic(plan.name, plan.partitions, plan.replicas, plan.config):
            report.created.append(f"{plan.name} ({plan.partitions} partitions)")
    _, existing = admin.cluster()
    for plan in plans:
        state = existing.get(plan.name, TopicState(plan.name, plan.partitions, plan.replicas))
        report.problems += _shape_problems(plan, state)
        differing = _differing(admin, plan)
        if differing:
            admin.set_topic_config(plan.name, {key: wanted for key, (_, wanted) in differing.items()})
            report.altered += [f"{plan.name}: {key} {found} -> {wanted}" for key, (found, wanted) in differing.items()]
        for group in plan.groups:
            _commit_start(admin, group, state, report)
    return report


def verify_topics(
    bootstrap: str,
    prefix: str,
    replication_factor: int | None = 1,
    *,
    only: Collection[Topic] | None = None,
    partitions: Mapping[Topic, int] | None = None,
    timeout_seconds: float = 30.0,
) -> TopicReport:
    """Compare the cluster with the declarations and change nothing; arguments and errors as `apply_topics`."""
    admin = KafkaAdmin(bootstrap, timeout_seconds)
    brokers, existing = admin.cluster()
    report = TopicReport(problems=_broker_problems(admin, brokers))
    for plan in _plans(prefix, _replicas(replication_factor, len(brokers)), only, partitions or {}):
        state = existing.get(plan.name)
        if state is None:
            report.problems.append(f"{plan.name}: missing; `channels topics apply` creates it")
            continue
        report.problems += _shape_problems(plan, state)
        for key, (found, wanted) in _differing(admin, plan).items():
            report.problems.append(f"{plan.name}: {key} is {found}, declared {wanted}; `channels topics apply` sets it")
        for group in plan.groups:
            report.problems += _offset_problems(admin, group, state)
    return report


def _plans(prefix: str, replicas: int, only: Collection[Topic] | None, partitions: Mapping[Topic, int]) -> list[_Plan]:
    durable = {"min.insync.replicas": "2"} if replicas >= _USUAL_REPLICAS else {}
    return [
        _Plan(
            name=full_name(prefix, topic),
            partitions=partitions.get(topic, declaration.partitions),
            replicas=replicas,
            config={**declaration.topic_config(), **durable},
            groups=tuple(f"{prefix}{group}" for group in declaration.groups),
        )
        for topic, declaration in declarations().items()
        if only is None or topic in only
    ]


def _replicas(asked: int | None, brokers: int) -> int:
    if asked is None:
        return min(_USUAL_REPLICAS, brokers)
    if asked > brokers:
        raise ConfigError(f"replication factor {asked} needs {asked} brokers; the cluster has {brokers}")
    return asked


def _broker_problems(admin: KafkaAdmin, brokers: tuple[int, ...]) -> list[str]:
    """An offset that expires makes its group start over; consumers here refuse that, and stop."""
    kept = {broker: int(config["offsets.retention.minutes"]) for broker, config in admin.broker_configs(brokers).items()}
    return [
        f"broker {broker}: offsets.retention.minutes is {minutes}, must be at least {_OFFSETS_RETENTION_MINUTES} (30 days)"
        for broker, minutes in kept.items()
        if minutes < _OFFSETS_RETENTION_MINUTES
    ]


def _shape_problems(plan: _Plan, state: TopicState) -> list[str]:
    problems = []
    if state.partitions != plan.partitions:
        problems.append(
            f"{plan.name}: has {state.partitions} partitions, declared {plan.partitions}; the count is fixed at creation "
            "(docs/ADDING_A_TOPIC.md, 'Another partition count')"
        )
    if state.replicas < plan.replicas:
        problems.append(f"{plan.name}: has {state.replicas} replicas, asked for {plan.replicas}; reassign its partitions")
    return problems


def _differing(admin: KafkaAdmin, plan: _Plan) -> dict[str, tuple[str | None, str]]:
    """Setting → (found, wanted) where both differ."""
    found = admin.topic_configs([plan.name])[plan.name]
    return {key: (found.get(key), wanted) for key, wanted in plan.config.items() if found.get(key) != wanted}


def _commit_start(admin: KafkaAdmin, group: str, state: TopicState, report: TopicReport) -> None:
    committed = admin.committed(group, state.name, state.partitions)
    new = [number for number in range(state.partitions) if number not in committed]
    if not new:
        return
    try:
        admin.commit(group, state.name, dict.fromkeys(new, 0))
    except Conflict as error:
        report.problems.append(f"{group}: no committed offset on {state.name} {new}, and it has members: stop them ({error})")
    else:
        report.committed.append(f"{group}: offset 0 on {state.name} {new}")


def _offset_problems(admin: KafkaAdmin, group: str, state: TopicState) -> list[str]:
    committed = admin.committed(group, state.name, state.partitions)
    problems = []
    for number, (first, end) in admin.bounds(state.name, state.partitions).items():
        where = f"{group}: {state.name} partition {number}"
        offset = committed.get(number)
        if offset is None:
            problems.append(f"{where} has no committed offset; `channels topics apply` commits 0")
        elif not first <= offset <= end:
            problems.append(f"{where}: committed {offset} lies outside of what is there, {first} to {end}")
    return problems
