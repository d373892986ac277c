from __future__ import annotations

import pytest

from services.router.own_faults import MAX_CONNECTORS, WINDOW_MS, OwnFaults, TooManyOwnFaults


def test_one_connector_alone_never_reaches_the_cap():
    faults = OwnFaults()
    for number in range(1_000):
        faults.note({"one"}, number)
    faults.note({f"c{number}" for number in range(MAX_CONNECTORS - 2)}, 1_000)


def test_several_connectors_in_the_window_stop_the_consumer():
    faults = OwnFaults()
    faults.note({f"c{number}" for number in range(MAX_CONNECTORS - 1)}, 0)
    faults.note(set(), WINDOW_MS - 1)
    with pytest.raises(TooManyOwnFaults, match="roll the release back"):
        faults.note({"last"}, WINDOW_MS - 1)


def test_what_is_older_than_the_window_is_forgotten():
    faults = OwnFaults()
    faults.note({f"c{number}" for number in range(MAX_CONNECTORS - 1)}, 0)
    faults.note({"last"}, WINDOW_MS)
