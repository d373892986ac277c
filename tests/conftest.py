"""Fixtures for every test: one real Kafka and PostgreSQL per run, a topic prefix of its own per test.

`CHANNELS_TEST_HOME=<directory>` uses the stack of that directory, starts it if need be, and leaves it running, so that
a second run begins at once. Without it a run has a stack in a temporary directory and stops it at its end.
`CHANNELS_STACK=external` uses CHANNELS_KAFKA_BOOTSTRAP and CHANNELS_SUPERUSER_URL and starts nothing.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from deploy.local.home_lock import HomeLock
from deploy.local.identity import read_identity, write_identity
from deploy.local.stack import LocalStack, StackAddresses

pytest_plugins = [name for name in ("tests.database_fixtures",) if find_spec(name)]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background with SIGINT ignored, and children inherit that: those of tests would not end.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long one example takes says something of the machine and its other work, nothing of the code.
settings.register_profile("busy machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

_WAIT_SECONDS = 180.0  # for another run that starts the same stack, downloads included


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--model-runs 20000` makes the model of the inbound path a long run."""
    parser.addoption("--model-runs", type=int, default=300, help="random histories of the inbound model (tests/unit/model)")


def _tell(line: str) -> None:
    print(line, file=sys.__stderr__, flush=True)


@pytest.fixture(scope="session")
def local_stack() -> Iterator[LocalStack]:
    """The stack of this run, started."""
    kept = os.environ.get("CHANNELS_TEST_HOME")
    if kept:
        stack = LocalStack(Path(kept), say=_tell)
        stack.start(_WAIT_SECONDS)
        yield stack
        return
    homes = Path(tempfile.gettempdir()) / f"channels-tests-{os.geteuid()}"
    home = homes / str(os.getpid())
    with HomeLock(homes).held("test", _WAIT_SECONDS):
        _sweep(homes)
        home.mkdir(mode=0o700)
        write_identity(home / "owner.json", os.getpid())
    stack = LocalStack(home, say=_tell)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(home, ignore_errors=True)


def _sweep(homes: Path) -> None:
    # A run that was killed could not stop its stack; the next run does.
    for home in (entry for entry in homes.iterdir() if entry.is_dir()):
        owner = read_identity(home / "owner.json")
        if owner is None or not owner.alive():
            LocalStack(home).stop()
            shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> StackAddresses:
    """Addresses of the run's Kafka and PostgreSQL."""
    if os.environ.get("CHANNELS_STACK") == "external":
        return StackAddresses(
            kafka_bootstrap=os.environ["CHANNELS_KAFKA_BOOTSTRAP"], superuser_url=os.environ["CHANNELS_SUPERUSER_URL"]
        )
    local: LocalStack = request.getfixturevalue("local_stack")
    return local.running() or local.start(_WAIT_SECONDS)


@pytest.fixture(scope="session")
def kafka_bootstrap(stack: StackAddresses) -> str:
    """`host:port` of the run's Kafka."""
    return stack.kafka_bootstrap


@pytest.fixture
def topic_prefix() -> str:
    """Makes the topics and consumer groups of one test its own."""
    return f"t{uuid4().hex[:12]}."
