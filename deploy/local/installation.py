"""Makes a running stack usable: key files, database, topics. Every step may be repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from deploy.local.settings_file import keep_settings
from deploy.local.stack import StackAddresses
from shared.domain.errors import Unavailable


def install(
    addresses: StackAddresses, home: Path, *, say: Callable[[str], None], database: str = "channels", topic_prefix: str = ""
) -> dict[str, str]:
    """Keys in `<home>/keys`, `database` with roles and migrations, topics under `topic_prefix`; returns the settings.

    The settings are also kept in `<home>/stack.json`, where services find them. Several installations (each with a home,
    a database and a prefix of its own) may share one stack. Raises ChannelsError; blocks for some seconds.
    """
    # Drivers are loaded only here: `channels status` and `down` start without them.
    from shared.adapters.topics import apply_topics
    from shared.adapters.vault import LocalKeyFiles
    from shared.management.installation import prepare_database

    home = home.expanduser().absolute()
    keys, objects = home / "keys", home / "objects"
    objects.mkdir(parents=True, exist_ok=True, mode=0o700)
    LocalKeyFiles.create(keys)
    say(f"keys       {keys}")
    settings = {
        "kafka_bootstrap": addresses.kafka_bootstrap,
        "topic_prefix": topic_prefix,
        "keys_dir": str(keys),
        "object_store_url": objects.as_uri(),
        **prepare_database(addresses.superuser_url, database),
    }
    say(f"database   {database}, roles and migrations")
    report = apply_topics(addresses.kafka_bootstrap, topic_prefix, 1)
    if report.problems:
        raise Unavailable("topics differ from their declarations: " + "; ".join(report.problems))
    say(f"topics     {len(report.created)} created, {len(report.altered)} settings altered")
    keep_settings(home, settings)
    return settings
