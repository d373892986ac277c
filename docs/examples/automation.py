"""What an automation module does: it is asked about each message of an account with a flow, and says where it goes."""

import os
import time

from confluent_kafka import Consumer, Producer
from events import Record

kafka, prefix = os.environ["CHANNELS_KAFKA_BOOTSTRAP"], os.environ.get("CHANNELS_TOPIC_PREFIX", "")
reading = {"isolation.level": "read_committed", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
consumer = Consumer({"bootstrap.servers": kafka, "group.id": f"{prefix}automation", "session.timeout.ms": 6000, **reading})
consumer.subscribe([f"{prefix}automation.intake.requested"])
producer = Producer({"bootstrap.servers": kafka, "acks": "all", "enable.idempotence": True})
requested, completed = Record("IntakeRequested"), Record("IntakeCompleted")
while True:
    record = consumer.poll(1.0)
    if record is None or record.error():
        continue
    request = requested.read(record.value())
    answer = {"request_id": request["request_id"], "outcome": "route", "org_unit_id": os.environ["UNIT"]}
    answer |= {"labels": ["greeted"], "completed_at_ms": time.time_ns() // 1_000_000}
    producer.produce(f"{prefix}automation.intake.completed", completed.write(answer), record.key())
    if producer.flush(30) == 0:  # first the answer, then the offset: one that is given twice counts once
        consumer.commit(record, asynchronous=False)
