"""A plain Quix Streams application, exactly once: parse JSON, forward; a transaction per 2 000 records, as the router's."""

import os

from quixstreams import Application

BOOTSTRAP, NAME, INPUT, OUTPUT = os.environ["BENCH_ARGUMENTS"].split(",")

app = Application(
    broker_address=BOOTSTRAP,
    consumer_group=NAME,
    processing_guarantee="exactly-once",
    auto_offset_reset="earliest",
    commit_every=4_000,
    auto_create_topics=False,
    loglevel="WARNING",
)
frame = app.dataframe(app.topic(INPUT, value_deserializer="json", key_deserializer="bytes"))
frame.to_topic(app.topic(OUTPUT, value_serializer="json", key_serializer="bytes"))

if __name__ == "__main__":
    app.run()
