"""The pure parts of the HTTP client: requests, bodies, repetitions, redirects."""

from __future__ import annotations

import email.utils
import gzip
import math
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.egress_target import read_target
from shared.adapters.http_answer import BoundedBody
from shared.adapters.http_faults import (
    AnswerTooLarge,
    AnswerUnreadable,
    CallFault,
    CallTimedOut,
    CertificateRefused,
    ConnectFailed,
    ConnectionLost,
    EgressRefused,
    NameUnresolved,
    RedirectRefused,
    TlsFailed,
)
from shared.adapters.http_redirects import next_target
from shared.adapters.http_request import WireRequest, wire_request
from shared.adapters.http_retries import ONCE, Effort, pause_before_next
from shared.domain.errors import InvalidInput
from shared.providers.calling import Mail, Part, PlacedCall, Placement, ProviderCall, ProviderResponse, placed

SECRET = "canary-secret-1"


def call(method: str = "POST", **about: object) -> PlacedCall:
    made = ProviderCall(**{"step": "send", "method": method, "url": "https://public.example/", **about})
    return placed(made, {"access_token": SECRET})


def wire(method: str = "POST", **about: object) -> WireRequest:
    return wire_request(call(method, **about), "channels/1")


class TestRequests:
    def test_json_and_a_bearer(self):
        bearer = Placement(credential="access_token", place="header", name="Authorization", template="Bearer {}")
        request = wire(headers=(("content-type", "application/json"),), body=b"{}", placements=(bearer,))
        assert dict(request.headers) == {
            "content-type": "application/json",
            "authorization": f"Bearer {SECRET}",
            "user-agent": "channels/1",
            "accept-encoding": "gzip, deflate",
        }
        assert request.body == b"{}"
        assert not request.bare
        assert SECRET not in repr(request)

    def test_form_fields(self):
        form = Placement(credential="access_token", place="form", name="client_secret")
        request = wire(body=(("grant_type", "refresh & token"),), placements=(form,))
        assert request.body == b"grant_type=refresh+%26+token&client_secret=canary-secret-1"
        assert dict(request.headers)["content-type"] == "application/x-www-form-urlencoded"

    def test_parts(self):
        part = Part(name="photo", content=b"\x00\r\n--\xff", filename='a"b\r\nX: 1.png', mime_type="image/png")
        form = Placement(credential="access_token", place="form", name="key")
        request = wire(body=(Part(name="chat_id", content=b"7"), part), placements=(form,))
        kind = dict(request.headers)["content-type"]
        boundary = re.fullmatch(r"multipart/form-data; boundary=([0-9a-f]{32})", kind)[1]
        pieces = request.body.split(f"--{boundary}".encode())
        assert pieces[1] == b'\r\nContent-Disposition: form-data; name="chat_id"\r\n\r\n7\r\n'
        head = (
            b'\r\nContent-Disposition: form-data; name="photo"; filename="a%22b%0D%0AX: 1.png"\r\nContent-Type: image/png\r\n\r\n'
        )
        assert pieces[2] == head + b"\x00\r\n--\xff\r\n"
        assert pieces[3] == b'\r\nContent-Disposition: form-data; name="key"\r\n\r\ncanary-secret-1\r\n'
        assert pieces[4] == b"--\r\n"

    @pytest.mark.parametrize(
        ("about", "reason"),
        [
            ({"headers": (("x-note", "a\r\nX-Injected: 1"),)}, "header_invalid"),
            ({"headers": (("x-note", "a\nb"),)}, "header_invalid"),
            ({"headers": (("x-note", "a\x00b"),)}, "header_invalid"),
            ({"headers": (("x note", "a"),)}, "header_invalid"),
            ({"headers": (("x:note", "a"),)}, "header_invalid"),
            ({"headers": (("", "a"),)}, "header_invalid"),
            *(({"headers": ((name, "1"),)}, "header_invalid") for name in ("Host", "Content-Length", "TRANSFER-ENCODING", "te")),
            ({"body": (Part(name="a", content=b"", mime_type="a/b\r\nX: 1"),)}, "header_invalid"),
            ({"body": Mail(sender="a@example.org", recipients=("b@example.org",), data=b"")}, "body_invalid"),
            ({"method": "CONNECT"}, "method_invalid"),
            ({"method": "GET / HTTP/1.1\r\nX:"}, "method_invalid"),
        ],
    )
    def test_what_would_split_a_request_is_refused(self, about, reason):
        with pytest.raises(InvalidInput) as refused:
            wire(**about)
        assert refused.value.reason == reason

    def test_a_credential_with_a_line_end_is_not_told(self):
        bearer = Placement(credential="access_token", place="header", name="authorization", template="Bearer {}\r\n")
        with pytest.raises(InvalidInput) as refused:
            wire(placements=(bearer,))
        assert SECRET not in str(refused.value)

    @pytest.mark.parametrize(
        ("about", "bare"),
        [
            ({}, True),
            ({"headers": (("Accept", "*/*"), ("User-Agent", "x"))}, True),
            ({"headers": (("X-Api-Key", "x"),)}, False),
            ({"headers": (("cookie", "x"),)}, False),
            ({"placements": (Placement(credential="access_token", place="path", name="token"),)}, False),
            ({"placements": (Placement(credential="access_token", place="query", name="token"),)}, False),
            ({"body": b"x"}, False),
        ],
    )
    def test_what_another_host_may_see(self, about, bare):
        assert wire("GET", **about).bare is bare


def unpacked(encoding: str, data: bytes, limit: int = 1_000_000, piece: int = 1_000) -> bytes:
    body = BoundedBody(encoding, limit)
    for at in range(0, len(data), piece):
        body.feed(data[at : at + piece])
    return body.whole()


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKERS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "": bytes, "identity": bytes}


class TestBodies:
    @given(st.sampled_from(sorted(PACKERS)), st.binary(max_size=5_000), st.integers(1, 700))
    def test_what_was_packed_is_unpacked(self, encoding, data, piece):
        assert unpacked(encoding, PACKERS[encoding](data), piece=piece) == data

    @given(st.binary(max_size=3_000), st.binary(max_size=3_000), st.integers(1, 50))
    def test_members_of_gzip_follow_each_other(self, one, two, piece):
        assert unpacked("gzip", gzip.compress(one) + gzip.compress(two), piece=piece) == one + two

    def test_deflate_without_its_envelope(self):
        assert unpacked("deflate", bare_deflate(b"a" * 5_000), piece=7) == b"a" * 5_000

    def test_an_empty_body_is_whatever_it_says(self):
        assert unpacked("gzip", b"") == b""

    @pytest.mark.parametrize("encoding", sorted(PACKERS))
    def test_the_limit_is_exact(self, encoding):
        data = bytes(range(256)) * 40
        packed = PACKERS[encoding](data)
        assert unpacked(encoding, packed, limit=len(data)) == data
        with pytest.raises(AnswerTooLarge):
            unpacked(encoding, packed, limit=len(data) - 1)

    @pytest.mark.parametrize("packer", [gzip.compress, zlib.compress, bare_deflate])
    def test_a_bomb_is_not_unpacked(self, packer):
        bomb = packer(bytes(300_000_000))
        body = BoundedBody("deflate" if packer is not gzip.compress else "gzip", 1_000_000)
        with pytest.raises(AnswerTooLarge):
            body.feed(bomb[:900_000])
        assert len(body._found) == 1_000_001

    def test_members_without_content_are_bounded_by_what_comes(self):
        with pytest.raises(AnswerTooLarge):
            unpacked("gzip", gzip.compress(b"") * 100_000, limit=100_000)

    @pytest.mark.parametrize(
        ("encoding", "data"),
        [
            ("gzip", gzip.compress(b"abc" * 100)[:-9]),
            ("gzip", b"not packed"),
            ("gzip", gzip.compress(b"abc") + b"rest"),
            ("deflate", zlib.compress(b"abc" * 100)[:-2]),
            ("deflate", b"\xff\xff\xff"),
            ("br", b"abc"),
            ("zstd", b"abc"),
            ("gzip, gzip", gzip.compress(gzip.compress(b"abc"))),
        ],
        # by name, for gzip writes the time of day into what it packs
        ids=["cut", "not packed", "more behind", "deflate cut", "no deflate", "br", "zstd", "packed twice"],
    )
    def test_what_does_not_unpack_is_unreadable(self, encoding, data):
        with pytest.raises(AnswerUnreadable):
            unpacked(encoding, data)


def answer(status: int, **headers: str) -> ProviderResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ProviderResponse(status=status, body=b"", headers=named, received_at_ms=1_800_000_000_000)


EFFORT = Effort(attempts=4, seconds=60.0, first_pause_seconds=1.0, longest_pause_seconds=10.0)


def pause(result: ProviderResponse | CallFault, *, made: int = 1, elapsed: float = 0.0, repeatable: bool, chance: float = 0.0):
    return pause_before_next(EFFORT, made, elapsed, repeatable=repeatable, result=result, chance=chance)


class TestRepetitions:
    @pytest.mark.parametrize("fault", [NameUnresolved("x"), ConnectFailed("x"), TlsFailed("x"), CallTimedOut("x")])
    @pytest.mark.parametrize("repeatable", [True, False])
    def test_what_never_left_is_repeated(self, fault, repeatable):
        assert pause(fault, repeatable=repeatable) == 0.5

    @pytest.mark.parametrize("fault", [CallTimedOut("x", may_have_left=True), ConnectionLost("x", may_have_left=True)])
    def test_what_may_have_left_is_repeated_only_where_that_does_no_harm(self, fault):
        assert pause(fault, repeatable=True) == 0.5
        assert pause(fault, repeatable=False) is None

    @pytest.mark.parametrize(
        "fault",
        [
            EgressRefused("x", reason="loopback"),
            CertificateRefused("x"),
            AnswerTooLarge("x"),
            AnswerUnreadable("x"),
            RedirectRefused("x"),
        ],
    )
    def test_what_time_does_not_heal_stands(self, fault):
        assert not fault.retryable
        assert pause(fault, repeatable=True) is None

    @pytest.mark.parametrize("status", [200, 201, 204, 301, 400, 401, 403, 404, 409, 422, 501, 505])
    def test_an_answer_stands(self, status):
        assert pause(answer(status), repeatable=True) is None

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
    def test_an_answer_that_may_change_is_asked_for_again_where_that_does_no_harm(self, status):
        assert pause(answer(status), repeatable=True) == 0.5
        assert pause(answer(status), repeatable=False) is None

    def test_pauses_double_up_to_the_longest_and_are_spread(self):
        longer = Effort(attempts=9, seconds=1_000.0, first_pause_seconds=1.0, longest_pause_seconds=10.0)
        for chance, wanted in ((0.0, [0.5, 1, 2, 4, 5, 5]), (1.0, [1, 2, 4, 8, 10, 10])):
            found = [
                pause_before_next(longer, made, 0, repeatable=True, result=answer(503), chance=chance) for made in range(1, 7)
            ]
            assert found == wanted

    @pytest.mark.parametrize(
        ("told", "seconds"),
        [
            ("7", 7.0),
            ("0", 0.5),
            ("59", 59.0),
            (email.utils.formatdate(1_800_000_012, usegmt=True), 12.0),
            (email.utils.formatdate(1_700_000_000, usegmt=True), 0.5),
            ("soon", 0.5),
            ("-5", 0.5),
            ("1.5", 0.5),
            ("", 0.5),
            ("60", None),
            ("86400", None),
            ("999999999999", 0.5),  # no number that anybody means
        ],
    )
    def test_retry_after_is_never_undercut(self, told, seconds):
        assert pause(answer(429, retry_after=told), repeatable=True) == seconds

    def test_retry_after_is_spread_only_upwards(self):
        assert pause(answer(503, retry_after="10"), repeatable=True, chance=1.0) == 11.0

    def test_repetitions_need_a_bound_in_time(self):
        assert ONCE.seconds == math.inf  # an upload has its own two minutes
        with pytest.raises(ValueError, match="bound"):
            Effort(attempts=2)

    def test_the_count_is_bounded(self):
        assert pause(answer(503), made=3, repeatable=True) is not None
        assert pause(answer(503), made=4, repeatable=True) is None

    def test_the_time_is_bounded(self):
        assert pause(answer(503), elapsed=59.4, repeatable=True) is not None
        assert pause(answer(503), elapsed=59.6, repeatable=True) is None

    @given(st.integers(1, 10), st.floats(0, 100), st.floats(0, 1), st.integers(0, 200))
    def test_nothing_begins_after_the_end(self, made, elapsed, chance, told):
        found = pause(answer(503, retry_after=str(told)), made=made, elapsed=elapsed, repeatable=True, chance=chance)
        assert found is None or (found >= told and elapsed + found < EFFORT.seconds)


BARE = WireRequest(method="GET", headers=(), body=None, bare=True)
LOADED = WireRequest(method="GET", headers=(), body=None, bare=False)
HERE = read_target("https://public.example/a/b?c=d")


class TestRedirects:
    @pytest.mark.parametrize(
        ("location", "where"),
        [
            ("/x?y", "https://public.example/x?y"),
            ("x", "https://public.example/a/x"),
            ("?z", "https://public.example/a/b?z"),
            ("https://public.example:443/x", "https://public.example/x"),
            ("https://PUBLIC.example/x", "https://public.example/x"),
        ],
    )
    def test_within_the_origin_it_is_followed_with_everything(self, location, where):
        assert next_target(HERE, LOADED, 302, location) == read_target(where)

    @pytest.mark.parametrize(
        "location",
        ["https://other.example/", "//other.example/", "https://public.example:8443/", "https://sub.public.example/"],
    )
    def test_elsewhere_only_without_credentials(self, location):
        assert next_target(HERE, BARE, 302, location) is not None
        with pytest.raises(RedirectRefused):
            next_target(HERE, LOADED, 302, location)

    @pytest.mark.parametrize(
        "location",
        [
            "http://public.example/",
            "http://other.example/",
            "file:///etc/passwd",
            "https://u@public.example/",
            "https:\\\\x",
            "//[::1",
        ],
    )
    def test_never_to_less(self, location):
        for request in (BARE, LOADED):
            with pytest.raises(RedirectRefused):
                next_target(HERE, request, 307, location)

    @pytest.mark.parametrize("status", [200, 300, 304, 305, 404])
    def test_other_answers_are_answers(self, status):
        assert next_target(HERE, BARE, status, "/x") is None

    def test_without_a_place_it_is_an_answer(self):
        assert next_target(HERE, BARE, 302, None) is None

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    def test_only_reading_is_followed(self, method):
        assert next_target(HERE, WireRequest(method=method, headers=(), body=b"", bare=False), 307, "/x") is None
