#!/usr/bin/env bash
# ws4py 0.6.0, a WebSocket library for Python servers, with websockets 15.0.1 as the client.
#
# If a server of ws4py serves TLS itself and has a WebSocketManager, it reads a message only when the next one arrives.
# The first read takes a whole record from the socket, and the manager waits for the socket to become readable again.
# Without TLS, each message is read at once. Seen, with the echo server that comes with ws4py:
#
#   ws: one: one
#   ws: two: two
#   ws: three: three
#   wss: one: no answer in 5 seconds
#   wss: two: one
#   wss: three: two
#
# The documentation does not warn of it. A comment in the code describes the delay and says that pending data is read,
# but that happens only after a read. For users: let a proxy in front of the server serve TLS.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet ws4py==0.6.0 websockets==15.0.1 trustme==1.2.1

cat >talk.py <<'END'
import os
import ssl
import threading
import traceback
from wsgiref.simple_server import make_server

import trustme
from websockets.sync.client import connect
from ws4py.server.wsgirefserver import WebSocketWSGIRequestHandler, WSGIServer
from ws4py.server.wsgiutils import WebSocketWSGIApplication
from ws4py.websocket import EchoWebSocket

authority = trustme.CA()
serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
authority.issue_cert("127.0.0.1").configure_cert(serving)
trusting = ssl.create_default_context()
authority.configure_trust(trusting)


def talk(scheme):
    server = make_server("127.0.0.1", 0, server_class=WSGIServer,
                         handler_class=WebSocketWSGIRequestHandler,
                         app=WebSocketWSGIApplication(handler_cls=EchoWebSocket))
    if scheme == "wss":
        server.socket = serving.wrap_socket(server.socket, server_side=True)
    server.initialize_websockets_manager()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tls = trusting if scheme == "wss" else None
    client = connect(f"{scheme}://127.0.0.1:{server.server_port}/", ssl=tls)
    for text in "one", "two", "three":
        client.send(text)
        try:
            answer = client.recv(timeout=5 if (scheme, text) == ("wss", "one") else 20)
        except TimeoutError:
            answer = "no answer in 5 seconds"
        yield f"{scheme}: {text}: {answer}"


status = 1
try:
    print("\n".join([*talk("ws"), *talk("wss")]), flush=True)
    status = 0
except Exception:
    traceback.print_exc()
finally:
    os._exit(status)  # The threads of the managers do not end.
END

expected='ws: one: one
ws: two: two
ws: three: three
wss: one: no answer in 5 seconds
wss: two: one
wss: three: two'
# The echo server handles one handshake at a time, so a stray connection can block it.
seen=$(timeout 60 venv/bin/python talk.py || timeout 60 venv/bin/python talk.py)

echo "$seen"
if [[ $seen != "$expected" ]]; then
	echo "The behaviour has changed. Expected: $expected" >&2
	exit 1
fi
