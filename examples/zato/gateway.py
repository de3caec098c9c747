# -*- coding: utf-8 -*-
"""The gateway service to mount a WebSocket channel of Zato 3.2 or 3.3 on. Edit
SERVICES and upload this file to the server's hot-deployment folder.

Through the gateway that Zato ships, no client can subscribe durably or resume a
subscription, for two defects (docs/protocol.md): this one mends both.

It was written from what is known of the server and tested with stand-ins only.
"""

# Zato
from zato.server.service import AsIs
from zato.server.service.internal.helpers import WebSocketsGateway
from zato.server.service.internal.pubsub import ResumeWSXSubscription

# The services that clients of the channel may invoke. What they need for topics is
# always allowed.
SERVICES = [
    'zato.ping',
]


class Resume(ResumeWSXSubscription):
    """ Resumes a subscription. The messages in memory come from all processes of the
    server, each with or without the element that the stock service expects."""
    name = 'zato-connect.resume-wsx-subscription'

    def _parse_non_gd_messages(self, sub_key_list, messages_list):
        out = {}

        for item in messages_list or []:
            for wrapper in 'response', 'messages':
                if isinstance(item, dict):
                    item = item.get(wrapper, item)
            if not isinstance(item, dict):
                continue
            for sub_key, messages in item.items():
                if sub_key in sub_key_list and messages:
                    out.setdefault(sub_key, []).extend(messages)

        # The caller expects no empty lists.
        return out


class Gateway(WebSocketsGateway):
    """ Invokes services on behalf of the clients of a channel."""
    name = 'zato-connect.gateway'
    services_allowed = SERVICES + [Resume.name]

    class SimpleIO(WebSocketsGateway.SimpleIO):
        # The stock gateway reads cid and does not declare it.
        input_optional = AsIs('request'), 'cid'

    def handle(self):
        if self.request.input.service == 'zato.pubsub.resume-wsx-subscription':
            self.request.input.service = Resume.name
        super(Gateway, self).handle()
