"""Measure the official client: one call after the other.

The arguments are the address and a duration in milliseconds.
Prints the median latency in nanoseconds.
"""

import logging
import statistics
import sys
import time

from zato.websocket.client import Client, Config

# The client logs every frame, which would slow it down.
logging.disable(logging.INFO)

address, duration = sys.argv[1], int(sys.argv[2])
client = Client(Config(client_name="bench", client_id="bench", address=address))


def call():
    start = time.perf_counter_ns()
    answer = client.invoke({"service": "bench", "request": {"number": 1, "text": "some text of a request"}})
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
while len(latencies) < 5 or time.perf_counter() - start < duration / 1000:
    latencies.append(call())
print(statistics.median_low(latencies))
