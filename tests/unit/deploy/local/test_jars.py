from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.jars import KAFKA_VERSION, locked_jars
from shared.domain.errors import CorruptData

LOCK = Path(__file__).parents[4] / "deploy" / "local" / "kafka-jars.lock"


def test_every_jar_is_pinned_once_with_size_and_sum() -> None:
    jars = locked_jars()
    assert len(jars) > 40
    assert len({jar.artifact for jar in jars}) == len(jars)
    assert all(len(jar.sha256) == 64 and jar.size_bytes > 0 for jar in jars)


def test_all_of_kafka_is_of_one_release_and_can_log() -> None:
    jars = {jar.artifact: jar.version for jar in locked_jars()}
    assert {version for name, version in jars.items() if name.startswith("kafka")} == {KAFKA_VERSION}
    assert KAFKA_VERSION.rpartition(".")[0] not in ("4.3", "4.4"), "they leave transaction markers out (docs/DECISIONS.md)"
    assert {"log4j-core", "log4j-slf4j-impl"} <= jars.keys()


def test_the_lock_names_no_host() -> None:
    assert "://" not in LOCK.read_text()


def test_a_damaged_line_is_shown(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("# a comment\n\ngroup:artifact:1.0 12\n")
    with pytest.raises(CorruptData, match=r"group:artifact:1\.0 12"):
        locked_jars(lock)
