"""Bodies too large for a Kafka record, as sealed bytes in an object store: a local directory, or S3 and its like by URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import IO

from obstore.exceptions import BaseError, NotFoundError
from obstore.store import ObjectStore as Store
from obstore.store import from_url

from shared.domain.errors import ConfigError, NotFound, Unavailable

_TIMEOUT = timedelta(seconds=10)  # below it a provider still waits for its answer


class ObjectStore:
    """Puts and gets whole objects. `url`: `file:///directory` (made if missing), `memory:///`, `s3://bucket/prefix`, …

    Hand it sealed bytes only: it encrypts nothing. Credentials of cloud stores come from the process's own identity. Raises
    ConfigError for a URL that cannot work. Safe for threads.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._store = _open(url)

    def put(self, key: str, data: bytes) -> None:
        """Store `data` under `key`, replacing what was there; blocks. Raises Unavailable."""
        with _translated(key):
            self._store.put(key, data)

    async def put_async(self, key: str, data: bytes) -> None:
        """As `put`, without blocking the event loop."""
        with _translated(key):
            await self._store.put_async(key, data)

    def put_file(self, key: str, file: IO[bytes]) -> None:
        """As `put`, from an open file's position, for what is too large for the memory: parts of 5 MiB, two at a time."""
        with _translated(key):
            self._store.put(key, file, max_concurrency=2)

    def get(self, key: str) -> bytes:
        """The object's bytes; blocks. Raises NotFound, Unavailable."""
        with _translated(key):
            return bytes(self._store.get(key).bytes())

    def __repr__(self) -> str:
        return f"ObjectStore({self._url.partition('?')[0]!r})"


def _open(url: str) -> Store:
    try:
        if url.startswith("file:"):
            return from_url(url, mkdir=True)
        if url.startswith("memory:"):
            return from_url(url)
        return from_url(
            url,
            client_options={"timeout": _TIMEOUT, "connect_timeout": timedelta(seconds=3)},
            retry_config={"max_retries": 3, "retry_timeout": _TIMEOUT},
        )
    except (BaseError, ValueError, OSError) as error:
        raise ConfigError(f"CHANNELS_OBJECT_STORE_URL {url!r} cannot be used: {_first_line(error)}") from error


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except (NotFoundError, FileNotFoundError, ValueError) as error:  # ValueError: not a key that `put` would take
        raise NotFound(f"object {key!r} is not in the store") from error
    except (BaseError, OSError) as error:
        raise Unavailable(f"object store: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]  # the rest is the driver's debug dump
