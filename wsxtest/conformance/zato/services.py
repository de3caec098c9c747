# -*- coding: utf-8 -*-
"""Services that the conformance suite needs on a real Zato 3.2 or 3.3 server.

Upload this file to the hot-deployment folder of the server, and examples/zato/gateway.py
with these services in its list. It was written from what is known of the server
(docs/protocol.md) and checked for syntax only.
"""

# stdlib
from time import sleep

# Zato
from zato.server.service import Service


class Echo(Service):
    """ Returns its request."""
    name = 'my.echo'

    def handle(self):
        self.response.payload = self.request.payload


class Sleep(Service):
    """ Takes {"seconds": N} and answers it after so long."""
    name = 'my.sleep'

    def handle(self):
        sleep(float(self.request.payload['seconds']))
        self.response.payload = self.request.payload


class Fail(Service):
    """ Raises an exception."""
    name = 'my.fail'

    def handle(self):
        raise Exception('This service always fails')


class Nothing(Service):
    """ Answers nothing."""
    name = 'my.nothing'

    def handle(self):
        pass
