"""Measure the official client: one call after the other.

The arguments are the address, a duration in milliseconds, the username, the secret,
the service and the request. Prints the latency of each call in nanoseconds.
"""

import json
import logging
import sys
import time

from zato.websocket.client import Client, Config

# The client logs every frame, which would slow it down.
logging.disable(logging.INFO)

address, duration, username, secret, service, request = sys.argv[1:]
client = Client(Config(
    client_name="bench", client_id="bench", address=address, username=username, secret=secret))
call_data = {"service": service, "request": json.loads(request)}


def call():
    start = time.perf_counter_ns()
    answer = client.invoke(call_data)
    latency = time.perf_counter_ns() - start
    if not (answer and answer.is_ok and answer.data["response"]):
        sys.exit(f"not an answer: {answer and answer.msg_impl}")
    return latency


client.run()
warm_until = time.perf_counter() + 0.1
while time.perf_counter() < warm_until:
    call()
latencies = []
start = time.perf_counter()
while len(latencies) < 5 or time.perf_counter() - start < int(duration) / 1000:
    latencies.append(call())
print(*latencies, sep="\n")
