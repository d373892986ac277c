"""Every change asks for the tag of what was read: the description is walked with none, wrong ones, the right one, two at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest

from tests.database_fixtures import DatabaseUnderTest
from tests.integration.services.control.foreign_walk import VALUES, Operation, operations
from tests.integration.services.control.neighbours import Tenant, dump, settle
from tests.integration.services.control.scene import Scene, code_of

CHANGES = {"PUT", "PATCH", "DELETE"}
ACTIONS = (":pause", ":resume")
FOLLOW = "/v1/connectors/{connector_id}/capabilities/{feature}:follow"
# Whose tag a change asks for, where it is not that of its own address.
TAGGED_ELSEWHERE = {
    "/v1/webhooks/{webhook_id}/secrets": "/v1/webhooks/{webhook_id}",
    FOLLOW: FOLLOW.removesuffix(":follow"),
    **{f"/v1/accounts/{{account_id}}{action}": "/v1/accounts/{account_id}" for action in ACTIONS},
}
# Bodies that change something, where that of `settle` would leave everything as it is.
CHANGING = {
    ("PATCH", "/v1/connectors/{connector_id}/capabilities/{feature}"): {"enabled": True, "constraints": {"per_minute": 7}}
}


class Changes:
    """Calls the changes of the API on what one tenant has."""

    def __init__(self, scene: Scene, tenant: Tenant) -> None:
        self.scene, self.tenant = scene, tenant
        every = operations(scene.app.openapi())
        found = [one for one in every if one.method in CHANGES or one.path.endswith((*ACTIONS, FOLLOW))]
        # What was replaced or deleted cannot be changed, and what nobody has set cannot be given up.
        order = ("POST", "PATCH", FOLLOW, "PUT", "DELETE")
        self.all = sorted(found, key=lambda one: (order.index(FOLLOW if one.path == FOLLOW else one.method), one.path))

    def place(self, path: str) -> str:
        return path.format(**VALUES, **self.tenant.known)

    def tag(self, one: Operation) -> str:
        path = TAGGED_ELSEWHERE.get(one.path, one.path)
        return str(self.scene.get(self.place(path), token=self.tenant.token).headers["ETag"])

    def call(self, one: Operation, tag: str | None) -> httpx.Response:
        body = CHANGING.get((one.method, one.path), self.tenant.bodies.get((one.method, one.path)))
        more: dict[str, Any] = {} if one.method == "DELETE" or body is None else {"json": body}
        headers = {} if tag is None else {"If-Match": tag}
        return self.scene.call(one.method, self.place(one.path), headers=headers, token=self.tenant.token, **more)


@pytest.fixture
def changes(scene: Scene, database: DatabaseUnderTest) -> Changes:
    return Changes(scene, settle(scene, database, scene.management.tenant, 1))


def test_no_change_without_the_tag_of_what_is_there(changes: Changes, database: DatabaseUnderTest) -> None:
    before = dump(database)
    for one in changes.all:
        tag = changes.tag(one)
        assert code_of(changes.call(one, None)) == (428, "precondition_required"), one
        for wrong in ('"0"', tag.upper(), tag.strip('"'), f"W/{tag}", f'"{tag}"', ""):
            assert code_of(changes.call(one, wrong)) == (412, "precondition_failed"), (one, wrong)
    assert dump(database) == before
    assert len(changes.all) >= 15


def test_the_right_tag_serves_once(changes: Changes) -> None:
    ends = {}
    for one in changes.all:
        tag = changes.tag(one)
        answer = changes.call(one, f'"0", {tag}')
        ends[one.method, one.path] = answer.status_code
        if answer.status_code == 200:
            assert answer.headers["ETag"] == changes.tag(one), one
            if changes.tag(one) != tag:  # it changed something
                assert code_of(changes.call(one, tag)) == (412, "precondition_failed"), one
    assert set(ends.values()) <= {200, 204, 409}
    refused = {key for key, status in ends.items() if status == 409}  # by a rule, after the tag was right
    assert refused == {
        ("PATCH", "/v1/webhooks/{webhook_id}/secrets/{number}"),  # the last secret
        ("DELETE", "/v1/accounts/{account_id}"),  # has a history
        ("DELETE", "/v1/connectors/{connector_id}"),
    }


def test_of_two_at_once_with_one_tag_one_is_served(changes: Changes) -> None:
    for one in changes.all:
        if one.method == "DELETE" or one.path.endswith(("/secrets/{number}", "/default-fallback")):
            continue  # the body of `settle` changes nothing there
        tag, start = changes.tag(one), threading.Barrier(2)

        def call(_: int, one: Operation = one, tag: str = tag, start: threading.Barrier = start) -> int:
            start.wait(10)
            return changes.call(one, tag).status_code

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(call, range(2))) == [200, 412], one
