"""The installation of a campaign on paper: tenant, units, flows, connectors and their numbers, as `channels apply` wants them."""

from __future__ import annotations

from tests.chaos.provider import Route

TENANT = "01900000-0000-7000-8000-000000000001"
SALES = "01900000-0000-7000-8000-000000000011"
# Sales is the accounts' own unit; the flows route to the others only, so that an answer is told from a deadline.
UNITS = tuple(f"01900000-0000-7000-8000-0000000000{number:02x}" for number in (0x12, 0x13, 0x14))
FLOWS = {
    Route.PATIENT: "01900000-0000-7000-8000-000000000021",
    Route.HASTY: "01900000-0000-7000-8000-000000000022",
}
# Partitions 5, 1, 0, 4, 2 and 3 of the raw topic: whichever of the six a router gets, it has work.
CONNECTORS = tuple(f"01900000-0000-7000-8000-0000000000{number:02x}" for number in (0x31, 0x32, 0x34, 0x35, 0x37, 0x3A))
SECRETS = {f"CHANNELS_CHAOS_{name}": f"invented-{name.lower()}" for name in ("APP_SECRET", "VERIFY_TOKEN", "ACCESS_TOKEN")}
PATIENT_SECONDS = 1_800
HASTY_SECONDS = 5
_ROUTES = tuple(Route)


def number_id(connector_id: str, route: Route = Route.UNIT) -> str:
    """The provider's name of one of the connector's numbers (invented)."""
    return f"10000000{_ROUTES.index(route)}0{CONNECTORS.index(connector_id):05d}"


def account_id(connector_id: str, route: Route) -> str:
    """Our own id of that number's account."""
    return f"01900000-0000-7000-8000-00000000{_ROUTES.index(route) + 1:02x}{CONNECTORS.index(connector_id):02x}"


def manifest() -> str:
    """The whole installation."""
    units = ", ".join(f"{{name: Unit {number}, id: {unit}}}" for number, unit in enumerate(UNITS, start=1))
    flows = ", ".join(f"{{name: {route.value}, id: {flow}}}" for route, flow in FLOWS.items())
    head = f"""version: 1
tenants:
  - name: Chaos
    id: {TENANT}
    org_units: [{{name: Sales, id: {SALES}}}, {units}]
    flows: [{flows}]
    connectors:
"""
    return head + "".join(_connector(number, connector_id) for number, connector_id in enumerate(CONNECTORS))


def _connector(number: int, connector_id: str) -> str:
    head = f"""      - nome: Meta {number}
        id: {connector_id}
        tipo: whatsapp_official
        config: {{waba_id: "2000000000{number:05d}"}}
        tokens: [{{kind: access_token, env: CHANNELS_CHAOS_ACCESS_TOKEN}}]
        webhooks:
          - secrets: [{{use: sign, env: CHANNELS_CHAOS_APP_SECRET}}, {{use: handshake, env: CHANNELS_CHAOS_VERIFY_TOKEN}}]
        accounts:
"""
    return head + "".join(_account(number, connector_id, route) for route in Route)


def _account(number: int, connector_id: str, route: Route) -> str:
    goes = {
        Route.UNIT: "org_unit: Sales",
        Route.PATIENT: "intake_flow: patient",
        Route.HASTY: "intake_flow: hasty\n            org_unit: Sales",
    }[route]
    deadline = {Route.UNIT: "", Route.PATIENT: PATIENT_SECONDS, Route.HASTY: HASTY_SECONDS}[route]
    wait = f", intake_deadline_seconds: {deadline}" if deadline else ""
    return f"""          - identidade: "+55 11 4000-1{_ROUTES.index(route)}{number:02d}"
            id: {account_id(connector_id, route)}
            {goes}
            config: {{phone_number_id: "{number_id(connector_id, route)}"{wait}}}
"""
