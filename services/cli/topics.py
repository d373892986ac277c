"""`channels topics`: create and verify topics, list the declarations, check the schemas."""

from __future__ import annotations

import click

from services.cli.groups import Group
from shared.domain.errors import InvalidInput
from shared.domain.topics import Topic
from shared.runtime.settings import KafkaSettings, load

_replication = click.option(
    "--replication-factor",
    type=click.IntRange(min=1),
    help="Copies of each partition. Default: 3, or as many as there are brokers.",
)
_partitions = click.option(
    "--partitions", "counts", multiple=True, metavar="TOPIC=N", help="Another partition count than declared; may be repeated."
)


@click.group(cls=Group, examples=("channels topics apply", "channels topics verify"))
def topics() -> None:
    """Create and verify topics; check schemas."""


@topics.command(
    "apply",
    examples=("channels topics apply", "channels topics apply --replication-factor 3 --partitions channels.webhook.received=24"),
)
@_replication
@_partitions
def apply_command(replication_factor: int | None, counts: tuple[str, ...]) -> None:
    """Create missing topics, set differing settings, commit first offsets. Running it twice changes nothing."""
    from shared.adapters.topics import apply_topics

    kafka = load(KafkaSettings)
    report = apply_topics(kafka.kafka_bootstrap, kafka.topic_prefix, replication_factor, partitions=_parse_counts(counts))
    for heading, lines in (("created", report.created), ("set", report.altered), ("committed", report.committed)):
        for line in lines:
            click.echo(f"{heading:<10} {line}")
    if not report.changed:
        click.echo("topics are as declared; nothing to do" if not report.problems else "nothing changed")
    _end_with(report.problems)


@topics.command("verify", examples=("channels topics verify",))
@_replication
@_partitions
def verify_command(replication_factor: int | None, counts: tuple[str, ...]) -> None:
    """Compare the cluster with the declarations; change nothing. Exit 1 on a difference."""
    from shared.adapters.topics import verify_topics

    kafka = load(KafkaSettings)
    report = verify_topics(kafka.kafka_bootstrap, kafka.topic_prefix, replication_factor, partitions=_parse_counts(counts))
    if not report.problems:
        click.echo(f"{len(Topic)} topics are as declared")
    _end_with(report.problems)


@topics.command("list", examples=("channels topics list",))
def list_command() -> None:
    """Print the declared topics. Needs no broker."""
    from shared.adapters.topic_declarations import declarations

    for declaration in declarations().values():
        kept = "compacted" if declaration.retention_days is None else f"{declaration.retention_days} days"
        readers = ", ".join(consumer.service for consumer in declaration.consumers)
        click.echo(declaration.topic.value)
        click.echo(f"    {declaration.schema}, key: {declaration.key}, {declaration.partitions} partitions, {kept}")
        click.echo(f"    {', '.join(declaration.producers)} -> {readers}")
        click.echo(f"    {declaration.purpose}")


@topics.command("check-schemas", examples=("channels topics check-schemas",))
def check_schemas_command() -> None:
    """Check the declarations, and each schema against every released one. Needs no broker. Exit 1 on a fault."""
    from shared.adapters.schema_compatibility import incompatibilities
    from shared.adapters.schema_files import current_schemas, released_schemas
    from shared.adapters.topic_declarations import declarations

    current, released = current_schemas(), released_schemas()
    faults = [
        f"{declaration.topic.value}: schemas/avro/{declaration.schema}.avsc is missing"
        for declaration in declarations().values()
        if declaration.schema not in current
    ]
    faults += incompatibilities(current, released)
    if not faults:
        click.echo(f"{len(current)} schemas read everything that was written since {', '.join(released)}")
    _end_with(faults)


def _parse_counts(counts: tuple[str, ...]) -> dict[Topic, int]:
    parsed = {}
    for text in counts:
        name, _, number = text.partition("=")
        if name not in {topic.value for topic in Topic} or not number.isdigit() or int(number) < 1:
            raise InvalidInput(f"--partitions {text}: must be TOPIC=N with a declared topic; `channels topics list` names them")
        parsed[Topic(name)] = int(number)
    return parsed


def _end_with(problems: list[str]) -> None:
    for problem in problems:
        click.echo(f"PROBLEM    {problem}", err=True)
    if problems:
        raise SystemExit(1)
