# -*- coding: utf-8 -*-
"""Services that the conformance suite needs on a real Zato 3.2 or 3.3 server.

Upload this file to the hot-deployment folder of the server. It was written from
what is known of the server (docs/protocol.md) and checked for syntax only.
"""

# stdlib
from time import sleep

# Zato
from zato.server.service import Service
from zato.server.service.internal.helpers import WebSocketsGateway
from zato.server.service.internal.pubsub import ResumeWSXSubscription


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


class MendedResume(ResumeWSXSubscription):
    """ Resumes subscriptions whether or not what other processes return has the
    wrapper that the stock service expects."""
    name = 'my.pubsub.resume-wsx-subscription'

    def _parse_non_gd_messages(self, sub_key_list, messages_list):
        out = {sub_key: [] for sub_key in sub_key_list}

        for item in messages_list or []:
            item = item.get('response', item) if isinstance(item, dict) else item
            item = item.get('messages', item) if isinstance(item, dict) else item
            if not isinstance(item, dict):
                continue
            for sub_key, messages in item.items():
                if sub_key in out:
                    out[sub_key].extend(messages or [])

        return out


class Gateway(WebSocketsGateway):
    """ The gateway to mount the channel on. Unlike the stock one it subscribes
    durably and resumes."""
    name = 'my.gateway'
    services_allowed = ['my.echo', 'my.sleep', 'my.fail', 'my.nothing', MendedResume.name]

    class SimpleIO(WebSocketsGateway.SimpleIO):
        # The stock gateway reads an element that it does not declare.
        input_optional = tuple(WebSocketsGateway.SimpleIO.input_optional) + ('cid',)

    def handle(self):
        if self.request.input.get('service') == 'zato.pubsub.resume-wsx-subscription':
            self.request.input.service = MendedResume.name
        super(Gateway, self).handle()
