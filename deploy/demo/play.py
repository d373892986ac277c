"""The play itself: one simulated Meta connector with two numbers, and everything that must hold for it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from deploy.demo.story import Story
from deploy.demo.world import World
from deploy.local.fleet import Fleet
from shared.adapters.clock import new_uuid7
from shared.domain.topics import Topic
from shared.providers.whatsapp_official.samples import batch, encode, sign, text_message, wamid

MESSAGES = 200
KILL_AFTER = 80
SENDER = "5511900000099"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Names of the objects that the manifest created, and the secrets that the demo made up for them."""

    connector_id: str
    unit_number_id: str
    flow_number_id: str
    org_unit_id: str
    intake_flow_id: str
    app_secret: str
    verify_token: str


class Play:
    """Plays the scenes in order; every claim is checked against Kafka or PostgreSQL."""

    def __init__(self, story: Story, world: World, fleet: Fleet, cast: Cast) -> None:
        self._story = story
        self._world = world
        self._fleet = fleet
        self._cast = cast
        self._first_body = b""

    def run(self) -> None:
        """All scenes."""
        self.handshake()
        self.one_post()
        self.flow_answers()
        self.repeats()
        self.forgeries()
        self.killed_router()
        self.books()

    def handshake(self) -> None:
        """The edge has learnt of the connector from the relay's snapshot, not from the database."""
        self._story.step("2. The provider sets its webhook up: the edge knows the connector from a snapshot")
        challenge = new_uuid7()
        self._story.claim_soon(
            "Meta's handshake is answered 200 with its own challenge",
            (200, challenge),
            lambda: self._world.handshake(self._cast.connector_id, self._cast.verify_token, challenge),
        )
        status, _ = self._world.handshake(self._cast.connector_id, "wrong", challenge)
        self._story.claim("a handshake with another token is answered 403", 403, status)

    def one_post(self) -> None:
        """Three items for two numbers in one signed body."""
        self._story.step("3. One signed POST with 3 messages for 2 numbers")
        numbers = (self._cast.unit_number_id, self._cast.unit_number_id, self._cast.flow_number_id)
        self._first_body = encode(batch([_text(f"message {index}", number) for index, number in enumerate(numbers)]))
        self._story.claim("the edge answers 200 once Kafka has it", 200, self._post(self._first_body))
        self._story.claim_soon("2 events message.received, both for the unit", [self._cast.org_unit_id] * 2, self._units)
        self._story.claim_soon("1 event automation.intake.requested, for the flow", [self._cast.intake_flow_id], self._flows)
        received = self._world.events(Topic.MESSAGE_RECEIVED)
        self._story.claim("both messages are in one conversation", 1, len({event.message.conversation_id for event in received}))
        self._story.claim("PostgreSQL holds 3 claims, no text", 3, self._world.count_rows("claim"))

    def flow_answers(self) -> None:
        """The automation module decides; until then the message waits."""
        self._story.step("4. The flow answers: the message goes to a unit, and not before")
        (asked,) = self._world.events(Topic.INTAKE_REQUESTED)
        self._story.claim("until then it waits: 1 held record, no text in it", 1, self._world.count_rows("held_record"))
        self._world.answer(asked.request_id, asked.message.conversation_id, self._cast.org_unit_id, ("sales",))
        self._story.claim_soon(
            "1 more event message.received, for the unit and with the label that the flow gave",
            [(self._cast.org_unit_id, "flow_routed", ("sales",))],
            lambda: [
                (event.decision.org_unit_id, event.decision.reason, event.decision.labels)
                for event in self._world.events(Topic.MESSAGE_RECEIVED)
                if event.message.message_id == asked.request_id
            ],
        )

    def repeats(self) -> None:
        """Providers repeat what they doubt."""
        self._story.step("5. The same body three more times")
        answers = Counter(self._post(self._first_body) for _ in range(3))
        self._story.claim("every repeat is answered 200", {200: 3}, dict(answers))
        self._story.claim_soon("9 items are booked as duplicates", 9, lambda: self._world.books()["duplicate"])
        self._story.claim("0 new messages", (3, 1), (len(self._units()), len(self._flows())))

    def forgeries(self) -> None:
        """Bodies that Meta never signed."""
        self._story.step("6. Three forged webhooks")
        before = self._world.count_raw_records()
        body = encode(_text("forged", self._cast.unit_number_id))
        signatures = (sign(body, "another secret"), sign(body + b" ", self._cast.app_secret), "sha256=")
        answers = Counter(self._world.post(self._cast.connector_id, body, signature) for signature in signatures)
        self._story.claim("each is answered 401", {401: 3}, dict(answers))
        self._story.claim("Kafka is untouched", before, self._world.count_raw_records(), f"{before} raw records")

    def killed_router(self) -> None:
        """SIGKILL in the middle of the work."""
        self._story.step(f"7. {MESSAGES} messages, and the router is killed (SIGKILL) in the middle")
        began = time.monotonic()
        answers: Counter[int] = Counter()
        for number in range(MESSAGES):
            answers[self._post(encode(_text(f"number {number}", self._cast.unit_number_id, SENDER)))] += 1
            if number == KILL_AFTER:
                killed = self._fleet.kill("router-0")
                self._story.claim("the router was running and is killed", True, killed is not None, f"process {killed}")
        self._story.claim(f"all {MESSAGES} are answered 200, also while no router runs", {200: MESSAGES}, dict(answers))
        self._fleet.start_again("router-0")
        wanted = [f"number {number}" for number in range(MESSAGES)]
        self._story.claim_soon(
            f"{MESSAGES} events for a read_committed reader: 0 lost, 0 twice, in order", wanted, self._numbered
        )
        self._story.tell(f"from the first POST to the last event: {time.monotonic() - began:.1f} s")

    def books(self) -> None:
        """The audit topic against an independent count."""
        self._story.step("8. The books of the run")
        items = self._world.count_raw_items()
        self._story.claim_soon(
            "channels.audit accounts for every item that an independent reader counts in the raw topic",
            items,
            lambda: self._world.books().total(),
        )
        books = self._world.books()
        emitted = len(self._world.events(Topic.MESSAGE_RECEIVED))
        self._story.claim("items booked as emitted = events in message.received", books["emitted"], emitted)
        self._story.claim("nothing is held any more", 0, books["held"])
        lines = [f"{count} {outcome}" for outcome, count in sorted(books.items()) if count]
        self._story.tell(f"{items} items in = " + " + ".join(lines))

    def _post(self, body: bytes) -> int:
        return self._world.post(self._cast.connector_id, body, sign(body, self._cast.app_secret))

    def _units(self) -> list[str]:
        return [str(event.decision.org_unit_id) for event in self._world.events(Topic.MESSAGE_RECEIVED)]

    def _flows(self) -> list[str]:
        return [event.intake_flow_id for event in self._world.events(Topic.INTAKE_REQUESTED)]

    def _numbered(self) -> list[str]:
        texts = [str(event.message.content.text) for event in self._world.events(Topic.MESSAGE_RECEIVED)]
        return [text for text in texts if text.startswith("number ")]


def _text(text: str, phone_number_id: str, sender: str = "5511900000001") -> dict[str, object]:
    return text_message(message_id=wamid(new_uuid7().encode()), text=text, sender=sender, phone_number_id=phone_number_id)
