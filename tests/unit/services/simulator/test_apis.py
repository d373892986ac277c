"""The API side: what our calls get, each provider in its own words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.simulator.faults import AnswerLost
from services.simulator.meta_errors import CODES
from services.simulator.oauth import TokenEndpoint
from services.simulator.people import person
from services.simulator.simulator import Simulator
from services.simulator.sns import CERTIFICATE_URL, Sns
from services.simulator.telegram import Telegram
from services.simulator.utterances import Utterance
from services.simulator.wire import Answer, ApiReply

HOOK = "https://edge.test/hook"
GRAPH = "https://graph.facebook.com/v25.0"


@pytest.fixture
def simulator() -> Simulator:
    return Simulator()


class Graph:
    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.account = simulator["meta"].create(callback_url=HOOK)

    def call(self, method: str, path: str, document: object = None) -> ApiReply:
        headers = {"Authorization": f"Bearer {self.account.about['access_token']}", "Content-Type": "application/json"}
        return self.simulator.call(method, f"{GRAPH}/{path}", headers, b"" if document is None else json.dumps(document).encode())

    def send(self, to: str = "5511900000001", **more: Any) -> ApiReply:
        order = {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "oi"}, **more}
        return self.call("POST", f"{self.account.id}/messages", order)


@pytest.fixture
def graph(simulator: Simulator) -> Graph:
    return Graph(simulator)


class TestMeta:
    def test_a_message_gets_an_id_and_receipts_that_echo_our_data(self, graph: Graph) -> None:
        sent = graph.send(biz_opaque_callback_data="msg-1").document["messages"][0]["id"]
        told: list[dict[str, Any]] = []

        def post(post: Any) -> Answer:
            told.extend(json.loads(post.body)["entry"][0]["changes"][0]["value"]["statuses"])
            return Answer(status=200)

        graph.simulator.advance(60, post)
        assert [status["status"] for status in told] == ["sent", "delivered", "read"]
        assert {(status["id"], status["biz_opaque_callback_data"]) for status in told} == {(sent, "msg-1")}

    def test_45_to_one_person_and_then_one_in_six_seconds(self, graph: Graph) -> None:
        codes = [graph.send().document.get("error", {}).get("code") for _ in range(46)]
        assert codes == [None] * 45 + [131056]
        assert graph.send("5511900000002").status == 200
        graph.simulator.clock.move_to(graph.simulator.clock.now_ms + 6_000)
        assert graph.send().status == 200

    def test_an_ended_token_cannot_send_and_cannot_be_exchanged(self, graph: Graph) -> None:
        old = graph.account.about["access_token"]
        exchange = f"oauth/access_token?grant_type=fb_exchange_token&client_secret={graph.account.secret}&fb_exchange_token="
        fresh = graph.call("GET", f"{exchange}{old}").document
        assert fresh["expires_in"] == 60 * 86_400
        assert graph.account.about["access_token"] == fresh["access_token"] != old
        graph.account.about["token_expires_ms"] = graph.simulator.clock.now_ms
        for answer in (graph.send(), graph.call("GET", f"{exchange}{fresh['access_token']}")):
            assert (answer.status, answer.document["error"]["code"], answer.document["error"]["error_subcode"]) == (401, 190, 463)

    @pytest.mark.parametrize("code", sorted(CODES))
    def test_every_error_on_demand_and_once(self, graph: Graph, code: int) -> None:
        graph.simulator["meta"].faults.add(operation="send", code=str(code))
        answer = graph.send()
        assert (answer.status, answer.document["error"]["code"]) == (CODES[code][0], code)
        assert graph.send().status == 200

    def test_a_lost_answer_was_sent_all_the_same(self, graph: Graph) -> None:
        graph.simulator["meta"].faults.add(operation="send", code="0", lost=True)
        with pytest.raises(AnswerLost):
            graph.send()
        graph.simulator.advance(60, lambda post: Answer(status=200))
        assert [line.label for line in graph.simulator.ledger] == ["status sent", "status delivered", "status read"]

    def test_a_fault_that_is_no_json(self, graph: Graph) -> None:
        graph.simulator["meta"].faults.add(code="http:503", times=-1)
        assert [graph.send().status for _ in range(3)] == [503, 503, 503]

    def test_subscriptions_can_be_read_back(self, graph: Graph) -> None:
        waba = graph.account.about["waba_id"]
        assert graph.call("POST", f"{waba}/subscribed_apps", {"override_callback_uri": "https://other.test/x"}).status == 200
        assert graph.call("GET", f"{waba}/subscribed_apps").document["data"][0]["override_callback_uri"] == "https://other.test/x"


class TestTelegram:
    @pytest.fixture
    def bot(self, simulator: Simulator) -> Any:
        account = simulator["telegram"].create()

        def call(method: str, **given: Any) -> dict[str, Any]:
            url = f"https://api.telegram.org/bot{account.about['token']}/{method}"
            headers = {"Content-Type": "application/json"}
            return simulator.call("POST", url, headers, json.dumps(given).encode()).document

        call.account = account  # type: ignore[attr-defined]
        return call

    def test_a_webhook_is_set_and_read_back_with_its_last_error(self, simulator: Simulator, bot: Any) -> None:
        assert bot("setWebhook", url="http://edge.test/hook")["error_code"] == 400
        assert bot("setWebhook", url="https://edge.test:9000/hook")["error_code"] == 400
        assert bot("setWebhook", url=HOOK, secret_token="not allowed!")["error_code"] == 400
        assert bot("setWebhook", url=HOOK, secret_token="abc", allowed_updates=["message"])["ok"]
        simulator["telegram"].say(bot.account.id, person(1), Utterance(kind="text", text="oi"))
        simulator.advance(0.5, lambda post: Answer(status=500))
        info = bot("getWebhookInfo")["result"]
        assert (info["url"], info["pending_update_count"], info["allowed_updates"]) == (HOOK, 1, ["message"])
        assert "500" in info["last_error_message"]
        assert bot("getUpdates")["error_code"] == 409

    def test_too_many_to_one_chat_are_told_when_to_come_again(self, bot: Any) -> None:
        answers = [bot("sendMessage", chat_id=55, text="oi") for _ in range(6)]
        assert [answer["ok"] for answer in answers] == [True] * 5 + [False]
        assert answers[-1]["parameters"]["retry_after"] >= 1

    def test_who_blocked_the_bot_gets_nothing(self, simulator: Simulator, bot: Any) -> None:
        telegram = simulator["telegram"]
        assert isinstance(telegram, Telegram)
        telegram.block(bot.account.id, person(1))
        assert bot("sendMessage", chat_id=person(1).telegram_id, text="oi")["error_code"] == 403

    def test_wrong_tokens(self, simulator: Simulator) -> None:
        unknown = "1:" + "A" * 35
        assert simulator.call("GET", f"https://api.telegram.org/bot{unknown}/getMe").status == 401
        assert simulator.call("GET", "https://api.telegram.org/botx/getMe").status == 404


def test_evolution_looks_for_the_instance_before_the_key(simulator: Simulator) -> None:
    account = simulator["evolution"].create(callback_url=HOOK)
    path = "/evolution/message/sendText/"
    assert simulator.call("POST", path + "nobody", {"apikey": "wrong"}).status == 404
    assert simulator.call("POST", path + account.id, {"apikey": "wrong"}).status == 401
    sent = simulator.call("POST", path + account.id, {"apikey": account.about["token"]}, b'{"number":"5511900000001","text":"x"}')
    assert (sent.status, sent.document["key"]["fromMe"]) == (201, True)
    account.about["state"] = "close"
    closed = simulator.call(
        "POST", path + account.id, {"apikey": account.about["token"]}, b'{"number":"5511900000001","text":"x"}'
    )
    assert closed.document["response"]["message"] == ["Error: Connection Closed"]


@pytest.mark.parametrize(("name", "url"), [("google", "https://oauth2.googleapis.com/token"), ("microsoft", "/microsoft/token")])
def test_refresh_tokens_rotate_where_the_provider_rotates_them(simulator: Simulator, name: str, url: str) -> None:
    endpoint = simulator[name]
    assert isinstance(endpoint, TokenEndpoint)
    account = endpoint.create()
    first = account.about["refresh_token"]
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = f"grant_type=refresh_token&client_id={account.about['client_id']}&client_secret={account.secret}&refresh_token={first}"
    granted = simulator.call("POST", url, headers, body.encode()).document
    assert endpoint.is_live(granted["access_token"])
    assert ("refresh_token" in granted) == (name == "microsoft")
    simulator.clock.move_to(simulator.clock.now_ms + granted["expires_in"] * 1000)
    assert not endpoint.is_live(granted["access_token"])
    account.about["revoked"] = True
    assert simulator.call("POST", url, headers, body.encode()).document["error"] == "invalid_grant"


def test_sns_says_nothing_until_its_subscription_is_confirmed(simulator: Simulator) -> None:
    sns = simulator["sns"]
    assert isinstance(sns, Sns)
    account = sns.create(callback_url=HOOK)
    sns.confirm(account.id)
    sns.say(account.id, person(1), Utterance(kind="text", text="lost"))
    (post,) = simulator.posts()
    asked = json.loads(post.body)
    assert asked["Type"] == "SubscriptionConfirmation"
    assert simulator.call("GET", asked["SubscribeURL"]).status == 200
    sns.say(account.id, person(1), Utterance(kind="text", text="heard"))
    (post,) = simulator.posts()
    assert json.loads(post.body)["Type"] == "Notification"
    assert simulator.call("GET", CERTIFICATE_URL).body.startswith(b"-----BEGIN CERTIFICATE-----")
