"""Kafka's jars: pinned by SHA-256 in `kafka-jars.lock`, fetched once through jgo, verified before each use.

`python -m deploy.local.jars` resolves them anew and rewrites the lock (for a new Kafka release).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.domain.errors import CorruptData, Unavailable

KAFKA_VERSION = "4.2.2"
# Resolved one by one: jgo lets one root's dependencyManagement rule the others, and log4j's names an old kafka-clients.
_ROOTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5")
_LOCK_FILE = Path(__file__).with_name("kafka-jars.lock")
_FETCHERS = 6
_DRAFT = ".incoming-"
_DRAFT_KEPT_SECONDS = 3600
_CONNECT_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Jar:
    """One pinned file."""

    group: str
    artifact: str
    version: str
    size_bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        """Its name in the cache."""
        return f"{self.artifact}-{self.version}.jar"


def locked_jars(lock_file: Path = _LOCK_FILE) -> tuple[Jar, ...]:
    """The jars of the lock file: `group:artifact:version size sha256` a line, `#` starts a comment."""
    lines = (line.split("#")[0].split() for line in lock_file.read_text().splitlines())
    return tuple(_jar(fields) for fields in lines if fields)


def _jar(fields: Sequence[str]) -> Jar:
    try:
        coordinate, size, sha256 = fields
        group, artifact, version = coordinate.split(":")
        return Jar(group=group, artifact=artifact, version=version, size_bytes=int(size), sha256=sha256)
    except ValueError as error:
        raise CorruptData(f"kafka-jars.lock: `{' '.join(fields)}` is not `group:artifact:version size sha256`") from error


def ensure_jars(cache: Path, say: Callable[[str], None], jars: Sequence[Jar] | None = None) -> tuple[Path, ...]:
    """Paths of all jars, verified. Fetches what is missing or damaged, and says so first.

    Blocks for as long as the downloads take; raises Unavailable when one cannot be fetched, CorruptData when what came
    is not what the lock names. Touches no network when everything is there.
    """
    wanted = locked_jars() if jars is None else tuple(jars)
    folder = cache.expanduser() / "jars"
    missing = [jar for jar in wanted if not _is_good(folder / jar.file_name, jar)]
    if missing:
        megabytes = sum(jar.size_bytes for jar in missing) / 1e6
        say(f"downloading Apache Kafka {KAFKA_VERSION}: {len(missing)} jars, {megabytes:.0f} MB, once, into {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        with ThreadPoolExecutor(_FETCHERS) as fetchers:
            for _ in fetchers.map(lambda jar: _fetch(jar, folder), missing):
                pass
    return tuple(folder / jar.file_name for jar in wanted)


def _sweep(folder: Path) -> None:
    # What killed downloads left; younger ones may belong to another start that is under way.
    for draft in folder.glob(f"{_DRAFT}*"):
        if time.time() - draft.stat().st_mtime > _DRAFT_KEPT_SECONDS:
            shutil.rmtree(draft, ignore_errors=True)


def _is_good(path: Path, jar: Jar) -> bool:
    try:
        return path.stat().st_size == jar.size_bytes and _sha256(path) == jar.sha256
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(jar: Jar, folder: Path) -> None:
    # A folder of its own: jgo writes in place, and an interrupted download must never be taken for a whole one.
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=folder))
    try:
        path = _download(jar, draft)
        if not _is_good(path, jar):
            raise CorruptData(f"{jar.file_name} is not the file that kafka-jars.lock names (SHA-256 differs); nothing was used")
        path.replace(folder / jar.file_name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _download(jar: Jar, draft: Path) -> Path:
    context = _maven(draft)
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    try:
        return Path(artifact.resolve())
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; jgo raises RuntimeError when no repository has it
        raise Unavailable(
            f"{jar.file_name} cannot be downloaded ({type(error).__name__}). The first start needs a Maven repository: check the"
            " network and proxy, or name a mirror in the [repositories] of jgo's settings file, and run it again;"
            " what is already there is kept"
        ) from error


def _maven(cache: Path) -> Any:
    from jgo.config import GlobalSettings  # jgo is only needed for a download
    from jgo.maven import MavenContext

    repositories = getattr(GlobalSettings.load(), "repositories", None)
    return MavenContext(repo_cache=cache, remote_repos=dict(repositories) if repositories else None, timeout=_CONNECT_SECONDS)


def write_lock(roots: Iterable[str] = _ROOTS, lock_file: Path = _LOCK_FILE) -> int:
    """Resolve `roots` and all they need, and pin them; returns how many. Raises CorruptData on two versions of one jar."""
    versions: dict[str, tuple[str, Path]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for root in roots:
            context = _maven(Path(folder))
            inputs, needed = context.resolver.resolve([context.create_dependency(root)])
            for dependency in [*inputs, *(each for each in needed if each.scope in ("compile", "runtime"))]:
                artifact = dependency.artifact
                name = f"{artifact.groupId}:{artifact.artifactId}"
                if versions.setdefault(name, (artifact.version, artifact.resolve()))[0] != artifact.version:
                    raise CorruptData(f"{name} is wanted in two versions: {versions[name][0]} and {artifact.version}")
        lines = [
            f"{name}:{version} {os.stat(path).st_size} {_sha256(path)}" for name, (version, path) in sorted(versions.items())
        ]
    header = "# Kafka's class path: group:artifact:version, bytes, SHA-256. Written by `python -m deploy.local.jars`.\n"
    lock_file.write_text(header + "\n".join(lines) + "\n")
    return len(lines)


if __name__ == "__main__":
    print(f"{write_lock()} jars locked")
