# -*- coding: utf-8 -*-
"""A service for Zato 3.2 or 3.3 that asks a pipeline for a price and waits for the
response. Upload it to the server's hot-deployment folder.

The pipeline has a zato_wsx_requests input with the client_id "prices", connected to
the WebSocket channel with the id CHANNEL_ID. Several such pipelines may be connected.
The service asks one after the other until one responds.

The code follows the documented behaviour of the server. Only its syntax is tested.
"""

# Zato
from zato.server.service import Service

# The id of the WebSocket channel. Zato's web-admin shows it.
CHANNEL_ID = 1

# The client_id of the pipeline.
CLIENT_ID = 'prices'

# In seconds. The timeout of the input must be a little shorter.
TIMEOUT = 5


class AskForPrice(Service):
    """ Returns the pipeline's response to its request, which is {"item": NAME}."""
    name = 'demo.ask-for-price'

    def handle(self):
        channel = {'cluster_id': self.server.cluster_id, 'id': CHANNEL_ID}

        # The list has one entry for each connection.
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
            result = response['response_data']

            # No response, or an empty object, means that the request timed out. An
            # object with "error" means that the pipeline failed.
            if result and not (isinstance(result, dict) and 'error' in result):
                self.response.payload = result
                return

        raise Exception('No client responded: {}'.format(CLIENT_ID))
