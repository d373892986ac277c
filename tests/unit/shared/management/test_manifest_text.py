"""Where a fault stands in the file, and YAML that is not fit."""

from __future__ import annotations

import pytest

from shared.management.manifest_text import ManifestFaults, read_text

TEXT = """\
version: 1
tenants:
  - name: A
    connectors:
      - nome: first
      - nome: second
        config: {waba_id: "1",
                 other: 2}
"""


def test_a_fault_knows_its_line() -> None:
    text = read_text(TEXT, "f.yaml")
    place = ("tenants", 0, "connectors", 1)
    assert str(text.fault((*place, "config", "other"), "is wrong")) == "line 8: tenants[0].connectors[1].config.other: is wrong"
    assert text.fault((*place, "tokens", 0), "is missing").line == 6  # the nearest place that the file has
    assert text.fault((), "is wrong").line == 1
    assert text.data["tenants"][0]["connectors"][1]["config"] == {"waba_id": "1", "other": 2}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1,\n b", "not YAML"),
        ("a: \x07", "characters that YAML does not allow"),
        ("# nothing\n", "the file is empty"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "line 4: b.c: given twice"),
        ("&a [*a]", "too large or too deep"),
        (
            "a: &a [x,x,x,x,x,x,x,x]\n"
            + "".join(f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)),
            "too large",
        ),
        ("a: 2026-13-41", "no date that exists"),
        ("!!python/object/apply:os.getcwd []", "not YAML"),
    ],
)
def test_unfit_yaml_is_told(text: str, told: str) -> None:
    with pytest.raises(ManifestFaults, match=told):
        read_text(text, "f.yaml")


def test_faults_come_sorted_and_once() -> None:
    text = read_text(TEXT, "f.yaml")
    second, first = text.fault(("tenants", 0, "name"), "b"), text.fault(("version",), "a")
    error = ManifestFaults("f.yaml", [second, first, second])
    assert error.faults == (first, second)
    assert "2 fault(s)" in str(error)
