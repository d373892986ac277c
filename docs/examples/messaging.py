"""What a messaging module does: shows each message to its unit, once, in the order of its conversation."""

import json
import os

from confluent_kafka import Consumer
from events import Record

kafka, prefix = os.environ["CHANNELS_KAFKA_BOOTSTRAP"], os.environ.get("CHANNELS_TOPIC_PREFIX", "")
reading = {"isolation.level": "read_committed", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
consumer = Consumer({"bootstrap.servers": kafka, "group.id": f"{prefix}messaging", "session.timeout.ms": 6000, **reading})
consumer.subscribe([f"{prefix}message.received"])
received, shown = Record("MessageReceived"), set()  # `shown`: a unique column of yours, written with what you show
while True:
    record = consumer.poll(1.0)
    if record is None or record.error():  # an error here is news: the client goes on by itself
        continue
    event = received.read(record.value())
    message = event["message"]
    if message["message_id"] not in shown:
        print(json.dumps([event["decision"]["org_unit_id"], message["kind"], message["content"]["text"]]), flush=True)
        shown.add(message["message_id"])
    consumer.commit(record, asynchronous=False)
