"""Redrives and drops dead letters.

A redrive writes a copy of the raw record to its own partition, for the router to take like anything that arrives. Why it has
one effect, however often and by however many it is done:
- one at a time: the lock is held from the look at the marks until the new marks are committed, so a second operator finds them;
- killed between Kafka's acknowledgement and the commit: the copy is there, the mark is not, a repeat writes a second copy. Both
  name the same earlier tries in `tries`; the first takes the claim over by compare-and-set, the second finds another owner.
What is remembered: the claim (PostgreSQL, by the router), the mark (PostgreSQL, here), the copy (raw topic). No payload leaves
Kafka.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import delete, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from shared.adapters.avro import Codec
from shared.adapters.database import unit_of_work
from shared.adapters.placed_records import Copy, Place, PlacedRecord
from shared.adapters.tables import AuditLog, DeadLetterMark, Tenant
from shared.domain.errors import CorruptData, InvalidInput
from shared.domain.records import RawPosition, Redrive, WebhookReceived
from shared.domain.topics import Topic
from shared.management.dead_letters import DROPPED, REDRIVEN, DeadLetters, Letter, Mark, Raw, marks_of
from shared.management.rules import rules_enforced

_CHUNK = 200  # letters of one transaction: no body is above 256 KiB
_MAX_NOTE = 500

GONE = "raw_record_gone"
RECREATED = "raw_topic_recreated"
UNDECODABLE = "undecodable"
ALREADY_REDRIVEN = "already_redriven"
ALREADY_DROPPED = "already_dropped"
NOT_WRITTEN = "not_written"
EXPLAINED = {
    GONE: "the raw record is gone: retention has taken it",
    RECREATED: "the raw topic was deleted and made anew since: what lies at this offset now is something else",
    UNDECODABLE: "this release cannot decode the raw record either",
    ALREADY_REDRIVEN: "redriven before; if its copy failed, that is a letter of its own",
    ALREADY_DROPPED: "dropped before; name it by its id to redrive it all the same",
    NOT_WRITTEN: "Kafka did not take the copy in time: try again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a change did to one letter: `copy` is where the redriven copy lies; `refused` is a key of EXPLAINED, None if done."""

    letter: Letter
    refused: str | None = None
    copy: Place | None = None


def foreseen(letters: Sequence[Letter], *, dropped_too: bool = False) -> Iterator[Answer]:
    """What `redrive` would say, as far as it can be known without reading the raw records. Changes nothing."""
    for letter in letters:
        yield Answer(letter=letter, refused=_refusal(letter, letter.mark, dropped_too))


def redrive(box: DeadLetters, letters: Sequence[Letter], *, actor: str, dropped_too: bool = False) -> Iterator[Answer]:
    """Write a copy for each letter, first arrivals first; one answer each. `dropped_too`: also what somebody has dropped.

    Raises Unavailable (also while another redrive holds the lock for long): what was answered before is done.
    """
    for chunk in _chunks(sorted(letters, key=_arrival)):
        with rules_enforced(), unit_of_work(box.engine) as session:
            answers = _redrive(box, session, chunk, actor, dropped_too)
            session.commit()
        yield from answers


def drop(box: DeadLetters, letters: Sequence[Letter], note: str, *, actor: str) -> Iterator[Answer]:
    """Mark each letter as done without another try, and say why. Raises InvalidInput, Unavailable."""
    if not note.strip() or len(note) > _MAX_NOTE or "\x00" in note:
        raise InvalidInput(f"say why, in at most {_MAX_NOTE} characters", reason="note_missing", pointer="/note")
    for chunk in _chunks(letters):
        with rules_enforced(), unit_of_work(box.engine) as session:
            marks = _locked_marks(box, session, chunk)
            answers = [Answer(letter=letter, refused=done_before(marks.get(_key(letter)))) for letter in chunk]
            dropped = [answer.letter for answer in answers if answer.refused is None]
            _mark(session, box, [(letter, None) for letter in dropped], actor, DROPPED, note)
            _audit(session, "dead_letters.dropped", dropped, {"note": note}, actor)
            _forget(box, session)
            session.commit()
        yield from answers


def _redrive(box: DeadLetters, session: Session, chunk: Sequence[Letter], actor: str, dropped_too: bool) -> list[Answer]:
    marks = _locked_marks(box, session, chunk)
    refused = {letter.id: _refusal(letter, marks.get(_key(letter)), dropped_too) for letter in chunk}
    records = box.raw.read_at(letter.place for letter in chunk if refused[letter.id] is None)
    copies: dict[str, Copy] = {}
    for letter in chunk:
        if refused[letter.id] is None:
            copy = copy_of(letter, records.get(letter.place), box.codec)
            if isinstance(copy, str):
                refused[letter.id] = copy
            else:
                copies[letter.id] = copy
    placed = dict(zip(copies, box.raw.append(list(copies.values())), strict=True))
    answers = []
    for letter in chunk:
        place = placed.get(letter.id)
        why = refused[letter.id] or (NOT_WRITTEN if place is None else None)
        answers.append(Answer(letter=letter, refused=why, copy=place))
    _mark(session, box, [(answer.letter, answer.copy) for answer in answers if answer.refused is None], actor, REDRIVEN)
    _audit(session, "dead_letters.redriven", [answer.letter for answer in answers if answer.refused is None], {}, actor)
    _forget(box, session)
    return answers


def copy_of(letter: Letter, raw: PlacedRecord | None, codec: Codec) -> Copy | str:
    """The record again, saying what it stands for; or why there can be none."""
    if raw is None:
        return GONE
    try:
        record: WebhookReceived = codec.decode(Topic.WEBHOOK_RECEIVED, raw.value)
    except CorruptData:
        return UNDECODABLE
    event = letter.event
    tries = event.tries or (event.origin.offset,)
    if record.redelivery_of is not None and record.redrive is None:  # a held record's copy, which may have left the claim behind
        tries = (record.redelivery_of.offset, *tries)
    origin = event.origin
    again = replace(
        record,
        redelivery_of=RawPosition(epoch=origin.epoch, partition=raw.partition, offset=raw.offset, item=origin.item),
        only_item=origin.item or None,
        redrive=Redrive(
            origin=origin,
            attempt=event.attempt + 1,
            tries=tries,
            reason=event.reason,
            account_id=event.account_id,
            first_arrival_at_ms=event.first_arrival_at_ms,
        ),
    )
    return Copy(raw.partition, raw.key, codec.encode(Topic.WEBHOOK_RECEIVED, again), raw.headers)


def _refusal(letter: Letter, mark: Mark | None, dropped_too: bool) -> str | None:
    done = done_before(mark, dropped_too=dropped_too)
    if done is not None:
        return done
    return {Raw.THERE: None, Raw.GONE: GONE, Raw.RECREATED: RECREATED}[letter.raw]


def done_before(mark: Mark | None, *, dropped_too: bool = False) -> str | None:
    """Why nothing is to be done about a letter with this mark; None if there is."""
    if mark is None:
        return None
    if mark.outcome == DROPPED:
        return None if dropped_too else ALREADY_DROPPED
    return ALREADY_REDRIVEN


def _locked_marks(box: DeadLetters, session: Session, chunk: Sequence[Letter]) -> dict[Place, Mark]:
    """The marks as they are, and nobody else's until this transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"dead letters of {box.topic_id}", 0))))
    return marks_of(session, box.topic_id, [_key(letter) for letter in chunk])


def _mark(
    session: Session,
    box: DeadLetters,
    done: Sequence[tuple[Letter, Place | None]],
    actor: str,
    outcome: str,
    note: str | None = None,
) -> None:
    """`done`: each letter with the place of its copy, if it has one."""
    rows = [
        {
            "topic_id": box.topic_id,
            "partition": letter.partition,
            "letter_offset": letter.offset,
            "outcome": outcome,
            "note": note,
            "raw_partition": copy[0] if copy else None,
            "raw_offset": copy[1] if copy else None,
            "actor": actor,
        }
        for letter, copy in done
    ]
    if rows:
        new = upsert(DeadLetterMark).values(rows)
        changed = {name: new.excluded[name] for name in ("outcome", "note", "raw_partition", "raw_offset", "actor")}
        keys = ["topic_id", "partition", "letter_offset"]
        session.execute(new.on_conflict_do_update(index_elements=keys, set_={**changed, "at": func.now()}))


def _audit(session: Session, action: str, letters: Sequence[Letter], facts: Mapping[str, str], actor: str) -> None:
    """One line for each connector. Letters of nobody (bytes that were no record) have their mark alone."""
    groups: dict[tuple[str, str], list[Letter]] = defaultdict(list)
    for letter in letters:
        if letter.event.tenant_id is not None and _is_id(letter.event.tenant_id) and _is_id(letter.event.connector_id):
            groups[letter.event.tenant_id, letter.event.connector_id].append(letter)
    wanted = {tenant for tenant, _ in groups}
    known = set(session.scalars(select(Tenant.id).where(Tenant.id.in_(wanted)))) if wanted else set()
    for (tenant, connector), group in sorted(groups.items()):
        if tenant in known:
            after = {**facts, "count": len(group), "letters": [letter.id for letter in group]}
            note_audit(session, action, tenant, connector, after, actor)


def note_audit(session: Session, action: str, tenant_id: str, connector_id: str, after: Mapping[str, object], actor: str) -> None:
    """One line of the audit log about a connector's dead letters."""
    values = {
        "tenant_id": tenant_id,
        "actor": actor,
        "action": action,
        "subject_type": "channel_connector",
        "subject_id": connector_id,
        "after": dict(after),
    }
    # `inline`: no RETURNING, the role may write to the log and not read it.
    session.execute(insert(AuditLog).inline().values(**values))


def _forget(box: DeadLetters, session: Session) -> None:
    """Marks of letters that retention has taken."""
    for partition, first in box.first_kept().items():
        session.execute(
            delete(DeadLetterMark).where(
                DeadLetterMark.topic_id == box.topic_id,
                DeadLetterMark.partition == partition,
                DeadLetterMark.letter_offset < first,
            )
        )


def _chunks(letters: Sequence[Letter]) -> Iterator[Sequence[Letter]]:
    for start in range(0, len(letters), _CHUNK):
        yield letters[start : start + _CHUNK]


def _arrival(letter: Letter) -> tuple[int, int, int, int]:
    origin = letter.event.origin
    return origin.partition, origin.offset, letter.partition, letter.offset


def _key(letter: Letter) -> Place:
    return letter.partition, letter.offset


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
