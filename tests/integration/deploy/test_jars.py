"""Downloads are verified before use, whole or not there at all. The Maven repository is a directory served here."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.local.jars import Jar, ensure_jars
from shared.domain.errors import CorruptData, Unavailable

CONTENT = b"a small jar"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Requests are not worth a line."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    root = tmp_path / "maven"
    folder = root / "org" / "example" / "small" / "1.0"
    folder.mkdir(parents=True)
    (folder / "small-1.0.jar").write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    settings = tmp_path / "jgo.conf"
    settings.write_text(f"[repositories]\nhere = http://127.0.0.1:{server.server_address[1]}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


def _jar(name: str = "small", sha256: str = hashlib.sha256(CONTENT).hexdigest()) -> Jar:
    return Jar(group="org.example", artifact=name, version="1.0", size_bytes=len(CONTENT), sha256=sha256)


def test_a_jar_is_fetched_once_and_said_before(repository: Path, tmp_path: Path) -> None:
    said: list[str] = []
    (path,) = ensure_jars(tmp_path / "cache", said.append, [_jar()])
    assert path.read_bytes() == CONTENT
    assert len(said) == 1
    assert "downloading" in said[0]
    assert str(tmp_path / "cache") in said[0]

    (repository / "small-1.0.jar").unlink()
    assert ensure_jars(tmp_path / "cache", said.append, [_jar()]) == (path,)
    assert len(said) == 1


def test_a_damaged_jar_in_the_cache_is_fetched_again(repository: Path, tmp_path: Path) -> None:
    (path,) = ensure_jars(tmp_path / "cache", lambda _: None, [_jar()])
    path.write_bytes(b"A small jar")
    ensure_jars(tmp_path / "cache", lambda _: None, [_jar()])
    assert path.read_bytes() == CONTENT


def test_a_jar_with_another_sum_is_refused_and_not_kept(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(CorruptData, match=r"small-1\.0\.jar.*SHA-256"):
        ensure_jars(tmp_path / "cache", lambda _: None, [_jar(sha256="0" * 64)])
    assert list((tmp_path / "cache" / "jars").iterdir()) == []


def test_a_jar_that_no_repository_has_is_named(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"absent-1\.0\.jar cannot be downloaded"):
        ensure_jars(tmp_path / "cache", lambda _: None, [_jar("absent")])
    assert list((tmp_path / "cache" / "jars").iterdir()) == []
