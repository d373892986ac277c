from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.bench.processes import ROOT
from tests.bench.scheduling import autogrouped, in_no_group

_STORY = """
import os, subprocess, sys
from tests.bench.scheduling import as_equals, autogrouped
child = [sys.executable, "-c", "from tests.bench.scheduling import autogrouped; print(autogrouped())"]
def told():
    return autogrouped(), subprocess.run(child, capture_output=True, text=True, check=True).stdout.strip()
print(told())
with as_equals():
    print(told())
    child = ["unshare", "--cgroup", *child]
    print(told())
    child = child[2:]
print(told())
"""


@pytest.mark.parametrize(
    ("mine", "outside"),
    [
        ("0::/\n", True),
        ("0::/system.slice/bench.service\n", False),
        ("4:memory:/some\n1:cpu:/\n0::/\n", True),
        ("3:cpu,cpuacct:/docker/abc\n0::/\n", False),
        ("2:cpuset:/set\n0::/\n", True),
    ],
)
def test_a_process_is_outside_the_groups_that_divide_processors(mine, outside):
    assert in_no_group(mine) is outside


def test_all_that_the_bench_starts_shares_the_processors_as_equals():
    if not autogrouped() or os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("this needs a kernel that divides processors by sessions, root, and unshare")
    story = subprocess.run([sys.executable, "-c", _STORY], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    assert story.stdout.splitlines() == ["(True, 'True')", "(False, 'False')", "(False, 'False')", "(True, 'True')"]
