"""Run the official client through one session.

The arguments are the address, the username, the secret and a topic.
"""

import logging
import sys

from gevent.event import Event
from zato.websocket.client import Client, Config

logging.disable(logging.CRITICAL)
address, username, secret, topic = sys.argv[1:]
received = Event()


def on_request(request):
    """Answer a message of a topic, as the client does with all that the server sends."""
    received.set()
    return {"seen": True}


client = Client(Config("official", "official.py", address, username, secret, on_request, wait_time=30))
client.run(max_wait=30)


def invoke(service, request):
    return client.invoke({"service": service, "request": request})


invoke("my.echo", {"text": "żółć /", "n": 1.5, "list": [None, True]})
invoke("my.nothing", {"n": 1})
invoke("my.fail", {"n": 1})
invoke("my.no-such", {"n": 1})
answer = invoke("zato.pubsub.pubapi.subscribe-wsx", {"topic_name": topic})
sub_key = answer.data["response"]["sub_key"]
invoke("my.sleep", {"seconds": 2})  # until the server knows the connection
invoke(
    "zato.pubsub.pubapi.publish-message",
    {"topic_name": topic, "data": "a message", "priority": 7, "expiration": 60, "correl_id": "c-1", "in_reply_to": "r-1"},
)
received.wait(30)
invoke("zato.pubsub.resume-wsx-subscription", {"sub_key": sub_key})
invoke("zato.pubsub.pubapi.unsubscribe", {"sub_key": sub_key})
invoke("zato.pubsub.pubapi.unsubscribe", {"sub_key": sub_key, "topic_name": topic})
client.stop()
