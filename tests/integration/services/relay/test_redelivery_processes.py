"""Redelivery by real processes: killed and frozen at each step, cut off, beside the publishing of snapshots."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import psutil
import pytest
from sqlalchemy import make_url

from deploy.local.ports import choose_port
from deploy.local.stack import LocalStack
from shared.adapters.snapshots import SnapshotReader
from shared.management.installation import prepare_database
from tests.chaos.proxy import Proxy
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.services.relay.held import Held, Holding
from tests.integration.services.relay.scene import RelayProcess, Scene, scene_of
from tests.pipeline import Pipeline
from tests.waiting import allowed, eventually

ODD = "tests.integration.services.relay.odd_relay"
TAKEOVER_SECONDS = 15.0  # the promise
StartRelay = Callable[..., RelayProcess]


@pytest.fixture
def holding(kafka_bootstrap: str, topic_prefix: str, database: DatabaseUnderTest, tmp_path: Path) -> Holding:
    return Holding(Pipeline.create(kafka_bootstrap, topic_prefix, database, tmp_path / "pipeline", partitions=2))


@pytest.fixture
def start(holding: Holding, tmp_path: Path) -> Iterator[StartRelay]:
    started: list[RelayProcess] = []

    def start_one(worker_url: str = holding.pipeline.database.worker_url, **settings: str) -> RelayProcess:
        log = tmp_path / f"relay-{len(started)}.log"
        started.append(RelayProcess(holding.pipeline.bootstrap, holding.pipeline.prefix, worker_url, log, **settings))
        return started[-1]

    yield start_one
    for relay in started:
        relay.process.kill()
        relay.process.wait(10)


def is_stopped(relay: RelayProcess) -> bool:
    return bool(psutil.Process(relay.process.pid).status() == psutil.STATUS_STOPPED)


@pytest.mark.req(67, 68)
@pytest.mark.parametrize(("step", "written"), [("marked", 0), ("written", 20), ("noted", 20)])
def test_a_relay_killed_between_two_steps_leaves_no_row_behind(
    holding: Holding, start: StartRelay, step: str, written: int
) -> None:
    places = [*holding.post(10), *holding.post(10, partition=1)]
    holding.insert(*(Held(place=place) for place in places))
    relay = start(module=ODD, ODD_STEP=step, ODD_SIGNAL="SIGKILL")
    assert relay.process.wait(30) == -signal.SIGKILL
    assert holding.states() == {"sent": 20}
    assert len(holding.copies(written)) == written
    start()
    if step == "noted":
        holding.commit({0: 1_000, 1: 1_000})  # the copies were lost on the router, as it were
    holding.age_sent()
    copies = holding.copies(written + 20)
    assert Counter(map(holding.place_of, copies)) == dict.fromkeys(places, 1 + written // 20)
    eventually(lambda: holding.noted() == 20)


@pytest.mark.req(67, 68)
@pytest.mark.parametrize("settled", [True, False])
def test_a_relay_that_slept_between_marking_and_writing_does_no_harm_when_it_wakes(
    holding: Holding, start: StartRelay, settled: bool
) -> None:
    places = holding.post(2)
    line = [Held(place=place, conversation=holding.pipeline.unit_id) for place in places]
    ids = holding.insert(*line)
    old = start(module=ODD, ODD_STEP="marked", ODD_SIGNAL="SIGSTOP")
    eventually(lambda: holding.states() == {"sent": 1, "waiting": 1}, 20)
    eventually(lambda: is_stopped(old))
    young = start()
    other = holding.insert(Held(place=holding.post(1)[0]))
    took = eventually(lambda: holding.row(other[0])["state"] == "sent", TAKEOVER_SECONDS)
    print(f"the other relay redelivers {took:.1f} s after the first was frozen")
    eventually(lambda: holding.noted() == 1)
    holding.age_sent()
    eventually(lambda: holding.noted() == 2)
    [copy] = [one for one in holding.copies(2) if holding.place_of(one) == places[0]]
    before = holding.row(ids[0])
    assert before["copy_offset"] == copy.offset
    if settled:
        holding.settle(ids[0], copy)
        [following] = [one for one in holding.copies(3) if holding.place_of(one) == places[1]]
        eventually(lambda: holding.noted() == 2)
        before = holding.row(ids[0])
    old.process.send_signal(signal.SIGCONT)
    late = [one for one in holding.copies(3 + settled) if holding.place_of(one) == places[0]]
    assert len(late) == 2
    eventually(lambda: '"standby"' in old.log(), 20)
    assert holding.row(ids[0]) == before  # nothing of it has changed: not even the place of its copy
    if settled:  # its position has moved to the copy that settled it, so the late copy names no row
        assert (before["state"], before["raw_offset"]) == ("done", copy.offset)
        holding.settle(ids[0], late[1])
        assert holding.row(ids[0]) == before
        assert holding.row(ids[1])["copy_offset"] == following.offset
    else:
        assert holding.row(ids[1])["state"] == "waiting"
    assert young.process.poll() is None


@pytest.mark.req(68)
@pytest.mark.parametrize("fault", ["frozen", "cut_off"])
def test_another_relay_takes_over_within_fifteen_seconds(
    holding: Holding, start: StartRelay, fault: str, record_property: Callable[[str, object], None]
) -> None:
    places = holding.post(2)
    database = holding.pipeline.database
    proxy = Proxy()
    socket_folder = str(make_url(database.worker_url).query["host"])
    proxy.start(Path(socket_folder) / ".s.PGSQL.5432")
    with ExitStack() as stack:
        stack.callback(proxy.stop)
        scene: Scene = stack.enter_context(scene_of(database))
        through = make_url(database.worker_url).set(host="127.0.0.1", port=proxy.port, query={})
        old = start(through.render_as_string(hide_password=False))
        holding.insert(Held(place=places[0]))
        eventually(lambda: holding.noted() == 1, 30)
        eventually(lambda: '"active"' in old.log(), 30)
        young = start()
        eventually(lambda: '"standby"' in young.log(), 30)
        if fault == "frozen":
            old.process.send_signal(signal.SIGSTOP)
        else:
            stack.enter_context(proxy.frozen())
        began = time.monotonic()
        holding.insert(Held(place=places[1]))
        scene.add_connector()
        eventually(lambda: holding.noted() == 2, TAKEOVER_SECONDS)
        eventually(lambda: scene.outbox() == [], TAKEOVER_SECONDS - (time.monotonic() - began))
        took = time.monotonic() - began
    record_property(f"takeover_{fault}_seconds", round(took, 1))
    print(f"takeover from a relay that was {fault}: {took:.1f} s")
    assert took <= allowed(TAKEOVER_SECONDS)


@pytest.mark.req(4, 68)
def test_a_backlog_of_held_records_does_not_delay_a_snapshot_nor_the_other_way_round(
    holding: Holding, start: StartRelay, record_property: Callable[[str, object], None]
) -> None:
    places = holding.post(30_000)
    holding.insert(*(Held(place=place) for place in places))
    with scene_of(holding.pipeline.database) as scene, ExitStack() as stack:
        connector = scene.add_connector()
        account = scene.add_account(connector, "1001")
        reader = SnapshotReader(holding.pipeline.bootstrap, holding.pipeline.prefix, holding.pipeline.codec)
        reader.start()
        stack.callback(reader.stop)
        assert reader.wait_ready(20)
        start()
        eventually(lambda: reader.directory.account(account), 20)
        taken: list[float] = []
        beside = 0
        for number in range(2_000, 2_040):
            busy = holding.states()["waiting"] > 0
            scene.change_account(account, config={"phone_number_id": str(number)})
            ref = f"phone_number_id:{number}"
            seconds = eventually(lambda ref=ref: reader.directory.account_by_ref(connector, ref), 10)  # type: ignore[misc]
            taken.append(seconds)
            beside += busy
        assert beside >= 3  # there was a backlog
        # and with changes all the time what is due is sent, too
        eventually(lambda: holding.noted() == len(places), 60)
    record_property("change_beside_a_backlog_seconds", f"median {median(taken):.3f}, worst {max(taken):.3f}")
    print(f"change to reader beside a backlog: median {median(taken):.3f} s, worst {max(taken):.3f} s, {beside} beside it")
    assert max(taken) < 2


@pytest.mark.req(68)
def test_redelivery_survives_the_loss_of_kafka_and_postgresql_and_readiness_tells(tmp_path: Path, topic_prefix: str) -> None:
    stack = LocalStack(tmp_path / "home")
    relay: RelayProcess | None = None
    try:
        addresses = stack.start()
        urls = prepare_database(addresses.superuser_url, "channels")
        roles = {name.removeprefix("database_"): url for name, url in urls.items()}
        database = DatabaseUnderTest(name="channels", superuser_url=addresses.superuser_url, **roles)
        holding = Holding(Pipeline.create(addresses.kafka_bootstrap, topic_prefix, database, tmp_path / "pipeline"))
        places = holding.post(30)
        port = choose_port(given=None, before=None, purpose="test", variable="")
        relay = RelayProcess(
            addresses.kafka_bootstrap,
            topic_prefix,
            database.worker_url,
            tmp_path / "relay.log",
            CHANNELS_RELAY_OPERATIONS_PORT=str(port),
        )
        holding.insert(*(Held(place=place) for place in places[:10]))
        eventually(lambda: holding.noted() == 10, 30)
        eventually(lambda: readiness(port)[0] == 200, 30)
        stack.kafka.stop()
        holding.insert(*(Held(place=place) for place in places[10:20]))
        eventually(lambda: readiness(port) == (503, "held records: kafka away"), 30)
        assert holding.noted() == 10
        stack.kafka.start(same_address=True)
        eventually(lambda: holding.noted() == 20, 45)
        eventually(lambda: readiness(port)[0] == 200, 30)
        stack.postgres.stop()
        eventually(lambda: readiness(port)[0] == 503, 30)
        stack.postgres.start()
        holding.insert(*(Held(place=place) for place in places[20:]))
        eventually(lambda: holding.noted() == 30, 45)
        eventually(lambda: readiness(port)[0] == 200, 30)
        assert {holding.place_of(copy) for copy in holding.copies(30)} == set(places)
        assert relay.end() == 0
    finally:
        if relay is not None:
            relay.process.kill()
            relay.process.wait(10)
        stack.stop()


def readiness(port: int) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status, answer.read().decode().strip()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode().strip()
    except OSError as error:
        return 0, str(error)
