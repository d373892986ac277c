from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tests.chaos.planted import cases
from tests.chaos.planted.cases import CASES, CONTROLS

MACHINERY = {"__init__", "__main__", "cases", "moments", "stage", "start"}
SOUND = {"sound_router", "sound_relay"}
HALVES = {"blind_take_over", "relay_copies_twice", "relay_out_of_line", "relay_never_sweeps"}  # of a fault that needs two


def test_every_planted_fault_is_played():
    there = {path.stem for path in Path(cases.__file__).parent.glob("*.py")} - MACHINERY - SOUND - HALVES
    assert there == {case.module for case in CASES}


def test_every_case_names_a_module_that_is_there():
    for case in (*CASES, *CONTROLS):
        assert find_spec(case.module if "." in case.module else f"tests.chaos.planted.{case.module}"), case.module


def test_each_planted_fault_has_a_check_and_no_control_has():
    assert all(case.caught_by for case in CASES)
    assert all(case.is_control for case in CONTROLS)
    assert len(CASES) >= 33
