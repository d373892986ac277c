"""`channels simulate` against a simulator process: serve, order, advance, ledger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from services.cli.__main__ import cli
from services.cli.simulate import simulate
from shared.domain.errors import InvalidInput
from tests.edge import free_port
from tests.waiting import eventually


def order(*arguments: str) -> Result:
    return CliRunner().invoke(simulate, list(arguments))


@pytest.fixture
def address() -> Iterator[str]:
    port = free_port()
    settings = {"SIMULATOR_PORT": str(port), "SIMULATOR_SPEED": "0", "SIMULATOR_START_MS": "1790000000000"}
    process = subprocess.Popen([sys.executable, "-m", "services.simulator"], env=os.environ | settings)

    def answers() -> bool:
        try:
            return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/_control/state", timeout=1).status == 200)
        except OSError:
            return False

    try:
        eventually(answers, 20)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(10) == 0


def test_orders_from_the_command_line(address: str) -> None:
    made = json.loads(
        order("order", "evolution", "create", '{"callback_url": "http://127.0.0.1:9/x"}', "--address", address).output
    )
    assert made["done"]["id"] == "loja-1"
    order("order", "evolution", "say", '{"account": "loja-1"}', "--address", address)
    assert json.loads(order("advance", "3600", "--address", address).output)["attempts"] == 10
    lines = order("ledger", "--address", address).output.splitlines()
    assert len(lines) == 10
    assert "messages.upsert #1: no answer, waiting, again in" in lines[0]
    assert lines[-1].endswith("no answer, dropped")
    assert isinstance(order("order", "nobody", "say", "--address", address).exception, InvalidInput)


def test_without_a_simulator_the_way_out_is_named() -> None:
    found = order("ledger", "--address", f"http://127.0.0.1:{free_port()}").exception
    assert isinstance(found, InvalidInput)
    assert "channels simulate serve" in str(found)


def test_it_is_among_the_commands() -> None:
    assert "simulate" in CliRunner().invoke(cli, ["--help"]).output
