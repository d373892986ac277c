from __future__ import annotations

import ast

from tests.requirements_report import covering, marked, titles

SOURCE = """
pytestmark = [pytest.mark.req(1)]

@pytest.mark.req(57, 58)
def test_a(): ...

class TestB:
    @pytest.mark.req(9)
    @pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.req(10))])
    def test_c(self): ...

def test_without_mark(): ...
"""


def test_marks_are_found_wherever_they_stand() -> None:
    assert list(marked(ast.parse(SOURCE))) == [({1}, ""), ({57, 58}, "::test_a"), ({9, 10}, "::test_c")]


def test_every_row_has_a_title_once() -> None:
    rows = [row for section in titles().values() for row in section]
    assert rows == list(range(1, 99))


def test_no_test_names_a_row_that_does_not_exist() -> None:
    assert covering().keys() <= set(range(1, 99))
