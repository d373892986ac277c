"""All metrics of the system, declared once. Labels come from closed sets only; base units; `_total` for counters."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.domain.enums import KeyPurpose
from shared.runtime.tally import Count, Times

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class IngestMetrics:
    """What the edge counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # One per HTTP answer; outcome: accepted, refused, too_large, unknown_connector, unavailable, busy, malformed, timeout …
        self.requests = Count(
            "channels_ingest_requests", "Requests answered, by outcome and reason.", ["outcome", "reason"], registry=registry
        )
        # From the last byte of the request to the answer: what a provider feels.
        self.answer_seconds = Times(
            "channels_ingest_answer_seconds", "Time to answer an accepted request.", _SECONDS, registry=registry
        )
        self.body_bytes = Count("channels_ingest_body_bytes", "Bytes of accepted bodies.", registry=registry)
        self.connections = Gauge("channels_ingest_connections", "Open client connections.", registry=registry)
        self.inflight = Gauge("channels_ingest_inflight_requests", "Requests waiting for Kafka.", registry=registry)
        self.ready = Gauge("channels_ingest_ready", "1 while Kafka acknowledges and the snapshots are read.", registry=registry)


class RouterMetrics:
    """What the router counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Every item ends in exactly one outcome; reason from the closed set of its outcome.
        self.items = Counter(
            "channels_router_items", "Items settled, by outcome and reason.", ["outcome", "reason"], registry=registry
        )
        self.batches = Counter("channels_router_batches", "Batches, by result.", ["result"], registry=registry)
        self.batch_seconds = Histogram(
            "channels_router_batch_seconds", "Time per batch.", ["step"], buckets=_SECONDS, registry=registry
        )
        self.transactions_aborted = Counter(
            "channels_router_transactions_aborted", "Kafka transactions that were aborted or lost.", registry=registry
        )
        self.database_retries = Counter(
            "channels_router_database_retries", "Batches tried again for the database.", registry=registry
        )
        self.alias_collisions = Counter(
            "channels_router_alias_collisions", "People whose aliases name two contacts.", registry=registry
        )
        # outcome: taken, extended, repeated, late, unknown, unit_unknown, malformed
        self.intake_answers = Counter("channels_router_intake_answers", "Answers of flows.", ["outcome"], registry=registry)
        # Alert above 0: a copy of a held item came back, its row still waits, and another item holds its claim.
        self.held_breaches = Counter(
            "channels_router_held_breaches", "Copies of held items that lost their claim.", registry=registry
        )
        self.unrouted = Counter("channels_router_unrouted", "Messages with neither unit nor flow.", registry=registry)


class RelayMetrics:
    """What the relay counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter("channels_relay_published", "Events published, by topic.", ["topic"], registry=registry)
        self.outbox_pending = Gauge("channels_relay_outbox_pending_rows", "Outbox rows not yet published.", registry=registry)
        self.outbox_oldest_seconds = Gauge(
            "channels_relay_outbox_oldest_seconds", "Age of the oldest such row.", registry=registry
        )
        # Rows that could not be published by themselves; they wait for a new change of their subject, or a restart.
        self.outbox_set_aside = Gauge("channels_relay_outbox_set_aside_rows", "Outbox rows set aside.", registry=registry)
        self.set_aside = Counter("channels_relay_set_aside", "Rows set aside, by topic.", ["topic"], registry=registry)
        # dependency: kafka, postgresql, schema_registry, redelivery (an error of ours while held records were sent again)
        self.faults = Counter("channels_relay_faults", "Work interrupted, by dependency.", ["dependency"], registry=registry)
        self.active = Gauge("channels_relay_active", "1 while this process publishes.", registry=registry)
        # Those that could be sent now; what stands behind another is not counted. Alert when the oldest grows.
        self.held_due = Gauge("channels_relay_held_due_rows", "Held records due and not yet sent.", registry=registry)
        self.held_due_oldest_seconds = Gauge(
            "channels_relay_held_due_oldest_seconds", "For how long the first of them has been due.", registry=registry
        )
        # outcome: sent, resent (the router had passed it unfinished, or no copy was noted), gone and unfit (sent without a body,
        # which ends as a dead letter: the raw record is not there any more, or cannot be copied), failed (comes again)
        self.copies = Counter("channels_relay_held_copies", "Copies of held records, by outcome.", ["outcome"], registry=registry)
        # table: held_record, claim
        self.pruned = Counter("channels_relay_pruned_rows", "Old rows deleted, by table.", ["table"], registry=registry)


class SyncMetrics:
    """What sync counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # result: created, changed, same, older, deleted, unknown (deletion of what was never here), refused
        self.records = Counter("channels_sync_records", "Records done with, by topic.", ["topic", "result"], registry=registry)
        # target: org_unit, intake_flow; cause: deleted, unpublished, not_intake. Each is one account that was warned.
        self.targets_lost = Counter(
            "channels_sync_targets_lost", "Accounts that lost a target, by cause.", ["target", "cause"], registry=registry
        )
        # Alert above 0: their messages go to the other target, or nowhere; `channels snapshots lost-targets` lists them.
        self.accounts_without_target = Gauge(
            "channels_sync_accounts_without_target", "Accounts whose target cannot be used now.", ["target"], registry=registry
        )
        self.faults = Counter("channels_sync_faults", "Work interrupted by Kafka or PostgreSQL.", registry=registry)
        # result: taken, unknown (about what is not there any more), refused (no request)
        self.requests = Counter("channels_sync_requests", "Requests for a sync that were read.", ["result"], registry=registry)
        # outcome: synced, nothing, mismatch, refused, edge_behind, rate_limited, transient; tipo: a connector type, or none
        self.jobs = Counter("channels_sync_jobs", "Syncs at providers, by outcome.", ["tipo", "outcome"], registry=registry)
        self.job_seconds = Histogram(
            "channels_sync_job_seconds", "Time per sync.", ["tipo"], buckets=(*_SECONDS, 20, 60, 120), registry=registry
        )
        # state: waiting, running, stopped. Alert where stopped stays above 0: somebody has to act at the provider, or here.
        self.pending = Gauge("channels_sync_pending", "Syncs that are not done.", ["state"], registry=registry)
        # Alert when it grows: syncs do not keep up.
        self.oldest_seconds = Gauge("channels_sync_oldest_seconds", "Since when the oldest sync is due.", registry=registry)
        self.rotations = Counter("channels_sync_rotations", "Secrets that took the place of others.", registry=registry)


class HealthMetrics:
    """What health counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # status: passed, warning, failed; subject: account, connector
        self.checks = Counter("channels_health_checks", "Checks written.", ["tipo", "subject", "status"], registry=registry)
        # Checks whose own result was a failure, or that nobody could tell (kept): reason failed, unknown, internal
        self.failures = Counter("channels_health_failures", "Checks that failed.", ["tipo", "reason"], registry=registry)
        self.seconds = Histogram(
            "channels_health_check_seconds", "Time per check.", ["tipo"], buckets=(*_SECONDS, 20, 60), registry=registry
        )
        # transition: opened, reopened, half_opened, closed, held_back (it would have opened, but for our own egress)
        self.transitions = Counter(
            "channels_health_transitions", "Breakers that moved.", ["tipo", "transition"], registry=registry
        )
        # breaker: open, half_open; subject: account, connector
        self.breakers = Gauge("channels_health_breakers", "Breakers not closed.", ["subject", "breaker"], registry=registry)
        self.paused_routes = Gauge("channels_health_paused_routes", "Routes that health paused.", registry=registry)
        # Alert above 0: so many connectors fail at once that our own way out is to blame; nothing opens meanwhile.
        self.egress_suspect = Gauge("channels_health_egress_suspect", "1 while our own egress is blamed.", registry=registry)
        self.failing_connectors = Gauge("channels_health_failing_connectors", "Connectors failing at once.", registry=registry)
        # Alert when it grows: checks do not keep up.
        self.behind_seconds = Gauge("channels_health_behind_seconds", "Age of the oldest check that is due.", registry=registry)
        # dependency: postgresql, kafka, internal
        self.faults = Counter("channels_health_faults", "Work interrupted, by dependency.", ["dependency"], registry=registry)
        # result: taken, repeated, unreadable
        self.audits = Counter("channels_health_audit_records", "Records of the books read.", ["result"], registry=registry)
        self.pruned = Counter("channels_health_pruned_rows", "Old checks deleted.", registry=registry)


class MailboxMetrics:
    """What the mailbox service counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # result: written, cut (larger than we take), gone (deleted before we came), unreadable (the server refuses to give it)
        self.mails = Counter("channels_mailbox_mails", "Mails done with, by result.", ["result"], registry=registry)
        self.mail_bytes = Counter("channels_mailbox_mail_bytes", "Bytes of mails that Kafka has.", registry=registry)
        # result: accepted, refused
        self.logins = Counter("channels_mailbox_logins", "Logins at mail servers, by result.", ["result"], registry=registry)
        # code: of the error, from the error tree
        self.faults = Counter("channels_mailbox_faults", "Sessions broken off, by error code.", ["code"], registry=registry)
        # cause: first, server_changed, uidvalidity_changed, uids_went_back
        self.resyncs = Counter("channels_mailbox_resyncs", "Folders read from a date on, by cause.", ["cause"], registry=registry)
        self.leases_lost = Counter("channels_mailbox_leases_lost", "Leases that another process took.", registry=registry)
        # state: reading, trouble, starting (ours); elsewhere (another process has them, or nobody yet); unreadable (config)
        self.mailboxes = Gauge("channels_mailbox_mailboxes", "Mailboxes configured, by state.", ["state"], registry=registry)


class HttpMetrics:
    """What the HTTP client counts (it is its `Watch`)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # outcome: answered_2xx … answered_5xx, rate_limited, or the code of a fault (call_timed_out, egress_refused, …);
        # provider: a connector type, a service that gives tokens (meta, google, microsoft), or other
        self._calls = Counter("channels_http_calls", "Calls to others, by outcome.", ["provider", "outcome"], registry=registry)
        self._seconds = Histogram(
            "channels_http_call_seconds",
            "Time per call, with its repetitions.",
            ["provider"],
            buckets=(*_SECONDS, 20, 60),
            registry=registry,
        )
        self._repeated = Counter("channels_http_repeats", "Attempts beyond the first.", ["provider"], registry=registry)

    def ended(self, provider: str, outcome: str, seconds: float) -> None:
        """A call came to its end."""
        self._calls.labels(provider, outcome).inc()
        self._seconds.labels(provider).observe(seconds)

    def repeated(self, provider: str) -> None:
        """A call is about to be made again."""
        self._repeated.labels(provider).inc()


class TokenRotatorMetrics:
    """What the token rotator counts. `service`: who is called (meta, google, microsoft), or a connector type that is tested."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # outcome: renewed, transient, rate_limited, unknown, consent_needed, expired, refused, dropped (the token is gone)
        self.renewals = Counter(
            "channels_token_rotator_renewals", "Tries to renew a token, by outcome.", ["service", "outcome"], registry=registry
        )
        # How long the oldest row is due that nobody has taken; grows when all workers or a budget are too small.
        self.due_lag_seconds = Gauge(
            "channels_token_rotator_due_lag_seconds", "Since when the oldest renewal is due.", registry=registry
        )
        self.budget_refusals = Counter(
            "channels_token_rotator_budget_refusals",
            "Looks that found work and no budget for it.",
            ["service"],
            registry=registry,
        )
        # Alert above 0: a person must act (`channels tokens list` names cause and action).
        self.stopped = Gauge("channels_token_rotator_stopped_tokens", "Tokens whose renewal has stopped.", registry=registry)
        # Alert above 0 for long: new tokens that PostgreSQL does not take; lost if this process ends now.
        self.unstored = Gauge("channels_token_rotator_unstored_results", "Answers that wait to be stored.", registry=registry)
        self.retired = Counter("channels_token_rotator_retired", "Replaced tokens that were taken away.", registry=registry)
        # threshold: seconds before the end
        self.notices = Counter("channels_token_rotator_notices", "Tokens told to end soon.", ["threshold"], registry=registry)
        # grade: passed, warning, failed, unknown
        self.tests = Counter("channels_token_rotator_tests", "Keys tried.", ["service", "grade"], registry=registry)
        # cause: database (away), refused (a change of somebody else came before); store, stop (one result is not written)
        self.faults = Counter("channels_token_rotator_faults", "Work interrupted, by cause.", ["cause"], registry=registry)


class VaultMetrics:
    """What every process that opens keys counts."""

    _RECENT_SECONDS = 300.0  # traffic asks again at least once a second for a key that it needs

    def __init__(self, registry: CollectorRegistry, now_seconds: Callable[[], float] = time.monotonic) -> None:
        self._now = now_seconds
        self._refused: dict[tuple[KeyPurpose, str], float] = {}
        # operation: wrap, unwrap; purpose: ingest, credential; outcome: ok, refused (disabled, denied, deleted, not ours),
        # broken, unavailable, failed
        self._calls = Counter(
            "channels_vault_key_calls", "Data keys wrapped and unwrapped.", ["operation", "purpose", "outcome"], registry=registry
        )
        # Alert above 0: their webhooks are answered 503 and their credentials stay closed until the key is given back.
        refused = Gauge(
            "channels_vault_refused_tenants", "Tenants whose key was refused of late.", ["purpose"], registry=registry
        )
        for purpose in KeyPurpose:
            refused.labels(purpose.value).set_function(partial(self._refused_tenants, purpose))

    def ended(self, operation: str, purpose: KeyPurpose, tenant_id: str, outcome: str) -> None:
        """One call to the key provider came to an end."""
        self._calls.labels(operation, purpose.value, outcome).inc()
        if outcome == "refused":
            self._refused[purpose, tenant_id] = self._now()
        elif outcome == "ok":
            self._refused.pop((purpose, tenant_id), None)

    def _refused_tenants(self, wanted: KeyPurpose) -> int:
        since = self._now() - self._RECENT_SECONDS
        return sum(1 for (purpose, _), at in list(self._refused.items()) if purpose is wanted and at > since)


class ControlMetrics:
    """What the management API counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # route: the template of the path, such as /v1/connectors/{connector_id}
        self.requests = Count("channels_control_requests", "Calls answered.", ["method", "route", "status"], registry=registry)
        # kind: read, write
        self.seconds = Histogram(
            "channels_control_answer_seconds", "Time to answer a call.", ["kind"], buckets=_SECONDS, registry=registry
        )
        # kind: of the token; +Inf: none of this kind ever ends; negative: a connector's last one has ended
        self.token_seconds_left = Gauge(
            "channels_token_seconds_left",
            "Seconds until the first connector has no valid token of this kind.",
            ["kind"],
            registry=registry,
        )


class SnapshotMetrics:
    """What every reader of the compacted snapshots counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.entries = Gauge("channels_snapshot_entries", "Objects known from snapshots, by kind.", ["kind"], registry=registry)
        self.ready = Gauge("channels_snapshot_ready", "1 once all snapshots were read to their end.", registry=registry)
