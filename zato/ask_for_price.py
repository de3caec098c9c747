# -*- coding: utf-8 -*-
"""A service for Zato 3.2 and 3.3 that asks a pipeline for a price and waits for the answer. Copy it to the server's
hot-deployment folder.

The pipeline needs a zato_wsx_requests input with the client_id "prices" on the WebSocket channel CHANNEL. If several
such pipelines are connected, the service asks one after the other until one answers.
"""

# stdlib
from json import dumps, loads

# Zato
from zato.server.service import Service

# The name of the WebSocket channel.
CHANNEL = 'connect'

# The client_id of the pipeline.
CLIENT_ID = 'prices'

# In seconds. The timeout of the input should be a little shorter.
TIMEOUT = 5


class AskForPrice(Service):
    """ Takes {"item": NAME} and returns what the pipeline answers."""
    name = 'demo.ask-for-price'

    def handle(self):
        channel = {'cluster_id': self.server.cluster_id, 'id': self.channel_id()}
        # An object would arrive in Python's notation. The server decodes a JSON text before it sends it.
        request = dumps({'item': self.request.payload['item']})

        for connection in self.call('zato.channel.web-socket.get-connection-list', channel):
            if connection['ext_client_id'] != CLIENT_ID:
                continue

            answer = self.call('zato.channel.web-socket.invoke-wsx', dict(
                channel,
                pub_client_id=connection['pub_client_id'],
                request_data=request,
                timeout=TIMEOUT,
            ))['response_data']

            # An empty value means that no answer arrived in time. An object with "error" means that the pipeline
            # failed.
            answer = self.decode(answer)
            if answer and not (isinstance(answer, dict) and 'error' in answer):
                self.response.payload = answer
                return

        raise Exception('No client answered: {}'.format(CLIENT_ID))

    def channel_id(self):
        for channel in self.call('zato.channel.web-socket.get-list', {'cluster_id': self.server.cluster_id}):
            if channel['name'] == CHANNEL:
                return channel['id']
        raise Exception('No such channel: {}'.format(CHANNEL))

    def decode(self, answer):
        """ Decodes an answer, which is a JSON text, or such a text in the JSON of another process."""
        try:
            answer = loads(answer) if isinstance(answer, str) else answer
            if isinstance(answer, dict) and list(answer) == ['response_data']:
                answer = loads(answer['response_data'])
            return answer
        except ValueError:
            # An empty text, or the traceback of a failure.
            return None

    def call(self, service, request):
        """ Invokes a service of the server, and removes the element that it may wrap its response in."""
        response = self.invoke(service, request)
        if isinstance(response, dict) and len(response) == 1:
            (name, value), = response.items()
            if name == 'response' or name.endswith('_response'):
                return value
        return response
