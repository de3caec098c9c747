# -*- coding: utf-8 -*-
"""Services that the conformance suite needs on a Zato 3.2 or 3.3 server.

Upload this file to the hot-deployment folder of the server, together with
zato/connect.py, and add these services to SERVICES in that file.

The code follows the documented behaviour of the server (docs/protocol.md). Only its
syntax is tested.
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
    """ Waits for N seconds and returns its request, which is {"seconds": N}."""
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
    """ Returns nothing."""
    name = 'my.nothing'

    def handle(self):
        pass
