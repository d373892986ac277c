"""An edge as one would write it with FastAPI: check Meta's HMAC, write the body to Kafka with acks=all, then answer."""

import hmac
import os
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from fastapi import FastAPI, Request, Response

BOOTSTRAP, TOPIC, SECRET = os.environ["BENCH_ARGUMENTS"].split(",")


@asynccontextmanager
async def lifespan(app):
    """One producer for the process."""
    app.state.producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all", enable_idempotence=True)
    await app.state.producer.start()
    yield
    await app.state.producer.stop()


app = FastAPI(lifespan=lifespan)


@app.post("/webhooks/{connector_id}")
async def receive(connector_id: str, request: Request) -> Response:
    """Verify over the raw bytes, write, answer."""
    body = await request.body()
    given = request.headers.get("x-hub-signature-256", "")
    if not hmac.compare_digest(given, "sha256=" + hmac.digest(SECRET.encode(), body, "sha256").hex()):
        return Response(status_code=401)
    await app.state.producer.send_and_wait(TOPIC, body, key=connector_id.encode())
    return Response(status_code=200)
