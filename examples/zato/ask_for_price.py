# -*- coding: utf-8 -*-
"""A service for Zato 3.2 and 3.3 that asks a pipeline for a price and waits for the
answer. Copy it to the server's hot-deployment folder.

The pipeline needs a zato_wsx_requests input with the client_id "prices" on the WebSocket
channel CHANNEL_ID. If several such pipelines are connected, the service asks one after
the other until one answers.

It was written from the source of Zato, and only its syntax was checked.
"""

# Zato
from zato.server.service import Service

# The id of the WebSocket channel, as shown in Zato's web-admin.
CHANNEL_ID = 1

# The client_id of the pipeline.
CLIENT_ID = 'prices'

# In seconds. The timeout of the input should be a little shorter.
TIMEOUT = 5


class AskForPrice(Service):
    """ Takes {"item": NAME} and returns what the pipeline answers."""
    name = 'demo.ask-for-price'

    def handle(self):
        channel = {'cluster_id': self.server.cluster_id, 'id': CHANNEL_ID}

        # The list contains each connection of the channel.
        connections = self.invoke('zato.channel.web-socket.get-connection-list', channel)

        for connection in connections:
            if connection['ext_client_id'] != CLIENT_ID:
                continue

            response = self.invoke('zato.channel.web-socket.invoke-wsx', dict(
                channel,
                pub_client_id=connection['pub_client_id'],
                request_data={'item': self.request.payload['item']},
                timeout=TIMEOUT,
            ))
            answer = response['response_data']

            # An empty value means that no answer arrived in time. An object with "error"
            # means that the pipeline failed.
            if answer and not (isinstance(answer, dict) and 'error' in answer):
                self.response.payload = answer
                return

        raise Exception('No client answered: {}'.format(CLIENT_ID))
