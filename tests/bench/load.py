"""Starts a load generator beside the server: Debian's wrk where it is installed, else our own client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shared.providers.whatsapp_official.samples import sign
from tests.bench.processes import ROOT
from tests.bench.site import APP_SECRET


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the clients saw. `refused`: any status but 200; `broken`: connections that failed."""

    answers: int
    seconds: float
    refused: int
    broken: int
    p50_ms: float
    p99_ms: float


def sign_all(bodies: Iterable[bytes], file: Path) -> Path:
    """Write `signature, tab, body` lines; the bodies hold no line feed."""
    with file.open("wb") as out:
        for body in bodies:
            out.write(sign(body, APP_SECRET).encode() + b"\t" + body + b"\n")
    return file


def generator() -> str:
    """Which one will be used."""
    return "wrk" if shutil.which("wrk") else "our own client"


def closed_loop(port: int, path: str, requests: Path, *, connections: int, seconds: float) -> Answers:
    """As fast as `connections` clients get their answers. Blocks; raises RuntimeError if the generator fails."""
    wrk = shutil.which("wrk")
    if wrk is not None:
        script = Path(__file__).with_name("wrk.lua")
        shape = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-s", str(script)]
        command = [wrk, *shape, f"http://127.0.0.1:{port}{path}", "--", str(requests)]
    else:
        arguments = (port, path, requests, connections, seconds)
        command = [sys.executable, "-m", "tests.bench.closed_load", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds + 60, env=dict(os.environ)
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
    return Answers(**json.loads(done.stdout.strip().splitlines()[-1]))
