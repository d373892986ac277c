"""schemathesis plays the description against the API on the real database: what it makes up is served or refused as described.

Bounded and the same each time: so many examples per operation, derandomised. Half of what it could do would end at unknown
ids, so ids that it made well are replaced by those of real rows.
"""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.integration.services.control.scene import Scene

EXAMPLES = {GenerationMode.POSITIVE: 10, GenerationMode.NEGATIVE: 6}  # per operation
# All but `positive_data_acceptance`: a schema cannot say what a rule of the spec refuses (a unit of another tenant, a cycle).
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
    ignored_auth,
    unsupported_method,
]


class Played:
    """The API with rows in it, and what became of the calls."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.answers: Counter[int] = Counter()
        self.operations: set[str] = set()
        connector = scene.connector()
        account = scene.account(connector)
        webhook = {"evento": "delivery", "url": "https://edge.example.org/w", "secrets": [{"use": "sign", "value": "s3cret"}]}
        token = scene.made(f"connectors/{connector['id']}/tokens", {"kind": "access_token", "value": "EAA0000000000"})
        fallback = scene.made(f"accounts/{account['id']}/fallbacks", {"tipo": "voicemail", "destino": "ops@example.com"})
        default = {"json": {"fallback_id": fallback["id"]}, "headers": {"If-None-Match": "*"}}
        assert scene.call("PUT", f"connectors/{connector['id']}/default-fallback", **default).status_code == 200
        self.ids = {
            "connector_id": connector["id"],
            "account_id": account["id"],
            "token_id": token["id"],
            "webhook_id": scene.made(f"connectors/{connector['id']}/webhooks", webhook)["id"],
            "fallback_id": fallback["id"],
        }

    def play(self, operation: Any, mode: GenerationMode, examples: int) -> None:
        """Call one operation with what its schema allows, or with what it does not."""
        headers = {"Authorization": f"Bearer {self.scene.admin}"}

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def one(case: schemathesis.Case) -> None:
            self.with_real_ids(case, mode)
            response = case.call_and_validate(headers=headers, checks=CHECKS)
            self.answers[response.status_code] += 1
            self.operations.add(operation.label)

        one()

    def with_real_ids(self, case: schemathesis.Case, mode: GenerationMode) -> None:
        """In place, where the id is well-formed; deletions keep what they have, or little would be left to play with."""
        if case.method == "DELETE":
            return
        for name, value in (case.path_parameters or {}).items():
            if name in self.ids and _is_id(value):
                case.path_parameters[name] = self.ids[name]
            if name == "number" and mode is GenerationMode.POSITIVE:
                case.path_parameters[name] = 0
        if case.method in {"PATCH", "PUT"} and mode is GenerationMode.POSITIVE:
            case.headers["If-Match"] = "*"
            case.headers.pop("If-None-Match", None)


def _is_id(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False


def test_what_it_makes_up_is_answered_as_described(scene: Scene) -> None:
    played = Played(scene)
    described = schemathesis.openapi.from_asgi("/openapi.json", scene.app)
    operations = [found.ok() for found in described.get_all_operations()]
    for operation in operations:
        for mode, examples in EXAMPLES.items():
            played.play(operation, mode, examples)
    print(f"\n{len(operations)} operations, {played.answers.total()} calls: {dict(sorted(played.answers.items()))}")
    assert played.operations == {operation.label for operation in operations}
    assert not [status for status in played.answers if status >= 500]
    assert played.answers[200] > 150
    assert played.answers[201] >= 4
