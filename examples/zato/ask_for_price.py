# -*- coding: utf-8 -*-
"""A service of Zato 3.2 or 3.3 that asks a pipeline for a price and waits for the
answer. Upload it to the server's hot-deployment folder.

The pipeline has a zato_wsx_requests input whose client_id is "prices", on the
WebSocket channel CHANNEL_ID. Several pipelines with this client_id may be
connected; the service asks them in turn until one answers.

It was written from what is known of the server and checked for syntax only.
"""

# Zato
from zato.server.service import Service

# The id of the WebSocket channel, which Zato's web-admin shows.
CHANNEL_ID = 1

# The client_id of the pipeline.
CLIENT_ID = 'prices'

# In seconds. The input's own timeout is to be a little shorter.
TIMEOUT = 5


class AskForPrice(Service):
    """ Takes {"item": NAME} and returns what the pipeline answers."""
    name = 'demo.ask-for-price'

    def handle(self):
        channel = {'cluster_id': self.server.cluster_id, 'id': CHANNEL_ID}

        # Each connection of the client is listed.
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

            # Nothing, and an empty object, mean that no answer came in time. An
            # object with "error" is a pipeline that failed.
            if answer and not (isinstance(answer, dict) and 'error' in answer):
                self.response.payload = answer
                return

        raise Exception('No client answered: {}'.format(CLIENT_ID))
