"""A plain Faust agent: parse JSON, forward.

Run it as `python app.py worker`; settings beyond the defaults only keep Faust from creating topics and opening a web port.
"""

import os

import faust

BOOTSTRAP, NAME, INPUT, OUTPUT = os.environ["BENCH_ARGUMENTS"].split(",")

app = faust.App(
    NAME,
    broker=f"kafka://{BOOTSTRAP}",
    value_serializer="json",
    consumer_auto_offset_reset="earliest",
    topic_allow_declare=False,
    topic_disable_leader=True,
    web_enabled=False,
)
source = app.topic(INPUT, key_type=bytes, value_type=None)
target = app.topic(OUTPUT, key_type=bytes)


@app.agent(source)
async def forward(stream):
    """One record in, one record out."""
    async for key, value in stream.items():
        await target.send(key=key, value=value)


if __name__ == "__main__":
    app.main()
