"""Verification cannot be skipped: the same cases and forgeries for the scheme of every provider, dialect and way of proof."""

from __future__ import annotations

import ast
import hmac
import inspect
import sys
from types import ModuleType

import pytest

from shared.domain.enums import SecretUse
from shared.providers.contract import Receiving, ReceivingSecret, Refused, Request, Verified
from shared.providers.receiving import RECEIVING
from tests.contract.providers.forging import SHORT_COUNT, forge
from tests.contract.providers.schemes import CASES, SCHEMES, TRAITS, Case, Scheme, scheme_of

_BY_CERTIFICATE = frozenset(
    {"email-sendgrid-signature", "email-sendgrid-signature-raw", "email-ses-signature", "email-ses-signature-sha1"}
)


@pytest.fixture(scope="module")
def schemes() -> dict[str, Scheme]:
    return {name: scheme_of(name) for name in SCHEMES}


def test_every_scheme_is_described() -> None:
    assert set(SCHEMES) <= set(TRAITS)


@pytest.mark.req(77)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", SCHEMES)
def test_required_case(name: str, case: str, schemes: dict[str, Scheme]) -> None:
    found: Case = next(one for one in schemes[name].cases() if one.name == case)
    verdict = schemes[name].judge(found.request, found.secrets, found.now_ms)
    assert isinstance(verdict, Verified) is found.accepted, verdict


@pytest.mark.req(77)
@pytest.mark.parametrize("name", SCHEMES)
def test_no_forgery_is_accepted_and_none_raises(name: str) -> None:
    campaign = forge(name, SHORT_COUNT, seed=4)
    assert campaign.accepted == []
    assert campaign.raised == []
    assert campaign.tried == SHORT_COUNT
    assert min(campaign.kinds.values()) > 20


@pytest.mark.parametrize("name", SCHEMES)
def test_the_second_secret_is_named_as_the_one_that_proved_it(name: str, schemes: dict[str, Scheme]) -> None:
    scheme = schemes[name]
    if not scheme.traits.keyed:
        return
    verdict = scheme.judge(scheme.posted["next"][1], scheme.secrets("right", "next"))
    assert verdict == Verified(secret_id="w/1")


class Tattling(bytes):
    """A secret or a digest that may be compared by `hmac.compare_digest` only."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared with ==")

    def __ne__(self, other: object) -> bool:
        raise AssertionError("compared with !=")


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every HMAC from now on tattles; the list grows with each comparison in constant time."""
    digest, compare, calls = hmac.digest, hmac.compare_digest, list[int]()

    def counted(one: bytes, other: bytes) -> bool:
        calls.append(1)
        return compare(one, other)

    monkeypatch.setattr(hmac, "digest", lambda key, message, name: Tattling(digest(key, message, name)))
    monkeypatch.setattr(hmac, "compare_digest", counted)
    return calls


@pytest.mark.parametrize("name", [name for name in SCHEMES if name not in _BY_CERTIFICATE])
def test_secrets_are_compared_in_constant_time_and_all_of_them(
    name: str, schemes: dict[str, Scheme], compared: list[int]
) -> None:
    scheme = schemes[name]
    signing = [one for one in scheme.known if one.use is SecretUse.SIGN]
    tattling = [ReceivingSecret(id=one.id, use=one.use, value=Tattling(one.value)) for one in signing]
    receiving = scheme.caller.receiving
    assert isinstance(receiving.verify(scheme.posted["right"][0], tattling), Verified)
    assert len(compared) == len(signing), "also after a match"
    assert isinstance(receiving.verify(scheme.posted["stranger"][0], tattling), Refused)
    assert len(compared) == 2 * len(signing)


def careless(request: Request, known: list[ReceivingSecret]) -> bool:
    return any(hmac.digest(one.value, request.body, "sha256") == b"0" * 32 for one in known)


def test_a_careless_comparison_would_be_noticed(compared: list[int]) -> None:
    with pytest.raises(AssertionError, match="compared with =="):
        careless(Request(method="POST", query="", headers={}, body=b""), [ReceivingSecret(id="", use=SecretUse.SIGN, value=b"x")])


_SECRET_NAMES = frozenset({"secret", "secrets", "digest", "signature", "expected", "credential", "proof"})


def modules_of(receiving: Receiving) -> list[ModuleType]:
    """The module of `verify` and those beside it that it takes functions from."""
    folder = f"shared.providers.{receiving.tipo.value}."
    root, found = sys.modules[receiving.verify.__module__], dict[str, ModuleType]()
    waiting = [root]
    while waiting:
        module = waiting.pop()
        if module.__name__ in found:
            continue
        found[module.__name__] = module
        for value in vars(module).values():
            place = getattr(value, "__module__", "") or ""
            if place.startswith(folder) and place in sys.modules:
                waiting.append(sys.modules[place])
    return list(found.values())


def plain_comparisons(source: str) -> list[str]:
    """Comparisons by ==, != or in that a secret, a digest or a signature takes part in."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare) or all(isinstance(op, ast.Is | ast.IsNot) for op in node.ops):
            continue
        sides = [side for side in (node.left, *node.comparators) if isinstance(side, ast.Name | ast.Attribute)]
        names = {side.id if isinstance(side, ast.Name) else side.attr for side in sides}
        if names & _SECRET_NAMES:
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("receiving", RECEIVING, ids=lambda receiving: receiving.tipo.value)
def test_no_secret_is_compared_plainly(receiving: Receiving) -> None:
    modules = modules_of(receiving)
    assert [line for module in modules for line in plain_comparisons(inspect.getsource(module))] == []
    text = "".join(inspect.getsource(module) for module in modules)
    assert "compare_digest(" in text
    assert plain_comparisons("a = signature == given") == ["signature == given"]
