"""Columns of different and of equal ids are the same bytes as those made value by value, and refuse the same texts."""

from __future__ import annotations

import struct
import uuid

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.binary_arrays import new_uuids, uuids

ID = "01990000-0000-7000-8000-000000000001"
OTHER = "01990000-0000-7000-8000-000000000002"


@given(st.lists(st.none() | st.sampled_from([ID, OTHER]) | st.uuids().map(str), min_size=1, max_size=30))
def test_ids_stand_in_their_order(values: list[str | None]) -> None:
    elements = b"".join(b"\xff\xff\xff\xff" if one is None else struct.pack("!i", 16) + uuid.UUID(one).bytes for one in values)
    assert uuids(values) == struct.pack("!iiIii", 1, int(None in values), 2950, len(values), 1) + elements


def test_new_ids_are_of_version_7_and_all_different() -> None:
    made = new_uuids(3)
    assert made[:24] == struct.pack("!iiIiii", 1, 0, 2950, 3, 1, 16)
    ids = [uuid.UUID(bytes=made[place : place + 16]) for place in range(24, len(made), 20)]
    assert [one.version for one in ids] == [7, 7, 7]
    assert len(set(ids)) == 3
    assert made == uuids([str(one) for one in ids])


def test_no_ids_are_an_array_without_dimensions() -> None:
    assert uuids([]) == struct.pack("!iiI", 0, 0, 2950)


@pytest.mark.parametrize(
    "wrong",
    [
        ["x"],
        [""],
        [ID[:-1]],
        [ID + "0"],
        [ID.replace("-", "")],
        [ID[:-1] + "g"],
        [ID[:-1] + " "],
        [ID[:-1], OTHER + "0"],  # together as long as two
        [ID[:-1] + "-", OTHER.replace("-", "0", 1)],  # together as many dashes as two
    ],
)
def test_anything_else_is_refused(wrong: list[str]) -> None:
    for values in (wrong, [*wrong, OTHER[:-1] + "9"], wrong * 3):
        with pytest.raises(psycopg.DataError):
            uuids(values)
