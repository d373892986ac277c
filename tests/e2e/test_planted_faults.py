"""The oracle bites: a fault planted in each service is caught through real processes (`make chaos` plays all of them)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.stack import StackAddresses
from tests.chaos.planted.cases import CASES, CONTROLS
from tests.chaos.planted.stage import play

QUICK = ("claim_without_owner", "forgetful_drain", "dropped_row")


@pytest.mark.parametrize("module", QUICK)
def test_a_planted_fault_is_caught(module: str, stack: StackAddresses, tmp_path: Path):
    [case] = (one for one in CASES if one.module == module)

    result = play(case, tmp_path, stack)

    assert result.as_expected, f"{result.found}; moments {result.moments}\n{result.report.as_text()}"
    assert 0 < result.after <= result.report.posted


PLANT_ALL = """
import importlib, os, sys
import tests.chaos.planted.start  # once, before the forks
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        importlib.import_module(f"tests.chaos.planted.{name}").plant()
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(name)
"""


def test_each_fault_can_still_be_planted():
    """The names that it changes may have moved; a process of its own, for what is planted stays."""
    names = sorted(
        {module for case in (*CASES, *CONTROLS) for module in (case.module, *case.beside.values()) if "." not in module}
    )
    told = subprocess.run([sys.executable, "-c", PLANT_ALL, *names], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [], told.stderr
