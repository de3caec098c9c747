# -*- coding: utf-8 -*-
"""Two services for Zato 4.1 that the enrich-by-service examples call. Replace them with
your own: one takes an object and returns an object, the other takes a list of objects and
returns a list of the same length, in the same order.
"""

# Zato
from zato.server.service import Service


def customer(request):
    """ Returns the customer that a request asks for."""
    return {'id': request['id'], 'name': 'Customer {}'.format(request['id'])}


class GetCustomer(Service):
    """ Takes {"id"} and returns the customer. An exception becomes the status 500, and the
    bridge then puts the record aside."""
    name = 'customer.get'

    def handle(self):
        self.response.payload = customer(self.request.payload)


class GetCustomers(Service):
    """ Takes [{"id"}, ..] and returns a list of customers. An item with "error" instead
    means that there is no such customer, and the bridge then puts only that record aside."""
    name = 'customer.get-list'

    def handle(self):
        out = []
        for request in self.request.payload:
            try:
                out.append(customer(request))
            except Exception as e:
                out.append({'error': '{}: {}'.format(type(e).__name__, e)})
        self.response.payload = out
