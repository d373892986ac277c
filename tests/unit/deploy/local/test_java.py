from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local import java
from deploy.local.java import find_java, parse_version
from shared.domain.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_402"', 8),
        ("no such thing", None),
    ],
)
def test_the_major_version_is_read(text: str, version: int | None) -> None:
    assert parse_version(text) == version


def test_the_first_java_that_is_new_enough_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {Path("/old/java"): 11, Path("/broken/java"): None, Path("/new/java"): 21, Path("/newer/java"): 25}
    monkeypatch.setattr(java, "_candidates", lambda _: iter(versions))
    monkeypatch.setattr(java, "java_version", versions.get)
    assert find_java(None) == Path("/new/java")


def test_what_was_found_instead_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "_candidates", lambda _: iter([Path("/old/java")]))
    monkeypatch.setattr(java, "java_version", lambda _: 11)
    with pytest.raises(ConfigError, match=r"Java 17 or newer, found only /old/java \(Java 11\).*JAVA_HOME"):
        find_java(None)
