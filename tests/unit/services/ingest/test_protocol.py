"""One connection over time: order, reading ahead, clients that stall, vanish, do not read, or wait for the drain."""

from __future__ import annotations

import pytest

from services.ingest.answers import Answer, Outcome, busy
from services.ingest.exchange import Exchange, Limits
from services.ingest.server import Server
from tests.unit.services.ingest.wire import OK, FakeService, Wire

GET = b"GET /w HTTP/1.1\r\nHost: a\r\n\r\n"
REFUSED = Answer(status=401, outcome=Outcome.REFUSED, reason="signature_wrong")
POST_HEAD = b"POST /w HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_answers_come_in_the_order_of_the_requests(wire: Wire) -> None:
    wire.service.keep()
    wire.send(GET * 3)
    assert len(wire.service.kept) == 1, "one at a time"
    wire.service.kept[0].respond(REFUSED)
    wire.service.kept[1].respond(OK)
    wire.service.kept[2].respond(REFUSED)
    assert wire.statuses() == [401, 200, 401]
    assert not wire.ended


def test_reading_pauses_behind_many_requests_and_goes_on(wire: Wire) -> None:
    wire.service.keep()
    wire.send(GET * 2_000)
    assert not wire.transport.reading
    held = len(wire.connection._waiting)
    assert held < 200, "one slice of the read, not all of it"
    wire.send(GET)  # a read that was under way
    answered = 0
    while len(wire.service.kept) > answered:
        wire.service.kept[answered].respond(OK)
        answered += 1
    assert answered == 2_001
    assert wire.transport.reading
    assert wire.statuses() == [200] * 2_001


def test_a_refusal_waits_for_the_answers_before_it(wire: Wire) -> None:
    wire.service.keep()
    wire.send(GET + b"\x00\x01")
    assert wire.statuses() == []
    wire.service.kept[0].respond(OK)
    assert wire.statuses() == [200, 400]
    assert wire.ended


def test_a_refusal_by_the_head_drops_a_small_body_and_keeps_the_connection(wire: Wire) -> None:
    wire.service.admission = busy("inflight")
    wire.send(POST_HEAD % 30_000)
    assert wire.statuses() == []
    wire.send(bytes(30_000), GET)
    assert wire.statuses() == [503, 503]
    assert b"Retry-After: 1\r\n" in wire.transport.written
    assert wire.service.seen == []
    assert wire.server.body_bytes == 0
    assert not wire.ended


def test_a_refusal_by_the_head_does_not_wait_for_a_large_body(wire: Wire) -> None:
    wire.send(POST_HEAD % 70_000)
    assert wire.statuses() == [413]
    assert wire.transport.ended
    assert not wire.transport.closed, "the client may still be sending: its answer must not be destroyed"
    wire.send(bytes(70_000))
    assert not wire.eof(), "the client is done, so are we"


def test_a_lingering_client_is_cut_off(wire: Wire) -> None:
    wire.send(POST_HEAD % 70_000)
    wire.sleep(1.5)
    assert not wire.transport.aborted
    wire.sleep(1.5)
    assert wire.transport.aborted


def test_a_body_in_many_parts_is_whole(wire: Wire) -> None:
    wire.send(POST_HEAD % 6, b"ab", b"cd", b"ef")
    assert wire.service.seen == [("POST", b"/w", b"abcdef")]


def test_no_body_memory_left_means_busy() -> None:
    wire = Wire(Limits(body_memory_bytes=1_000))
    other = Wire(server=wire.server)
    other.send(POST_HEAD % 900 + bytes(800))
    wire.send(POST_HEAD % 900 + bytes(800))
    assert wire.statuses() == [503]
    assert wire.ended
    other.send(bytes(100))
    assert other.statuses() == [200]
    assert wire.server.body_bytes == 0


def test_body_memory_is_given_back_when_clients_vanish(wire: Wire) -> None:
    wire.service.keep()
    wire.send(POST_HEAD % 3 + b"abc" + POST_HEAD % 3 + b"abc" + POST_HEAD % 3 + b"ab")
    assert wire.server.body_bytes == 8
    wire.connection.connection_lost(None)
    assert wire.server.body_bytes == 3, "the one in work goes on"
    wire.service.kept[0].respond(OK)
    assert wire.server.body_bytes == 0
    assert wire.statuses() == []


@pytest.mark.parametrize(
    "data", [b"G", b"GET /w HTTP/1.1\r\nHost", b"\r\nG", GET + b"GET"], ids=["method", "header", "lines", "second"]
)
def test_a_stalled_head_is_timed_out(wire: Wire, data: bytes) -> None:
    wire.send(data)
    answered = wire.statuses()
    wire.sleep(4.5)
    assert wire.statuses() == answered
    wire.sleep(1)
    assert wire.statuses() == [*answered, 408]
    assert ("timeout", "head") in wire.service.counted
    assert wire.ended


def test_a_dripped_head_is_timed_out(wire: Wire) -> None:
    for byte in GET[:12]:
        wire.send(bytes([byte]))
        wire.sleep(0.5)
    assert wire.statuses() == [408]
    assert wire.ended


def test_a_stalled_body_is_timed_out(wire: Wire) -> None:
    wire.send(POST_HEAD % 900 + b"abc")
    wire.sleep(4.5)
    assert wire.statuses() == []
    wire.sleep(1)
    assert wire.statuses() == [408]
    assert ("timeout", "body") in wire.service.counted
    assert wire.server.body_bytes == 0


def test_a_dripped_body_is_timed_out(wire: Wire) -> None:
    wire.send(POST_HEAD % 900)
    for _ in range(12):
        wire.send(b"x")
        wire.sleep(0.5)
    assert wire.statuses() == [408]


def test_a_large_body_may_take_as_long_as_it_flows() -> None:
    wire = Wire()
    wire.service.admission = 10_000_000
    wire.send(POST_HEAD % 2_000_000)
    for _ in range(20):
        wire.send(bytes(100_000))
        wire.sleep(1)
    assert wire.statuses() == [200]


def test_no_request_takes_longer_than_a_minute() -> None:
    wire = Wire()
    wire.service.admission = 100_000_000
    wire.send(POST_HEAD % 100_000_000)
    for _ in range(59):
        wire.send(bytes(200_000))
        wire.sleep(1)
    assert wire.statuses() == []
    wire.sleep(2)
    assert wire.statuses() == [408]


def test_an_idle_connection_is_closed_without_a_word(wire: Wire) -> None:
    wire.send(GET)
    wire.sleep(74)
    assert not wire.ended
    wire.sleep(2)
    assert wire.ended
    assert wire.statuses() == [200]


def test_idle_connections_must_go_sooner_when_there_are_many() -> None:
    wires = [Wire(Limits(connections=4))]
    wires += [Wire(server=wires[0].server) for _ in range(3)]
    wires[0].sleep(3)
    assert all(wire.ended for wire in wires)


def test_one_connection_too_many_is_told_so() -> None:
    first = Wire(Limits(connections=1))
    second = Wire(server=first.server)
    assert second.statuses() == [503]
    assert second.transport.closed
    second.connection.connection_lost(None)
    first.send(GET)
    assert first.statuses() == [200]


def test_a_client_that_does_not_read_stops_being_read_and_is_cut_off(wire: Wire) -> None:
    wire.connection.pause_writing()
    wire.send(GET * 3)
    assert wire.service.seen == []
    assert not wire.transport.reading
    wire.sleep(6)
    assert wire.transport.aborted
    assert ("timeout", "write") in wire.service.counted


def test_a_client_that_reads_again_gets_its_answers(wire: Wire) -> None:
    wire.connection.pause_writing()
    wire.send(GET * 3)
    wire.connection.resume_writing()
    assert wire.statuses() == [200] * 3
    assert wire.transport.reading


def test_our_own_delay_has_a_deadline_and_the_late_answer_is_dropped(wire: Wire) -> None:
    wire.service.keep()
    wire.send(GET)
    wire.sleep(7)
    assert wire.statuses() == [503]
    assert ("unavailable", "overdue") in wire.service.counted
    wire.service.kept[0].respond(OK)
    assert wire.statuses() == [503]


def test_a_half_closed_client_still_gets_its_answers(wire: Wire) -> None:
    wire.service.keep()
    wire.send(GET * 2)
    assert wire.eof()
    wire.service.kept[0].respond(OK)
    wire.service.kept[1].respond(OK)
    assert wire.statuses() == [200, 200]
    assert wire.transport.written.count(b"Connection: close") == 1
    assert wire.transport.closed


def test_a_client_that_closes_while_idle_is_let_go(wire: Wire) -> None:
    wire.send(GET)
    wire.eof()
    assert wire.transport.closed


def test_a_request_cut_in_half_is_refused(wire: Wire) -> None:
    wire.send(POST_HEAD % 3 + b"ab")
    wire.eof()
    assert wire.statuses() == [400]
    assert wire.service.counted == [("malformed", "truncated")]
    assert wire.service.seen == []
    assert wire.transport.closed


def test_expect_waits_for_its_turn(wire: Wire) -> None:
    wire.service.keep()
    wire.send(GET + b"POST /w HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert wire.statuses() == []
    wire.service.kept[0].respond(OK)
    assert wire.statuses() == [200, 100]
    wire.send(b"abc")
    wire.service.kept[1].respond(OK)
    assert wire.statuses() == [200, 100, 200]


def test_head_is_answered_without_a_body(wire: Wire) -> None:
    wire.service.handler = lambda exchange: exchange.respond(REFUSED)
    wire.send(b"HEAD /w HTTP/1.1\r\nHost: a\r\n\r\n")
    assert wire.transport.written.endswith(b"\r\n\r\n")
    assert b"Content-Length: 16\r\n" in wire.transport.written


def test_a_fault_of_ours_is_a_500_for_this_request_alone(wire: Wire) -> None:
    def fail(exchange: Exchange) -> None:
        raise KeyError("a fault")

    wire.service.handler = fail
    wire.send(GET)
    wire.service.handler = lambda exchange: exchange.respond(OK)
    wire.send(GET)
    assert wire.statuses() == [500, 200]
    assert [type(error) for error in wire.failures] == [KeyError]


def test_a_fault_of_ours_while_reading_ends_the_connection() -> None:
    class Broken(FakeService):
        def admit(self, exchange: Exchange, length_bytes: int | None) -> int | Answer:
            raise KeyError("a fault")

    failures: list[Exception] = []
    wire = Wire(server=Server(Broken(), Limits(), lambda: 0.0, failures.append))
    wire.send(GET)
    assert wire.statuses() == [500]
    assert wire.ended
    assert len(failures) == 1


def test_while_draining_the_next_answer_is_the_last(wire: Wire) -> None:
    wire.server.draining = True
    wire.send(GET)
    assert b"Connection: close\r\n" in wire.transport.written
    assert wire.ended


def test_while_draining_what_has_begun_is_answered_and_the_idle_are_closed(wire: Wire) -> None:
    wire.service.keep()
    idle, half = Wire(server=wire.server), Wire(server=wire.server)
    wire.send(GET * 2)
    half.send(POST_HEAD % 3 + b"ab")
    wire.server.draining = True
    for each in (wire, idle, half):
        each.connection.close_if_idle()
    assert [each.ended for each in (wire, idle, half)] == [False, True, False]
    assert [each.connection.owes for each in (wire, idle, half)] == [True, False, True]
    half.send(b"c")
    for exchange in wire.service.kept:
        exchange.respond(OK)
    assert wire.statuses() == [200, 200]
    assert half.statuses() == [200]
    assert wire.ended
    assert half.ended
