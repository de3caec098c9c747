"""The official client: calls one after the other, for so many milliseconds.

It prints the median of how long they take, in nanoseconds.
"""

import logging
import statistics
import sys
import time

from zato.websocket.client import Client, Config

# The client logs every frame, which would only slow it down.
logging.disable(logging.INFO)

address, about = sys.argv[1], int(sys.argv[2])
client = Client(Config(client_name="bench", client_id="bench", address=address))


def call():
    began = time.perf_counter_ns()
    answer = client.invoke({"service": "bench", "request": {"number": 1, "text": "some text of a request"}})
    took = time.perf_counter_ns() - began
    if not (answer and answer.is_ok and answer.data["response"]):
        sys.exit(f"not an answer: {answer and answer.msg_impl}")
    return took


client.run()
warm = time.perf_counter() + 0.1
while time.perf_counter() < warm:
    call()
took = []
began = time.perf_counter()
while len(took) < 5 or time.perf_counter() - began < about / 1000:
    took.append(call())
print(statistics.median_low(took))
