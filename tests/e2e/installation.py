"""One installation as a user makes it: `channels up` and `channels apply`, as processes, in a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.world import World
from deploy.local.fleet_plan import FLEET_PORTS
from deploy.local.ports import choose_port

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Installation:
    """A running stack and fleet; `connector_id` is the one that the manifest names."""

    home: Path
    world: World


def channels(
    home: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    seconds: float = 240,
    expected: tuple[int, ...] = (0,),
) -> str:
    """Run one command of the CLI; its output. Fails the test if it ends with another code than `expected`, or if something
    was written where it was called, by itself or by the processes that earlier commands started there."""
    directory = home.with_name(f"{home.name}-called")
    directory.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        cwd=directory,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "CHANNELS_STACK": "embedded", "CHANNELS_HOME": str(home)}
        | dict(environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode in expected, f"channels {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}"
    written = sorted(path.name for path in directory.iterdir())
    assert not written, f"{written} written where channels {arguments[0]} was called"
    return done.stdout


@contextmanager
def installed(home: Path, manifest: Path, secrets: Mapping[str, str]) -> Iterator[Installation]:
    """Up, applied, and taken down again."""
    try:
        channels(home, "up", environment=_ports())
        channels(home, "apply", "-f", str(manifest), environment=secrets)
        world = World(home)
        try:
            yield Installation(home, world)
        finally:
            world.close()
    finally:
        channels(home, "down")


def _ports() -> dict[str, str]:
    """Not the usual ones: installations that start side by side would race for them."""
    chosen: dict[str, int] = {}
    for port in FLEET_PORTS:
        chosen[port] = choose_port(given=None, before=None, purpose=port, variable="", taken=frozenset(chosen.values()))
    return {f"CHANNELS_{port.upper()}": str(number) for port, number in chosen.items()}
