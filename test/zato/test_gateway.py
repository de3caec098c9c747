"""Tests for examples/zato/gateway.py with stand-ins for the classes of Zato that it uses.

Usage: python3 test_gateway.py PATH_OF_GATEWAY
"""

import importlib.util
import sys
import types
import unittest


class Service:
    pass


class AsIs:
    def __init__(self, name):
        self.name = name


class WebSocketsGateway(Service):
    services_allowed = []

    class SimpleIO:
        input_required = 'service'
        input_optional = AsIs('request')  # as in Zato: one element, not a tuple

    def handle(self, _default_allowed=()):
        self.invoked = self.request.input.service
        if self.invoked not in self.services_allowed:
            raise PermissionError(self.invoked)


class ResumeWSXSubscription(Service):
    pass


def load(path):
    """ Imports the gateway as Zato does."""
    stand_ins = {
        'zato.server.service': {'AsIs': AsIs, 'Service': Service},
        'zato.server.service.internal.helpers': {'WebSocketsGateway': WebSocketsGateway},
        'zato.server.service.internal.pubsub': {'ResumeWSXSubscription': ResumeWSXSubscription},
    }
    for name, members in stand_ins.items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        sys.modules[name] = module
    spec = importlib.util.spec_from_file_location('gateway', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class GatewayTest(unittest.TestCase):
    def handle(self, service):
        gateway = module.Gateway()
        gateway.request = types.SimpleNamespace(input=types.SimpleNamespace(service=service))
        gateway.handle()
        return gateway.invoked

    def test_resuming_invokes_the_fixed_service(self):
        self.assertEqual(
            self.handle('zato.pubsub.resume-wsx-subscription'), 'zato-connect.resume-wsx-subscription')

    def test_only_listed_services_are_invoked(self):
        self.assertEqual(self.handle(module.SERVICES[0]), module.SERVICES[0])
        with self.assertRaises(PermissionError):
            self.handle('my.other')

    def test_cid_is_declared_in_addition_to_the_fields_of_the_stock_gateway(self):
        request, cid = module.Gateway.SimpleIO.input_optional
        self.assertEqual((request.name, cid), ('request', 'cid'))
        self.assertTrue(issubclass(module.Gateway.SimpleIO, WebSocketsGateway.SimpleIO))


class ResumeTest(unittest.TestCase):
    def parse(self, *items):
        return module.Resume()._parse_non_gd_messages(['k1', 'k2'], list(items))

    def test_messages_are_found_in_every_wrapper(self):
        self.assertEqual(self.parse(
            {'k1': [1]},
            {'response': {'k1': [2]}},
            {'messages': {'k1': [3]}},
            {'response': {'messages': {'k1': [4], 'k2': [5]}}},
        ), {'k1': [1, 2, 3, 4], 'k2': [5]})

    def test_empty_lists_and_messages_of_other_subscriptions_are_left_out(self):
        self.assertEqual(self.parse({}, None, 'text', {'k1': []}, {'k2': None}, {'other': [1]}), {})
        self.assertEqual(module.Resume()._parse_non_gd_messages(['k1'], None), {})


if __name__ == '__main__':
    module = load(sys.argv.pop())
    unittest.main()
