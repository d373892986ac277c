"""Rules from the API's answer to what comes out of the topics: a whole installation, changed over HTTP alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx2 as httpx
import pytest

from shared.adapters.clock import new_uuid7
from shared.domain.snapshots import FlowSnapshot, OrgUnitSnapshot
from shared.domain.topics import Topic
from shared.providers.whatsapp_official import samples
from tests.e2e.api_tour import caller
from tests.e2e.installation import ROOT, Installation, installed
from tests.integration.services.sync.conftest import Modules
from tests.pipeline import FLOW_NUMBER, UNIT_NUMBER, messages_value, meta_body, text_item
from tests.waiting import allowed

MANIFEST = ROOT / "deploy" / "demo" / "channels.yaml"
TENANT_ID, CONNECTOR_ID = "01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000031"
SECRETS = {
    "CHANNELS_DEMO_APP_SECRET": "an app secret",
    "CHANNELS_DEMO_VERIFY_TOKEN": "a verify token",
    "CHANNELS_DEMO_ACCESS_TOKEN": "an access token",
}
PROMISED_SECONDS = 2.0


@dataclass
class Site:
    """An administrator, other modules, a provider that posts, and a reader of the topics."""

    installation: Installation
    api: httpx.Client
    modules: Modules
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def account(self, phone_number_id: str) -> dict[str, Any]:
        """The account of one of Meta's numbers."""
        found: list[dict[str, Any]] = self.api.get(f"/v1/connectors/{CONNECTOR_ID}/accounts").json()["items"]
        return next(one for one in found if one["config"]["phone_number_id"] == phone_number_id)

    def change(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """With the tag that was just read."""
        tag = self.api.get(path).headers["ETag"]
        return self.api.patch(path, json=body, headers={"If-Match": tag})

    def post(self, url: str, *phone_numbers: str) -> str:
        """One message by somebody new for each number; the text that they share."""
        number = next(self.numbers)
        text = f"text {number}"
        senders = [f"55119000{number:04}{place}" for place, _ in enumerate(phone_numbers)]
        values = [
            messages_value(phone, [text_item(f"wamid.{number}.{phone}", text, sender)])
            for phone, sender in zip(phone_numbers, senders, strict=True)
        ]
        body = meta_body(*values)
        headers = {"Content-Type": "application/json"}
        headers["X-Hub-Signature-256"] = samples.sign(body, SECRETS["CHANNELS_DEMO_APP_SECRET"].encode())
        assert httpx.post(url, content=body, headers=headers).status_code == 200
        return text

    def came_out(self, topic: Topic, text: str, seconds: float = 20) -> Any:
        """The event of this text."""
        deadline = time.monotonic() + allowed(seconds)
        while True:
            for event in self.installation.world.events(topic):
                if event.message.content.text == text:
                    return event
            assert time.monotonic() < deadline, f"{text} did not come out of {topic.value}"
            time.sleep(0.05)


def until(asked: Callable[[], httpx.Response], status: int, code: str = "", seconds: float = 20) -> httpx.Response:
    """The answer, once it is this one."""
    deadline = time.monotonic() + allowed(seconds)
    while (answer := asked()).status_code != status or (code and answer.json()["code"] != code):
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)
    return answer


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with installed(tmp_path_factory.mktemp("rules"), MANIFEST, SECRETS) as made:
        settings = json.loads((made.home / "stack.json").read_text())["settings"]
        with caller(made.home, TENANT_ID) as api:
            site = Site(made, api, Modules(settings["kafka_bootstrap"], settings["topic_prefix"]))
            url = site.account(UNIT_NUMBER)["webhook_url"]
            until(lambda: httpx.get(url, params={"hub.mode": "subscribe", "hub.verify_token": "a verify token",
                                                 "hub.challenge": "1"}), 200)  # fmt: skip
            yield site


@pytest.mark.req(3, 25)
def test_rule_25_an_accounts_own_address_takes_posts_and_the_payload_says_for_whom(site: Site) -> None:
    unit, flow = site.account(UNIT_NUMBER), site.account(FLOW_NUMBER)
    assert unit["webhook_url"].endswith(f"/webhooks/{CONNECTOR_ID}/{unit['id']}")
    text = site.post(unit["webhook_url"], UNIT_NUMBER, FLOW_NUMBER)
    assert site.came_out(Topic.MESSAGE_RECEIVED, text).message.account_id == unit["id"]
    assert site.came_out(Topic.INTAKE_REQUESTED, text).message.account_id == flow["id"]
    text = site.post(flow["webhook_url"], UNIT_NUMBER)
    assert site.came_out(Topic.MESSAGE_RECEIVED, text).message.account_id == unit["id"]


@pytest.mark.req(5)
def test_rule_05_the_status_of_an_account_has_all_four(site: Site) -> None:
    account = site.account(UNIT_NUMBER)
    site.came_out(Topic.MESSAGE_RECEIVED, site.post(account["webhook_url"], UNIT_NUMBER))
    deadline = time.monotonic() + allowed(20)
    while (status := site.api.get(f"/v1/accounts/{account['id']}/status").json())["queue"]["depth"]:
        assert time.monotonic() < deadline, status["queue"]
        time.sleep(0.1)
    assert (status["connectivity"]["connector"], status["queue"]["complete"]) == ("active", True)
    assert len(status["limits"]["capabilities"]) == 6
    assert {one["evento"] for one in status["webhooks"]} >= {"message_in", "delivery"}


@pytest.mark.req(4, 22, 55)
def test_rule_22_an_account_moves_to_a_unit_once_its_module_has_published_it(site: Site) -> None:
    account = site.account(UNIT_NUMBER)
    path, unit = f"/v1/accounts/{account['id']}", new_uuid7()
    before = site.came_out(Topic.MESSAGE_RECEIVED, site.post(account["webhook_url"], UNIT_NUMBER)).decision
    refused = site.change(path, {"org_unit_id": unit})
    assert (refused.status_code, refused.json()["code"]) == (422, "org_unit_unknown")
    site.modules.tell(OrgUnitSnapshot(version=1, org_unit_id=unit, tenant_id=TENANT_ID, name="Support"))
    until(lambda: site.change(path, {"org_unit_id": unit}), 200)
    changed_at, posted = time.monotonic(), {}
    while time.monotonic() < changed_at + PROMISED_SECONDS + 0.5:
        posted[site.post(account["webhook_url"], UNIT_NUMBER)] = time.monotonic() - changed_at
        time.sleep(0.1)
    decisions = {text: site.came_out(Topic.MESSAGE_RECEIVED, text).decision for text in posted}
    late = {text: after for text, after in posted.items() if decisions[text].org_unit_id != unit}
    assert all(after < allowed(PROMISED_SECONDS) for after in late.values()), late
    last = decisions[list(posted)[-1]]
    assert (last.org_unit_id, before.org_unit_id) == (unit, account["org_unit_id"])
    assert last.account_snapshot_version > before.account_snapshot_version


@pytest.mark.req(23, 59)
def test_rule_59_a_flow_is_taken_while_it_is_a_published_intake_and_given_up_when_it_is_not(site: Site) -> None:
    account = site.account(UNIT_NUMBER)
    path, flow = f"/v1/accounts/{account['id']}", new_uuid7()
    facts = {"flow_id": flow, "tenant_id": TENANT_ID, "name": "Welcome"}

    def take() -> httpx.Response:
        return site.change(path, {"intake_flow_id": flow})

    until(take, 422, "flow_unknown")
    site.modules.tell(FlowSnapshot(version=1, category="intake", published=False, **facts))
    until(take, 422, "flow_not_published")
    site.modules.tell(FlowSnapshot(version=2, category="billing", published=True, **facts))
    refused = until(take, 422, "flow_not_intake")
    assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/intake_flow_id"]
    site.modules.tell(FlowSnapshot(version=3, category="intake", published=True, **facts))
    until(take, 200)
    time.sleep(PROMISED_SECONDS)
    assert site.came_out(Topic.INTAKE_REQUESTED, site.post(account["webhook_url"], UNIT_NUMBER)).intake_flow_id == flow
    site.modules.tell(FlowSnapshot(version=4, category="intake", published=False, **facts))
    lost = f"/v1/audit-log?subject_id={account['id']}&action=account.target_lost"
    deadline = time.monotonic() + allowed(20)
    while not site.api.get(lost).json()["items"]:
        assert time.monotonic() < deadline, "no warning"
        time.sleep(0.05)
    (warning,) = site.api.get(lost).json()["items"]
    assert warning["after"] == {"target": "intake_flow", "cause": "unpublished", "instead": "org_unit"}
    time.sleep(PROMISED_SECONDS)
    event = site.came_out(Topic.MESSAGE_RECEIVED, site.post(account["webhook_url"], UNIT_NUMBER))
    assert (event.decision.org_unit_id, event.decision.reason) == (account["org_unit_id"], "flow_unusable")


@pytest.mark.req(16, 57, 68)
def test_rule_68_each_change_of_state_over_http_is_told_once_and_a_refused_one_never(site: Site) -> None:
    path = f"/v1/connectors/{CONNECTOR_ID}"
    account = f"/v1/accounts/{site.account(UNIT_NUMBER)['id']}"
    stale = site.api.get(path).headers["ETag"]
    wanted = []
    for old, new, follows in [("active", "error", "pending"), ("error", "active", "active")]:
        changed = site.change(path, {"status": new})
        assert changed.status_code == 200, changed.text
        assert site.api.get(account).json()["status"] == follows
        assert site.change(path, {"status": new}).status_code == 200  # already so
        wanted.append((old, new, "api:tour"))
    assert site.api.patch(path, json={"status": "error"}, headers={"If-Match": '"0"'}).status_code == 412
    assert site.api.patch(path, json={"status": "error"}).status_code == 428
    assert (
        site.api.patch(path, json={"status": "error"}, headers={"If-Match": stale}).status_code == 200
    )  # equal state, equal tag
    wanted.append(("active", "error", "api:tour"))

    def told() -> list[tuple[Any, ...]]:
        events = site.installation.world.events(Topic.CONNECTOR_STATUS_CHANGED)
        mine = [one for one in events if one.connector_id == CONNECTOR_ID and one.actor == "api:tour"]
        return [(one.old_status, one.new_status, one.actor) for one in mine]

    deadline = time.monotonic() + allowed(20)
    while len(told()) < len(wanted):
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)
    time.sleep(PROMISED_SECONDS)  # for one too many
    assert told() == wanted
    assert {one.cause for one in site.installation.world.events(Topic.CONNECTOR_STATUS_CHANGED) if one.actor == "api:tour"} == {
        "changed by hand"
    }
