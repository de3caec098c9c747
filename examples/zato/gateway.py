# -*- coding: utf-8 -*-
"""A gateway service for a WebSocket channel of Zato 3.2 or 3.3. Edit SERVICES, upload
this file to the server's hot-deployment folder and mount the channel on
zato-connect.gateway.

The gateway that Zato ships has two defects (docs/protocol.md), because of which no
client can make a durable subscription or resume one. This gateway fixes both.

The code follows the documented behaviour of the server. It is tested with stand-ins
for the classes of Zato only.
"""

# Zato
from zato.server.service import AsIs
from zato.server.service.internal.helpers import WebSocketsGateway
from zato.server.service.internal.pubsub import ResumeWSXSubscription

# The services that clients of the channel may invoke. The services for topics are
# always allowed.
SERVICES = [
    'zato.ping',
]


class Resume(ResumeWSXSubscription):
    """ Resumes a subscription. Every process of the server returns its messages in
    memory, with or without the wrapper element that the stock service requires."""
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

        # The caller does not accept empty lists.
        return out


class Gateway(WebSocketsGateway):
    """ Invokes services on behalf of the clients of a channel."""
    name = 'zato-connect.gateway'
    services_allowed = SERVICES + [Resume.name]

    class SimpleIO(WebSocketsGateway.SimpleIO):
        # The stock gateway reads cid but does not declare it.
        input_optional = AsIs('request'), 'cid'

    def handle(self):
        if self.request.input.service == 'zato.pubsub.resume-wsx-subscription':
            self.request.input.service = Resume.name
        super(Gateway, self).handle()
