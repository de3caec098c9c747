# -*- coding: utf-8 -*-
"""Tests of topic_gateway.py with stand-ins for Zato and gevent."""

# stdlib
import importlib
import json
import os
import sys
import types
import unittest
from contextlib import nullcontext

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir)


class Clock:
    """ A clock that only waiting moves."""
    now = 1000.0

    def monotonic(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


class Backend:
    """ Stands for the server's pub/sub backend with the queue of one subscription."""

    def __init__(self, clock):
        self.queue, self.published, self.notified, self.clock = [], [], [], clock

    def publish(self, topic_name, data, **context):
        self.published.append((topic_name, data, context))
        row = {'msg_id': 'm%d' % len(self.published), 'sequence_id': len(self.published), 'topic_name': topic_name,
            'data': data, 'data_size': len(data), 'priority': context['priority'], 'cid': context['cid']}
        self.queue.append(row)
        self.queue.sort(key=lambda row: (-row['priority'], row['sequence_id']))
        return types.SimpleNamespace(msg_id=row['msg_id'])

    def fetch_messages(self, sub_key, max_messages, max_len):
        return self.queue[:max_messages]

    def ack_messages(self, sub_key, msg_ids, sequence_ids):
        assert len(sequence_ids) <= 500
        self.queue = [row for row in self.queue if row['sequence_id'] not in sequence_ids]

    def get_sub_event(self, sub_key):
        return self.clock

    def notify_sub_keys(self, sub_keys):
        self.notified += sub_keys


class GatewayTest(unittest.TestCase):

    def setUp(self):
        self.clock = Clock()
        modules = {
            'gevent': types.SimpleNamespace(sleep=self.clock.wait),
            'gevent.lock': types.SimpleNamespace(RLock=nullcontext),
            'zato': types.ModuleType('zato'), 'zato.server': types.ModuleType('zato.server'),
            'zato.server.service': types.SimpleNamespace(Service=object),
        }
        for name, module in modules.items():
            self.addCleanup(sys.modules.pop, name, None)
            sys.modules[name] = module
        sys.path.insert(0, FOLDER)
        self.addCleanup(sys.path.remove, FOLDER)
        self.addCleanup(sys.modules.pop, 'topic_gateway', None)
        self.module = importlib.import_module('topic_gateway')
        self.module.monotonic = self.clock.monotonic
        self.backend = Backend(self.clock)
        self.server = types.SimpleNamespace(
            pubsub_backend=self.backend,
            pubsub_subscriptions=types.SimpleNamespace(get_sub_key_by_username={'user': 'key'}.get),
            pubsub_pattern_matcher=types.SimpleNamespace(
                evaluate=lambda user, topic, what: types.SimpleNamespace(is_ok=topic.startswith('orders.'))),
            config_manager=types.SimpleNamespace(is_pubsub_topic_active=lambda topic: topic != 'orders.nope'),
        )

    def call(self, name, body, username='user'):
        """ Returns the status and the answer of a service."""
        service = getattr(self.module, name)()
        service.server, service.cid = self.server, 'cid'
        service.channel = types.SimpleNamespace(security=types.SimpleNamespace(username=username))
        service.request = types.SimpleNamespace(payload=body)
        service.response = types.SimpleNamespace(status_code=200, payload=None)
        service.handle()
        answer = json.loads(service.response.payload)
        self.assertEqual(answer['is_ok'], service.response.status_code == 200)
        return service.response.status_code, answer

    def publish(self, *messages):
        return self.call('Publish', {'topic_name': 'orders.new', 'messages': list(messages)})

    def pull(self, **body):
        return [message['data'] for message in self.call('Pull', body)[1]['messages']]

    def test_lists_are_published_in_order_with_their_context(self):
        status, answer = self.publish({'data': 'a'}, {'data': 'b', 'priority': 9, 'correl_id': 'c'})
        self.assertEqual((status, answer['msg_ids']), (200, ['m1', 'm2']))
        (_, _, first), (topic_name, data, second) = self.backend.published
        self.assertEqual((first['priority'], first['correl_id'], first['publisher']), (5, 'cid', 'user'))
        self.assertEqual((topic_name, data, second['priority'], second['correl_id']), ('orders.new', 'b', 9, 'c'))

    def test_nothing_is_published_unless_all_can_be(self):
        for bad in 5, {}, {'data': 5}, {'data': None}, {'data': 'x', 'priority': 10}, {'data': 'x', 'priority': True}, \
                {'data': 'x', 'expiration': 0}, {'data': 'x', 'correl_id': 5}, {'data': '\ud800'}:
            status, answer = self.publish({'data': 'good'}, bad)
            self.assertEqual(status, 400, bad)
            self.assertIn('message 1: ', answer['details'])
        for topic_name in 'other', 'orders.nope':
            status, _ = self.call('Publish', {'topic_name': topic_name, 'messages': [{'data': 'x'}]})
            self.assertEqual(status, 403)
        for body in None, [], {}, {'topic_name': 'orders.new'}, {'topic_name': 'orders.new', 'messages': [{}] * 1001}:
            self.assertEqual(self.call('Publish', body)[0], 400)
        self.assertEqual(self.backend.published, [])

    def test_messages_are_leased_until_they_are_acknowledged_or_given_back(self):
        self.publish({'data': 'a'}, {'data': 'b', 'priority': 9}, {'data': 'c'})
        self.assertEqual(self.pull(max_messages=2, lease=10), ['b', 'a'])
        self.assertEqual(self.pull(), ['c'])
        self.assertEqual(self.pull(), [])
        self.assertEqual(self.call('GiveBack', {'sequence_ids': [1]})[1]['given_back'], 1)
        self.assertEqual(self.backend.notified, ['key'])
        self.assertEqual(self.pull(lease=100), ['a'])
        self.assertEqual(self.call('Acknowledge', {'sequence_ids': [1]})[1]['acknowledged'], 1)
        self.clock.now += 11
        self.assertEqual(self.pull(lease=100), ['b'], 'its lease has ended')
        self.clock.now += 50
        self.assertEqual(self.pull(), ['c'], 'the default lease has ended')

    def test_pull_waits_for_messages_and_then_gives_up(self):
        self.assertEqual(self.pull(wait=5), [])
        self.assertEqual(self.clock.now, 1005)

    def test_pull_bounds_what_is_leased_and_how_long_an_answer_is(self):
        self.publish(*[{'data': 'x'}] * 500)
        self.assertEqual([len(self.pull(max_messages=100)) for _ in range(4)], [100, 100, 0, 0])
        self.call('Acknowledge', {'sequence_ids': list(range(1, 501))})
        self.publish({'data': 'x' * 6_000_000}, {'data': 'x' * 6_000_000})
        self.assertEqual(len(self.pull()), 1)

    def test_requests_that_cannot_succeed_are_refused(self):
        for body in None, [], {'max_messages': 0}, {'max_messages': 1001}, \
                {'wait': '1'}, {'wait': True}, {'lease': 1.5}:
            self.assertEqual(self.call('Pull', body)[0], 400, body)
        for name in 'Acknowledge', 'GiveBack':
            for body in {}, {'sequence_ids': 5}, {'sequence_ids': ['5']}, {'sequence_ids': [1] * 1001}:
                self.assertEqual(self.call(name, body)[0], 400, body)
        for name in 'Pull', 'Acknowledge', 'GiveBack':
            self.assertEqual(self.call(name, {'sequence_ids': []}, username='other')[0], 403)

    def test_acknowledgements_go_in_parts_that_databases_take(self):
        self.publish(*[{'data': 'x'}] * 1000)
        self.call('Acknowledge', {'sequence_ids': list(range(1, 1001))})
        self.assertEqual(self.backend.queue, [])


if __name__ == '__main__':
    unittest.main()
