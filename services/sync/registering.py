"""One job: look at what the provider has, make sure that the edge knows what will be registered, register, look again.

Blocks, and runs in a thread of its own. Nothing is written here; a job that is interrupted anywhere is done again from the start,
which does no harm: registering the same twice changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from services.sync.edge import Caller, EdgeProbe
from services.sync.planning import (
    AccountFacts,
    Facts,
    Policy,
    callback_url,
    context_of,
    failure_of,
    is_registered,
    next_beginning,
    transient,
    wanted_secrets,
)
from services.sync.rows import read_facts
from services.sync.steps import AccountStep, ConnectorStep, StepDone
from shared.adapters.clock import Clock
from shared.adapters.database import unit_of_work
from shared.adapters.database_errors import translated
from shared.adapters.receiving_secrets import open_segredo
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose, SecretUse
from shared.domain.errors import CorruptData, InvalidInput, SealBroken, Unavailable
from shared.domain.syncing import FORCING, SyncOutcome, SyncResult, TakenJob
from shared.management.call_credentials import holder, known_tokens, names_placed
from shared.management.opened_tokens import OpenedToken, open_tokens
from shared.providers import provider_of
from shared.providers.calling import CallContext, Fault, ProviderAnswer, ProviderCall, TransportFault, placed
from shared.providers.contract import Provider, ReceivingSecret
from shared.providers.setting_up import SettingUp, SetupOrder, SetupState

ACTOR = "sync"
_USES = frozenset(use.value for use in SecretUse)
UNKNOWN = ""  # as the name of the registered secret
_SPARE_MS = 5_000  # of the lease, to store the result in

Write = Callable[[Session], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrarParts:
    """What a registrar works with. `worker`, `credential`: engines of the two roles."""

    worker: Engine
    credential: Engine
    vault: Vault
    caller: Caller
    edge: EdgeProbe
    clock: Clock
    policy: Policy
    steps: tuple[AccountStep, ...] = ()
    connector_steps: tuple[ConnectorStep, ...] = ()
    chance: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A job that was worked on. `synced`: accounts whose `ultima_sync` moves; `writes`: what steps store; `seen`: ids of the
    tokens that there were, None if none were looked for."""

    job: TakenJob
    result: SyncResult
    tipo: str = "none"
    synced: tuple[str, ...] = ()
    writes: tuple[Write, ...] = ()
    seen: frozenset[str] | None = None


class Registrar:
    """Safe for threads."""

    def __init__(self, parts: RegistrarParts) -> None:
        self._parts = parts

    def run(self, job: TakenJob) -> Done:
        """Never raises for what providers answer. Raises Unavailable where PostgreSQL or the key service is away."""
        facts = read_facts(self._parts.worker, job)
        if facts is None:
            return Done(job=job, result=SyncResult(outcome=SyncOutcome.NOTHING, cause="connector_gone"))
        return _Running(self._parts, job, facts, provider_of(facts.tipo)).done()


class _Running:
    """One job under way; a `Work`."""

    def __init__(self, parts: RegistrarParts, job: TakenJob, facts: Facts, provider: Provider) -> None:
        self._parts = parts
        self.job = job
        self.facts = facts
        self.provider = provider
        self._secrets: dict[SecretUse, ReceivingSecret] = {}
        self._begins_ms: int | None = None
        self._seen: frozenset[str] | None = None

    def done(self) -> Done:
        result = self._webhook() if self.provider.setting_up is not None else SyncResult(outcome=SyncOutcome.NOTHING)
        # No row asks for it: what the provider tells of the accounts is taken, but they are not in step with it.
        unregistered = result.outcome is SyncOutcome.NOTHING and result.cause is not None
        synced: list[str] = []
        result, writes = self._whole(result)
        steps = [step for step in self._parts.steps if step.fits(self.provider)]
        if result.good and (result.outcome is SyncOutcome.SYNCED or steps):
            for account in self.facts.accounts:
                failure, more = self._describe(account, steps)
                if failure is not None:
                    result = replace(failure, registered_url=result.registered_url, registered_secret=result.registered_secret)
                else:
                    synced += [] if unregistered else [account.id]
                    writes += more
            if result.good and not unregistered:
                result = replace(result, outcome=SyncOutcome.SYNCED, cause=None)
        tipo, result = self.facts.tipo.value, replace(result, recheck_ms=self._begins_ms)
        return Done(job=self.job, result=result, tipo=tipo, synced=tuple(synced), writes=tuple(writes), seen=self._seen)

    def _whole(self, result: SyncResult) -> tuple[SyncResult, list[Write]]:
        """What the connector as a whole has to do, whatever became of its webhook; a failure of the webhook's is told first."""
        writes: list[Write] = []
        for step in self._parts.connector_steps:
            done = step.run(self) if step.fits(self.provider) else StepDone()
            if done.write is not None:
                writes.append(done.write)
            if result.good and done.failure is not None:
                result = replace(done.failure, registered_url=result.registered_url, registered_secret=result.registered_secret)
            elif result.good and done.write is not None and result.cause is None:
                result = replace(result, outcome=SyncOutcome.SYNCED, cause=None)
        return result, writes

    def _describe(self, account: AccountFacts, steps: Sequence[AccountStep]) -> tuple[SyncResult | None, list[Write]]:
        writes: list[Write] = []
        for step in steps:
            done = step.run(self, account)
            if done.failure is not None:
                return done.failure, []
            if done.write is not None:
                writes.append(done.write)
        return None, writes

    # --- the webhook

    def _webhook(self) -> SyncResult:
        url = callback_url(self.facts, self.job.account_id)
        if url is None:
            return SyncResult(outcome=SyncOutcome.NOTHING, cause="webhook_missing")
        try:
            known = self._open_secrets()
        except (SealBroken, CorruptData):
            return _refused("segredo_unreadable", "add_secret")
        now_ms, setting_up = self._now_ms(), self.provider.setting_up
        self._secrets = wanted_secrets(known, self.facts.rotations, now_ms)
        self._begins_ms = next_beginning(known, setting_up.registers if setting_up is not None else (), now_ms)
        try:
            return self._ensure(SetupOrder(callback_url=url))
        except InvalidInput as error:  # a setting that is missing, or an address that the provider does not take
            return _refused(error.reason, "fix_config")

    def _ensure(self, order: SetupOrder) -> SyncResult:
        setting_up = self.provider.setting_up
        assert setting_up is not None  # noqa: S101  asked by the caller
        account = self.facts.accounts[0] if self.facts.accounts else None
        context = self.context(account)
        calls = setting_up.build(order, context)
        placed_use = next((use for use in SecretUse if use.value in names_placed(calls) and use in setting_up.registers), None)
        if placed_use is not None and placed_use not in self._secrets:
            return _refused(f"secret_missing:{placed_use.value}", "add_secret")
        secret = self._secrets.get(placed_use) if placed_use is not None else None
        secret_id = None if secret is None else secret.id
        answers = self.ask(setting_up.build_read_back(context), account)
        if isinstance(answers, SyncResult):
            return answers
        before = setting_up.read(answers, order)
        if before.fault is not None:
            return self._failed(before, answers) or self.passing("unknown")
        job = self.job
        same = is_registered(
            before, url=order.callback_url, secret=secret_id, known_url=job.registered_url, known_secret=job.registered_secret
        )
        if same and FORCING.isdisjoint(job.causes):
            return _synced(before, order, secret_id)
        return self._edge_behind() or self._register(setting_up, order, calls, account, secret_id)

    def _edge_behind(self) -> SyncResult | None:
        """Nothing is registered before the edge has the snapshot with every secret that it would be proven by."""
        for secret in self._secrets.values():
            amiss = self._parts.edge.knows(self.facts.connector_id, secret.value, self.facts.version)
            if amiss is not None:
                return replace(self.passing(amiss), outcome=SyncOutcome.EDGE_BEHIND)
        return None if self._secrets else _refused("secret_missing", "add_secret")

    def _register(
        self,
        setting_up: SettingUp,
        order: SetupOrder,
        calls: Sequence[ProviderCall],
        account: AccountFacts | None,
        secret_id: str | None,
    ) -> SyncResult:
        answers = self.ask(calls, account, lambda got: setting_up.read(got, order).fault is not None)
        if isinstance(answers, SyncResult):
            return replace(answers, registered_secret=UNKNOWN)
        state = setting_up.read(answers, order)
        failed = self._failed(state, answers)
        if failed is None:
            return _synced(state, order, secret_id)
        return replace(failed, registered_secret=UNKNOWN)  # nobody knows whether the provider took this secret

    def _failed(self, state: SetupState, answers: Mapping[str, ProviderAnswer]) -> SyncResult | None:
        parts = self._parts
        return failure_of(state, list(answers.values()), self.job.attempt, parts.policy, self._now_ms(), parts.chance())

    def _open_secrets(self) -> list[ReceivingSecret]:
        ring = self._parts.vault.ring(KeyPurpose.INGEST, self.facts.tenant_id, self.facts.ingest_keys)
        sealed = [(one.id, one.segredo) for one in self.facts.webhooks if one.segredo]
        return [secret for row_id, segredo in sealed for secret in open_segredo(ring, self.facts.tenant_id, row_id, segredo)]

    # --- what steps use too

    def context(self, account: AccountFacts | None) -> CallContext:
        """For whom calls are built."""
        return context_of(self.facts, account, self._now_ms())

    def passing(self, cause: str) -> SyncResult:
        """A failure that is tried again later."""
        return transient(cause, self.job.attempt, self._parts.policy, self._now_ms(), self._parts.chance())

    def faulty(self, fault: Fault, answers: Mapping[str, ProviderAnswer]) -> SyncResult:
        """What follows from a provider's refusal, or its silence."""
        return self._failed(SetupState(registered_url=None, missing=(), fault=fault), answers) or self.passing("unknown")

    def ask(
        self,
        calls: Sequence[ProviderCall],
        account: AccountFacts | None,
        failed: Callable[[Mapping[str, ProviderAnswer]], bool] = lambda _: False,
    ) -> Mapping[str, ProviderAnswer] | SyncResult:
        """The answers by step, no further than the first call that failed; a SyncResult where a credential is missing."""
        credentials = self._credentials(calls, account)
        if isinstance(credentials, SyncResult):
            return credentials
        answers: dict[str, ProviderAnswer] = {}
        for call in calls:
            left_seconds = (self.job.lease_until_ms - _SPARE_MS - self._now_ms()) / 1000
            if left_seconds <= 0:  # somebody else may have the job soon: an order of ours must not come after theirs
                return self.passing("out_of_time")
            timed = replace(call, timeout_seconds=min(call.timeout_seconds, left_seconds))
            answer = self._call(timed, credentials)
            answers[call.step] = answer
            if isinstance(answer, TransportFault) or failed({call.step: answer}):
                break
        return answers

    def _call(self, call: ProviderCall, credentials: Mapping[str, str]) -> ProviderAnswer:
        try:
            return self._parts.caller.call(placed(call, credentials), self.facts.tipo.value)
        except Unavailable:  # the client hangs, or is closed under the call
            return TransportFault(kind="lost", may_have_left=True)

    def _credentials(self, calls: Sequence[ProviderCall], account: AccountFacts | None) -> dict[str, str] | SyncResult:
        names = names_placed(calls)
        values: dict[str, str] = {use.value: secret.value.decode() for use, secret in self._secrets.items() if use.value in names}
        wanted = sorted(names - _USES)
        if not wanted:
            return values
        with translated(), unit_of_work(self._parts.credential) as session:
            tokens = known_tokens(session, [self.facts.connector_id])[self.facts.connector_id]
            if self._seen is None:  # what came after the first look may be what a call before it was refused without
                self._seen = frozenset(row.token_id for row in tokens)
            held = {name: holder(name, tokens, None if account is None else account.identidade) for name in wanted}
            missing = next((name for name, row in held.items() if row is None), None)
            if missing is not None:
                return _refused("credential_missing", "add_credential")
            now_ms = self._now_ms()
            if any(row.expires_ms is not None and row.expires_ms <= now_ms for row in held.values() if row is not None):
                return _refused("credential_expired", "renew_token")
            ids = {name: row.token_id for name, row in held.items() if row is not None}
            opened = open_tokens(session, self._parts.vault, set(ids.values()), actor=ACTOR)
            session.commit()
        for name, token_id in ids.items():
            one = opened.get(token_id)
            if not isinstance(one, OpenedToken):
                structlog.get_logger().warning("credential_closed", connector_id=self.facts.connector_id, name=name)
                return self.passing("credential_closed")
            values[name] = one.value
        return values

    def _now_ms(self) -> int:
        return self._parts.clock.now_ms()


def _refused(cause: str, action: str) -> SyncResult:
    return SyncResult(outcome=SyncOutcome.REFUSED, cause=cause, action=action)


def _synced(state: SetupState, order: SetupOrder, secret_id: str | None) -> SyncResult:
    return SyncResult(
        outcome=SyncOutcome.SYNCED,
        by_hand=state.by_hand,
        registered_url=order.callback_url,
        registered_secret=secret_id,
    )
