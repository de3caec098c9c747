# -*- coding: utf-8 -*-
"""Tests of connect.py. Its statements run in SQLite, and time passes only when something waits.

Run with: python3 -m unittest discover zato/tests
"""

import gc
import inspect
import json
import logging
import re
import socket
import tempfile
import types
import unittest
import weakref

import standins


class Case(unittest.TestCase):
    processes = 1

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.world = standins.World(directory.name, self.processes)
        self.addCleanup(self.world.close)
        self.server, self.clock = self.world.servers[0], self.world.clock
        self.client = standins.Client(self.server)
        logging.getLogger('zato').setLevel(logging.CRITICAL)

    def refused(self, status, text, function, *args, **kwargs):
        with self.assertRaises(Exception) as caught:
            function(*args, **kwargs)
        self.assertEqual((caught.exception.status, caught.exception.msg), (status, text))

    def data(self, answer):
        return [message['data'] for message in answer['messages']]

    def ids(self, answer):
        return [message['msg_id'] for message in answer['messages']]

    def states(self):
        found = self.world.db.execute('select delivery_status from pubsub_endp_msg_queue order by id')
        return [row[0] for row in found]


class OrderTest(Case):
    def test_messages_come_by_priority_then_time_then_row(self):
        sub = self.client.subscribe()
        self.world.publish('late', pub_time=1000.2)
        self.world.publish('early', 'early too', pub_time=1000.1)
        self.world.publish('urgent', pub_time=1000.3, priority=9)
        self.world.publish('idle', pub_time=1000.0, priority=1)
        self.assertEqual(self.data(self.client.fetch(sub)), ['urgent', 'early', 'early too', 'late', 'idle'])

    def test_what_is_more_urgent_overtakes_the_messages_that_wait(self):
        sub = self.client.subscribe()
        self.world.publish('a', 'b', 'c', 'd')
        self.assertEqual(self.data(self.client.fetch(sub, max=1)), ['a'])
        self.world.publish('urgent', priority=9)
        self.world.publish('e')
        self.assertEqual(self.data(self.client.fetch(sub, max=2)), ['urgent', 'b'])
        self.assertEqual(self.data(self.client.fetch(sub)), ['c', 'd', 'e'])

    def test_waiting_messages_are_sorted_once(self):
        sub, asked = self.client.subscribe(), []

        def ask(statement, values):
            if 'order by m.priority' in statement:
                asked.append(values['last'])
        self.server.before = ask
        self.world.publish(*'abcdef')
        for expected in 'abcdef':
            self.assertEqual(self.data(self.client.fetch(sub, max=1)), [expected])
        self.assertEqual(asked, [0, 6, 6, 6, 6, 6])

    def test_a_backlog_longer_than_the_list_comes_complete_and_in_order(self):
        sub = self.client.subscribe()
        self.server.connect.ORDERED_ROWS = 3
        self.server.connect.ORDER = self.server.connect.ORDER.replace('limit 10000', 'limit 3')
        self.world.publish(*'abcdefg')
        got = self.data(self.client.fetch(sub, max=2))
        self.world.publish('urgent', priority=9)
        self.world.publish('h')
        while True:
            more = self.data(self.client.fetch(sub, max=2))
            if not more:
                break
            got += more
        self.assertEqual(got, ['a', 'b', 'urgent', 'c', 'd', 'e', 'f', 'g', 'h'])

    def test_a_backlog_longer_than_the_list_is_not_sorted_with_each_fetch(self):
        sub, asked = self.client.subscribe(), []
        self.server.connect.ORDERED_ROWS = 3
        self.server.connect.ORDER = self.server.connect.ORDER.replace('limit 10000', 'limit 3')
        self.world.publish(*'abcdefg')

        def ask(statement, values):
            if 'order by m.priority' in statement:
                asked.append(values['last'])
        self.server.before = ask
        for expected in 'ab':
            self.assertEqual(self.data(self.client.fetch(sub, max=1)), [expected])
        self.assertEqual(asked, [0, 7])

    def test_rows_with_numbers_that_sqlite_uses_again_are_found(self):
        sub = self.client.subscribe()
        self.world.publish(*'abcdef')
        self.client.fetch(sub, confirmed=self.ids(self.client.fetch(sub)), max=0)
        self.world.publish('g', 'h')
        self.assertEqual(self.data(self.client.fetch(sub, max=1)), ['g'])
        self.world.publish('i')
        self.assertEqual(self.data(self.client.fetch(sub)), ['h', 'i'])

    def rows(self, *rows):
        """ A memory as with PostgreSQL, and the rows that are in the database: number, publication."""
        memory, present, asked = self.server.connect.Memory(), list(rows), []
        memory.late = self.server.connect.LATE_SECONDS

        def query(statement, last):
            if statement == self.server.connect.LAST:
                return [(max(row[0] for row in present),)]
            asked.append(last)
            return sorted(((id, 5, at, 1) for id, at in present if id > last), key=lambda row: (row[2], row[0]))

        def take(most):
            return [row[2] for row in memory.next(query, most, 1000)]
        return present, asked, take

    def test_rows_whose_transaction_ends_late_are_not_overtaken_by_the_next_list_of_their_publisher(self):
        now = self.clock.now
        present, _, take = self.rows((1, now), (2, now))
        self.assertEqual(take(1), [1])
        present += [(5, now + 0.2)]
        self.clock.sleep(0.3)
        self.assertEqual(take(1), [2])
        present += [(3, now + 0.1), (4, now + 0.1), (6, now + 0.3)]
        self.assertEqual(take(9), [3, 4, 5, 6])

    def test_rows_that_are_being_handed_out_are_not_taken_twice(self):
        now = self.clock.now
        present, _, take = self.rows(*((id, now) for id in range(1, 10)))
        self.assertEqual(take(3), [1, 2, 3])
        present += [(10, now)]
        self.assertEqual(take(3), [4, 5, 6])
        self.assertEqual(take(3), [7, 8, 9])

    def test_only_rows_of_the_last_seconds_are_asked_for_again(self):
        now, late = self.clock.now, self.server.connect.LATE_SECONDS
        self.server.connect.ORDER_SECONDS = (100.0, 100.0)
        present, asked, take = self.rows(*((id, now) for id in range(1, 7)))
        take(1)
        present += [(7, now)]
        self.clock.sleep(late + 0.1)
        for _ in range(3):
            take(1)
        self.clock.sleep(late + 0.1)
        take(1)
        take(1)
        self.assertEqual(asked, [0, 0, 6, 6, 6, 7])

    def test_of_a_backlog_longer_than_the_list_only_rows_of_the_last_seconds_are_asked_for_again(self):
        now = self.clock.now
        self.server.connect.ORDERED_ROWS, self.server.connect.ORDER_SECONDS = 3, (100.0, 100.0)
        _, asked, take = self.rows(*((id, now) for id in range(1, 6)))
        take(1)
        self.clock.sleep(self.server.connect.LATE_SECONDS + 0.1)
        take(1)
        take(1)
        self.assertEqual(asked, [0, 0, 5])

    def test_expired_messages_stay_out(self):
        sub = self.client.subscribe()
        self.world.publish('soon', expiration_time=self.clock.now + 5)
        self.world.publish('sooner', expiration_time=self.clock.now + 1)
        self.world.publish('stays')
        self.clock.sleep(2)
        self.assertEqual(self.data(self.client.fetch(sub, max=1)), ['soon'])
        self.client.fetch(sub, max=0, returned=['m1'])
        self.clock.sleep(5)
        self.assertEqual(self.data(self.client.fetch(sub)), ['stays'])

    def test_messages_have_the_documented_fields(self):
        sub = self.client.subscribe()
        self.world.publish('text', pub_time=1000.5, ext_pub_time=1000.25, pub_correl_id='c', in_reply_to='r',
            ext_client_id='e', expiration_time=5000.125)
        self.world.publish('bare', pub_time=1000.6)
        full, bare = self.client.fetch(sub)['messages']
        self.assertEqual(full, {'msg_id': 'm1', 'data': 'text', 'priority': 5, 'correl_id': 'c', 'in_reply_to': 'r',
            'ext_client_id': 'e', 'pub_time': '1000.5', 'ext_pub_time': '1000.25', 'expiration': 86400,
            'expiration_time': '5000.125', 'mime_type': 'application/json', 'delivery_count': 1})
        self.assertEqual((bare['ext_pub_time'], bare['in_reply_to']), (None, None))


class ExclusiveTest(Case):
    def test_what_was_handed_out_stays_with_its_holder_until_it_is_confirmed(self):
        sub = self.client.subscribe()
        self.world.publish('a', 'b')
        self.assertEqual(self.data(self.client.fetch(sub)), ['a', 'b'])
        self.clock.sleep(100000)
        self.assertEqual(self.client.fetch(sub, confirmed=['m1', 'm1', 'unknown']), {'messages': [], 'confirmed': 1})
        self.assertEqual(self.states(), [4])

    def test_confirming_leaves_the_messages_of_other_subscriptions(self):
        sub, other = self.client.subscribe(), self.client.subscribe('name2')
        self.world.publish('a')
        self.client.fetch(sub)
        self.assertEqual(self.client.fetch(sub, confirmed=['m1'])['confirmed'], 1)
        self.assertEqual(self.data(self.client.fetch(other)), ['a'])

    def test_whoever_subscribes_next_gets_what_was_not_confirmed(self):
        first = self.client.subscribe()
        self.assertTrue(first['created'])
        self.world.publish('a', 'b', 'c')
        self.client.fetch(first, max=2)
        other = standins.Client(self.server, 'client2')
        second = other.subscribe()
        self.assertEqual((second['sub_key'], second['created'], second['given_back']), (first['sub_key'], False, 2))
        self.refused(409, 'Another consumer has this subscription now', self.client.fetch, first)
        messages = other.fetch(second)['messages']
        self.assertEqual([(m['data'], m['delivery_count']) for m in messages], [('a', 2), ('b', 2), ('c', 1)])

    def test_who_lost_the_subscription_may_still_confirm_and_nothing_else(self):
        first = self.client.subscribe()
        self.world.publish('a', 'b')
        self.client.fetch(first)
        second = standins.Client(self.server, 'client2').subscribe()
        self.refused(409, 'Another consumer has this subscription now', self.client.fetch, first, confirmed=['m1'])
        self.assertEqual(self.states(), [2])
        self.client.fetch(second)
        for more in {'returned': ['m2']}, {'release': True}, {'max': 0}:
            self.refused(409, 'Another consumer has this subscription now', self.client.fetch, first, **more)
        self.assertEqual(self.states(), [4])

    def test_a_take_over_just_before_messages_are_marked_lets_none_be_taken(self):
        first = self.client.subscribe()
        self.world.publish('a')
        other, taken = standins.Client(self.server, 'client2'), []

        def take_over(statement, _):
            if statement.startswith('update pubsub_endp_msg_queue as q') and not taken:
                taken.append(other.subscribe())
        self.server.before = take_over
        self.refused(409, 'Another consumer has this subscription now', self.client.fetch, first)
        self.assertEqual(self.data(other.fetch(taken[0])), ['a'])

    def test_a_waiting_fetch_ends_when_another_consumer_subscribes(self):
        first, start = self.client.subscribe(), self.clock.now
        self.clock.at(3, standins.Client(self.server, 'client2').subscribe)
        self.refused(409, 'Another consumer has this subscription now', self.client.fetch, first, wait=10)
        self.assertLess(self.clock.now - start, 3.1)

    def test_returned_messages_come_again_at_once_in_their_place(self):
        sub = self.client.subscribe()
        self.world.publish('a', 'b', 'c')
        self.client.fetch(sub, max=2)
        messages = self.client.fetch(sub, returned=['m1'])['messages']
        self.assertEqual([(m['data'], m['delivery_count']) for m in messages], [('a', 2), ('c', 1)])

    def test_confirmed_messages_cannot_be_returned(self):
        sub = self.client.subscribe()
        self.world.publish('a')
        self.client.fetch(sub)
        self.assertEqual(self.client.fetch(sub, confirmed=['m1'], returned=['m1']), {'messages': [], 'confirmed': 1})

    def test_releasing_gives_back_and_lets_a_stand_by_in(self):
        sub = self.client.subscribe()
        self.world.publish('a')
        self.client.fetch(sub)
        self.assertEqual(self.client.fetch(sub, release=True)['messages'], [])
        self.refused(409, 'Another consumer has this subscription now', self.client.fetch, sub)
        other = standins.Client(self.server, 'client2')
        self.assertEqual(self.data(other.fetch(other.subscribe(if_idle=30))), ['a'])

    def test_a_stand_by_gets_the_subscription_only_when_nobody_fetches(self):
        sub, other = self.client.subscribe(), standins.Client(self.server, 'client2')
        for _ in range(5):
            self.client.fetch(sub, wait=9)
            self.refused(409, 'Another consumer has this subscription now', other.subscribe, if_idle=10)
        self.clock.sleep(11)
        self.assertNotEqual(other.subscribe(if_idle=10)['holder'], sub['holder'])

    def test_publications_do_not_make_a_dead_consumer_look_alive(self):
        self.client.subscribe()
        self.clock.sleep(60)
        # The server writes this for all subscribers when a service publishes.
        self.world.db.execute('update pubsub_sub set last_interaction_time=?', (self.clock.now,))
        self.world.db.commit()
        self.assertTrue(standins.Client(self.server, 'client2').subscribe(if_idle=30)['holder'])

    def test_a_consumer_that_reconnects_names_its_holder(self):
        sub = self.client.subscribe()
        again = self.client.subscribe(holder=sub['holder'])
        self.assertNotEqual(again['holder'], sub['holder'])
        self.refused(409, 'Another consumer has this subscription now', self.client.subscribe, holder=sub['holder'])
        self.client.call('connect.unsubscribe', {'topic_name': '/my/topic', 'name': 'name1'})
        self.refused(404, 'No such subscription', self.client.subscribe, holder=again['holder'])


class SharedTest(Case):
    def setUp(self):
        super().setUp()
        self.other = standins.Client(self.server, 'client2')
        self.sub = self.client.subscribe(shared=True)
        self.assertIsNone(self.sub['holder'])
        self.other.subscribe(shared=True)

    def test_consumers_get_different_messages(self):
        self.world.publish(*'abcd')
        self.assertEqual(self.data(self.client.fetch(self.sub, max=2)), ['a', 'b'])
        self.assertEqual(self.data(self.other.fetch(self.sub)), ['c', 'd'])
        self.assertEqual(self.data(self.client.fetch(self.sub)), [])

    def test_messages_come_again_when_their_lease_is_over(self):
        self.world.publish('a', 'b')
        self.client.fetch(self.sub, lease=10, max=1)
        self.other.fetch(self.sub, lease=100)
        self.clock.sleep(9)
        self.assertEqual(self.data(self.other.fetch(self.sub)), [])
        self.clock.sleep(2)
        messages = self.other.fetch(self.sub)['messages']
        self.assertEqual([(m['data'], m['delivery_count']) for m in messages], [('a', 2)])

    def test_renewed_messages_do_not_come_again(self):
        self.world.publish('a')
        self.client.fetch(self.sub, lease=10)
        self.clock.sleep(9)
        self.client.fetch(self.sub, max=0, renewed=['m1'], lease=10)
        self.clock.sleep(9)
        self.assertEqual(self.data(self.other.fetch(self.sub)), [])

    def test_a_former_exclusive_holder_is_told(self):
        exclusive = self.client.subscribe('name2')
        self.other.subscribe('name2', shared=True)
        self.refused(409, 'Another consumer has this subscription now', self.client.fetch, exclusive)

    def test_who_subscribes_exclusively_gets_what_the_others_have(self):
        self.world.publish('a')
        self.client.fetch(self.sub)
        self.assertEqual(self.other.subscribe()['given_back'], 1)
        self.refused(409, 'Another consumer has this subscription now', self.client.fetch, self.sub)


class ProcessesTest(Case):
    processes = 2

    def test_two_processes_never_hand_out_a_message_twice(self):
        clients = [self.client, standins.Client(self.world.servers[1], 'client2')]
        sub = self.client.subscribe(shared=True)
        self.world.publish(*['d%d' % i for i in range(1200)])
        got = []
        for _ in range(80):
            for client in clients:
                got += self.data(client.fetch(sub, max=30))
        self.assertEqual((len(got), len(set(got))), (1200, 1200))

    def test_what_another_process_takes_meanwhile_is_left_to_it(self):
        other, sub, taken = standins.Client(self.world.servers[1], 'client2'), self.client.subscribe(shared=True), []
        self.world.publish(*'abcd')

        def take(statement, _):
            if statement.startswith('update pubsub_endp_msg_queue as q') and not taken:
                taken.extend(self.data(other.fetch(sub, max=2)))
        self.server.before = take
        self.assertEqual(self.data(self.client.fetch(sub, max=3)), ['c'])
        self.assertEqual(self.data(self.client.fetch(sub, max=3)), ['d'])
        self.assertEqual(taken, ['a', 'b'])

    def test_what_another_process_publishes_is_noticed_within_half_a_second(self):
        sub, start = self.client.subscribe(), self.clock.now
        self.clock.at(2.2, lambda: self.world.publish('a'))
        self.assertEqual(self.data(self.client.fetch(sub, wait=10)), ['a'])
        self.assertLessEqual(self.clock.now - start, 2.2 + 0.53)

    def test_a_take_over_in_another_process_is_noticed(self):
        sub, start = self.client.subscribe(), self.clock.now
        self.clock.at(2.2, standins.Client(self.world.servers[1], 'client2').subscribe)
        self.refused(409, 'Another consumer has this subscription now', self.client.fetch, sub, wait=10)
        self.assertLessEqual(self.clock.now - start, 2.2 + 0.53)

    def test_a_subscription_that_is_made_is_with_no_connection_in_any_process(self):
        self.client.subscribe()
        self.assertEqual([server.pubsub.servers for server in self.world.servers], [{}, {}])


class WaitTest(Case):
    def test_what_the_same_process_publishes_is_answered_at_once(self):
        sub, start = self.client.subscribe(), self.clock.now
        self.clock.at(2.2, lambda: self.world.publish('a', process=self.server))
        self.assertEqual(self.data(self.client.fetch(sub, wait=10)), ['a'])
        self.assertLess(self.clock.now - start, 2.25)

    def test_a_publication_that_is_known_before_it_is_in_the_database_is_asked_for_soon(self):
        sub, start = self.client.subscribe(), self.clock.now
        self.clock.at(2.2, lambda: setattr(self.server.pubsub.topics['/my/topic'], 'gd_pub_time_max', 1.0))
        self.clock.at(2.25, lambda: self.world.publish('a'))
        self.assertEqual(self.data(self.client.fetch(sub, wait=10)), ['a'])
        self.assertLess(self.clock.now - start, 2.4)

    def test_a_fetch_waits_no_longer_than_the_connection_lives(self):
        for interval, longest in (30, 20), (2, 5):
            client, start = standins.Client(self.server, ping_interval=interval), self.clock.now
            sub = client.subscribe()
            self.assertEqual(client.fetch(sub, wait=100)['messages'], [])
            self.assertAlmostEqual(self.clock.now - start, longest, delta=0.1)

    def test_a_fetch_of_a_connection_that_has_gone_takes_nothing(self):
        sub = self.client.subscribe()
        self.clock.at(1, self.client.close)
        self.clock.at(1.01, lambda: self.world.publish('a', process=self.server))
        self.assertEqual(self.client.fetch(sub, wait=10)['messages'], [])
        self.assertEqual(self.states(), [2])
        self.assertEqual(self.client.fetch(sub)['messages'], [])
        self.assertEqual(self.states(), [2])

    def test_a_fetch_ends_soon_when_the_client_closes_its_side_behind_a_close_frame(self):
        sub, start = self.client.subscribe(), self.clock.now

        def hang_up():
            self.client.peer.send(b'close frame')
            self.client.peer.shutdown(socket.SHUT_WR)
        self.clock.at(1, hang_up)
        self.clock.at(1.01, lambda: self.world.publish('a', process=self.server))
        self.assertEqual(self.client.fetch(sub, wait=10)['messages'], [])
        self.assertAlmostEqual(self.clock.now - start, 1, delta=0.1)
        self.assertEqual(self.states(), [2])

    def test_a_fetch_that_waits_ends_soon_when_the_client_sends_something(self):
        sub, start = self.client.subscribe(), self.clock.now
        self.clock.at(1, lambda: self.client.peer.send(b'ping'))
        self.assertEqual(self.client.fetch(sub, wait=10)['messages'], [])
        self.assertAlmostEqual(self.clock.now - start, 1, delta=0.1)

    def test_a_connection_that_has_more_to_say_has_not_gone(self):
        sub = self.client.subscribe()
        self.client.peer.send(b'another request')
        self.world.publish('a')
        self.assertEqual(self.data(self.client.fetch(sub)), ['a'])

    def test_a_server_that_hides_its_sockets_is_fetched_from_all_the_same(self):
        sub = self.client.subscribe()
        del self.client.environ['web_socket'].sock
        self.world.publish('a')
        self.assertEqual(self.data(self.client.fetch(sub)), ['a'])

    def test_a_subscription_in_use_is_written_down_every_few_seconds(self):
        sub = self.client.subscribe()
        for _ in range(3):
            self.client.fetch(sub, wait=20)
            seen = self.world.db.execute('select last_interaction_time from pubsub_sub').fetchone()[0]
            self.assertLess(self.clock.now - seen, 4)

    def test_a_subscription_that_ends_ends_the_fetch(self):
        sub = self.client.subscribe()
        self.clock.at(1, lambda: self.client.call('connect.unsubscribe', {'topic_name': '/my/topic', 'name': 'name1'}))
        self.refused(404, 'No such subscription', self.client.fetch, sub, wait=10)


class LimitTest(Case):
    def test_max_bytes_bounds_the_messages(self):
        sub = self.client.subscribe()
        self.world.publish(*['x' * 1000] * 10)
        self.assertEqual(len(self.client.fetch(sub, max_bytes=5000)['messages']), 3)
        self.assertEqual(len(self.client.fetch(sub, max_bytes=1000000)['messages']), 7)

    def test_max_bytes_bounds_what_is_sent_and_not_what_is_stored(self):
        sub = self.client.subscribe()
        self.world.publish(*['\u20ac' * 100, '/' * 300] * 10)

        def sent(answer):
            text = json.dumps({'data': {'response': {'gateway_response': answer}}}, indent=4).replace('/', r'\/')
            return len(text) - 200
        for most in range(1300, 4000, 50):
            answer = self.client.fetch(sub, max_bytes=most)
            self.assertLessEqual(sent(answer), most)
            self.client.fetch(sub, max=0, returned=self.ids(answer))

    def test_a_message_longer_than_max_bytes_is_named_and_not_handed_out(self):
        sub = self.client.subscribe()
        self.world.publish('x' * 2000, 'y')
        with self.assertRaises(Exception) as caught:
            self.client.fetch(sub, max_bytes=1000)
        self.assertEqual(caught.exception.status, 413)
        self.assertRegex(caught.exception.msg, r'^Message m1 has \d+ bytes, more than max_bytes$')
        self.assertEqual(self.states(), [2, 2])
        self.assertEqual(len(self.client.fetch(sub)['messages']), 2)

    def test_a_fetch_without_a_bound_hands_out_no_more_than_the_server_bears(self):
        sub = self.client.subscribe()
        self.server.connect.MOST_BYTES = 2500
        self.world.publish('x' * 5000, *['x' * 1000] * 3)
        self.assertEqual([len(self.client.fetch(sub)['messages']) for _ in range(3)], [1, 2, 1])

    def test_max_is_capped(self):
        sub = self.client.subscribe()
        self.world.publish(*['x'] * 2100)
        self.assertEqual(len(self.client.fetch(sub, max=5000)['messages']), 2000)

    def test_bad_fields_are_named(self):
        sub = self.client.subscribe()
        for name, value, text in [
            ('holder', 5, 'a text'),
            ('confirmed', 'm1', 'a list of at most 2000 ids'),
            ('returned', [1], 'a list of at most 2000 ids'),
            ('renewed', ['x'] * 2001, 'a list of at most 2000 ids'),
            ('max', -1, 'a whole number, at least 0'),
            ('max', True, 'a whole number, at least 0'),
            ('max_bytes', 0, 'a whole number, at least 1'),
            ('wait', '1', 'a number from 0 to 1e+09'),
            ('lease', 0, 'a number from 1 to 3600'),
            ('lease', 3601, 'a number from 1 to 3600'),
            ('release', 1, 'true or false'),
        ]:
            self.refused(400, '%s must be %s' % (name, text), self.client.fetch, sub, **{name: value})
        self.refused(400, 'sub_key is missing', self.client.call, 'connect.fetch')
        self.refused(400, 'The request must be an object', self.client.call, 'connect.fetch', ['x'])

    def test_a_subscription_needs_a_name(self):
        for name in None, '':
            self.refused(400, 'A subscription needs a name', self.client.subscribe, name)
        for name in 5, 'x' * 201, 'a\0b', '\ud800':
            self.refused(400, 'name must be a text of 1 to 200 characters', self.client.subscribe, name)

    def test_long_names_make_keys_that_the_database_holds(self):
        names = ['x' * 200, 'x' * 199 + 'y']
        keys = [self.client.subscribe(name)['sub_key'] for name in names]
        self.assertEqual(len(set(keys)), 2)
        self.assertLess(max(map(len, keys)), 200)
        self.assertEqual([self.client.subscribe(name)['sub_key'] for name in names], keys)


class RightsTest(Case):
    def test_another_endpoint_gets_nothing(self):
        sub, other = self.client.subscribe(), standins.Client(self.server, 'client2', channel_id=2)
        self.world.publish('a')
        self.refused(403, '', other.fetch, sub)
        self.refused(403, '', other.fetch, sub, confirmed=['m1'])
        self.assertEqual(self.states(), [2])
        self.assertEqual(other.call('connect.subscriptions'), {'subscriptions': []})
        self.refused(404, 'No such subscription', other.call, 'connect.unsubscribe',
            {'topic_name': '/my/topic', 'name': 'name1'})
        self.refused(403, '', other.call, 'zato.pubsub.pubapi.unsubscribe', {'sub_key': sub['sub_key']})
        self.refused(403, '', other.call, 'zato.pubsub.resume-wsx-subscription', {'sub_key': sub['sub_key']})
        self.assertNotEqual(other.subscribe()['sub_key'], sub['sub_key'])

    def test_rights_come_before_all_else(self):
        sub = self.client.subscribe()
        self.refused(403, '', self.client.subscribe, topic='/other')
        self.refused(404, 'No such topic `/my/no/such`', self.client.subscribe, topic='/my/no/such')
        self.world.pattern = '/your/'
        self.refused(403, '', self.client.fetch, sub)
        self.refused(403, '', self.client.fetch, sub, max='bad')

    def test_a_channel_without_an_endpoint_gets_nothing(self):
        client = standins.Client(self.server, channel_id=3)
        self.refused(403, 'The channel has no pub/sub endpoint', client.subscribe)

    def test_a_pushed_subscription_cannot_be_fetched(self):
        endpoint = self.server.pubsub.get_endpoint_by_ws_channel_id(1)
        self.server.pubsub.add('pushed', '/my/topic', endpoint)
        self.world.db.execute("insert into web_socket_sub (sub_key, opaque1, cluster_id) values ('pushed', 'null', 1)")
        self.world.db.commit()
        self.refused(404, 'No such subscription', self.client.fetch, {'sub_key': 'pushed', 'holder': None})


class SubscriptionsTest(Case):
    def test_subscriptions_are_listed_with_their_consumers(self):
        sub = self.client.subscribe()
        self.client.subscribe('name2', shared=True)
        self.client.subscribe(topic='/my/other')
        self.world.publish('a', 'b', 'c')
        self.client.fetch(sub, max=1)
        self.clock.sleep(7)
        listed = self.client.call('connect.subscriptions')['subscriptions']
        self.assertEqual([(s['topic_name'], s['name']) for s in listed],
            [('/my/other', 'name1'), ('/my/topic', 'name1'), ('/my/topic', 'name2')])
        filtered = self.client.call('connect.subscriptions', {'topic_name': '/my/topic', 'name': 'name1'})
        self.assertEqual(filtered['subscriptions'], [{'topic_name': '/my/topic', 'name': 'name1', 'shared': False,
            'waiting': 2, 'unconfirmed': 1, 'idle': 7.0,
            'consumer': {'client_id': 'client1', 'client_name': 'name of client1'}}])
        self.assertEqual((listed[2]['shared'], listed[2]['consumer']), (True, None))

    def test_a_released_subscription_has_no_consumer(self):
        self.client.fetch(self.client.subscribe(), release=True)
        self.assertIsNone(self.client.call('connect.subscriptions')['subscriptions'][0]['consumer'])

    def test_unsubscribing_drops_what_waits(self):
        sub = self.client.subscribe()
        self.world.publish('a', 'b')
        self.client.fetch(sub, max=1)
        request = {'topic_name': '/my/topic', 'name': 'name1'}
        self.assertEqual(self.client.call('connect.unsubscribe', request), {'waiting': 2})
        self.refused(404, 'No such subscription', self.client.call, 'connect.unsubscribe', request)
        self.refused(404, 'No such subscription', self.client.fetch, sub)
        self.assertEqual((self.states(), self.server.pubsub.subs), ([], {}))
        self.assertNotEqual(self.client.subscribe()['sub_key'], sub['sub_key'])


class NoText(Exception):
    def __str__(self):
        raise ValueError('no text')


class GatewayTest(Case):
    def setUp(self):
        super().setUp()
        case, self.answer, self.requests, self.environs, self.cids = self, 'answer', [], [], []

        class Listed(standins.Service):
            name = 'zato.ping'

            def handle(self):
                case.requests.append(self.request.payload)
                case.environs.append(self.wsgi_environ)
                case.cids.append(self.cid)
                if isinstance(case.answer, BaseException):
                    raise case.answer
                self.response.payload = case.answer
        self.server.services['zato.ping'] = Listed
        self.server.services['my.other'] = Listed

    def test_falsy_requests_arrive_empty_and_with_the_connection(self):
        for request in None, '', 0, False, [], {}:
            self.assertEqual(self.client.call('zato.ping', request), 'answer')
        self.assertEqual(self.requests, [''] * 6)
        self.assertNotIn({}, self.environs)
        self.client.call('zato.ping', {'a': 1})
        self.assertEqual(self.requests[-1], {'a': 1})

    def test_an_answer_that_cannot_be_sent_is_an_error(self):
        for self.answer in {'a': {1}}, object(), float('nan'), {'a': float('inf')}:
            with self.assertRaises(Exception) as caught:
                self.client.call('zato.ping')
            self.assertEqual(caught.exception.status, 500)
            self.assertRegex(caught.exception.msg, '^The response cannot be sent as JSON: ')
        for self.answer in 'NaN', {'a': 'Infinity'}, '', 0, None, []:
            self.assertEqual(self.client.call('zato.ping'), self.answer)

    def test_every_failure_gets_an_answer(self):
        connect = self.server.connect
        self.answer = standins.Timeout('5 seconds')
        self.refused(500, 'The service timed out: 5 seconds', self.client.call, 'zato.ping')
        self.answer = connect.BadRequest('cid', ValueError('no text'))
        self.refused(400, 'no text', self.client.call, 'zato.ping')
        self.answer = SystemExit(3)
        self.refused(500, 'The service ended with SystemExit: 3', self.client.call, 'zato.ping')
        for self.answer, status, text in self.odd_errors():
            self.refused(status, text, self.client.call, 'zato.ping')

    def odd_errors(self):
        """ Errors that the server would answer with what clients cannot read, with the status and the text."""
        connect = self.server.connect
        for status in '404 Not Found', None, 0, 200, True, 1000:
            error = connect.Reportable('cid', 'No luck')
            error.status = status
            yield error, 500, 'No luck'
        yield connect.Reportable('cid', NoText(), 404), 404, 'NoText'
        # A class of its own that does not call the one that it extends.
        yield connect.NotFound.__new__(connect.NotFound), 404, ''

    def test_objects_are_sent_that_the_server_writes_only_if_they_are_not_within_others(self):
        def dumps(value):
            return json.dumps(value.decode('utf8') if isinstance(value, bytes) else value)
        self.client.environ['web_socket']._json_dump_func = dumps
        self.answer = b'text'
        self.assertEqual(self.client.call('zato.ping'), 'text')

    def test_only_listed_services_are_invoked(self):
        for service in 'my.other', 'connect.release', 'connect.gateway':
            self.refused(403, '', self.client.call, service)

    def test_clients_may_ask_whether_the_server_delivers_a_subscription(self):
        class Delivery(standins.Service):
            name = 'zato.pubsub.delivery.get-server-pid-for-sub-key'

            def handle(self):
                self.response.payload = 100
        self.server.services[Delivery.name] = Delivery
        self.assertEqual(self.client.call(Delivery.name, {'sub_key': 'key1'}), 100)

    def test_cid_is_declared_in_addition_to_the_fields_of_the_stock_gateway(self):
        request, cid = self.server.connect.Gateway.SimpleIO.input_optional
        self.assertEqual((request.name, cid), ('request', 'cid'))

    def test_describe_says_what_is_offered(self):
        for request in None, {}:
            self.assertEqual(self.client.call('connect.describe', request), {
                'name': 'zato-connect', 'version': 1,
                'can': ['subscribe-durable', 'resume', 'fetch', 'fetch-in-memory', 'subscriptions', 'publish-list',
                    'publish-known', 'publish-depth', 'invoke-list'],
                'limits': {'fetch_messages': 2000, 'fetch_seconds': 20, 'ids': 2000, 'publish_messages': 2000,
                    'invoke_requests': 1000, 'invoke_seconds': 20},
                'services': ['zato.ping'], 'database': 'sqlite', 'log_level': 'WARNING'})

    def test_the_garbage_collector_no_longer_looks_at_what_the_first_client_finds(self):
        gc.unfreeze()
        self.addCleanup(gc.unfreeze)
        self.client.call('connect.describe')
        frozen = gc.get_freeze_count()
        self.assertGreater(frozen, 0)
        later = [[] for _ in range(1000)]
        self.client.call('connect.describe')
        self.assertLessEqual(gc.get_freeze_count(), frozen)
        self.assertEqual(len(later), 1000)


class AnnouncementTest(Case):
    processes = 2

    def setUp(self):
        super().setUp()
        self.other, self.tool = self.world.servers[1], self.client.environ['web_socket'].pubsub_tool
        case = self

        class Stock(standins.Service):
            name = 'zato.pubsub.pubapi.subscribe-wsx'

            def handle(self):
                case.tool.sub_keys.add('k1')
                endpoint = self.pubsub.get_endpoint_by_ws_channel_id(1)
                self.pubsub.add('k1', '/my/topic', endpoint)
                # Another process hears of it later.
                case.clock.at(0.5, lambda: case.other.pubsub.add('k1', '/my/topic', endpoint))
        self.server.services[Stock.name] = Stock

    def announced(self):
        return ['k1' in server.pubsub.servers for server in self.world.servers]

    def test_a_stock_subscription_is_known_to_all_processes_when_it_is_answered(self):
        self.client.call('zato.pubsub.pubapi.subscribe-wsx')
        self.assertEqual(self.announced(), [True, True])
        self.assertEqual(self.other.pubsub.servers['k1'].pub_client_id, 'ws.client1')

    def test_a_process_that_does_not_hear_of_a_subscription_holds_nobody_up(self):
        self.other.pubsub.add = lambda *args: None
        self.client.call('zato.pubsub.pubapi.subscribe-wsx')
        self.assertEqual(self.announced(), [True, False])

    def test_other_services_are_not_announced(self):
        self.client.subscribe()
        self.assertEqual(self.announced(), [False, False])


class ResumeTest(Case):
    processes = 2

    def test_resuming_takes_the_subscription_from_older_connections_of_all_processes(self):
        self.client.subscribe()
        key = self.world.keys[0]
        mine, old, elsewhere = (standins.PubSubTool(standins.Client(self.server, name), key)
            for name in ('client1', 'b', 'c'))
        self.server.pubsub.pubsub_tools = [mine, old]
        self.world.servers[1].pubsub.pubsub_tools = [elsewhere]
        self.client.call('zato.pubsub.resume-wsx-subscription', {'sub_key': key})
        self.assertEqual([tool.sub_keys for tool in (mine, old, elsewhere)], [{key}, set(), set()])
        self.assertEqual(self.server.resumed, [key])

    def test_a_resumed_subscription_survives_its_connection_after_a_restart_of_the_server(self):
        self.client.subscribe()
        key = self.world.keys[0]
        sub = self.server.pubsub.subs[key]
        self.client.call('zato.pubsub.resume-wsx-subscription', {'sub_key': key})
        self.assertFalse(sub.unsub_on_wsx_close)
        # It was made since the last restart, as one that ends with its connection.
        sub.unsub_on_wsx_close, sub.config['unsub_on_wsx_close'] = True, True
        self.client.call('zato.pubsub.resume-wsx-subscription', {'sub_key': key})
        self.assertTrue(sub.unsub_on_wsx_close)

    def test_an_unknown_key_is_an_internal_error_as_in_the_stock_service(self):
        with self.assertRaises(KeyError):
            self.client.call('zato.pubsub.resume-wsx-subscription', {'sub_key': 'k'})

    def test_messages_in_memory_are_found_in_every_wrapper(self):
        parse = self.server.connect.Resume()._parse_non_gd_messages
        self.assertEqual(parse(['k1', 'k2'], [{'k1': [1]}, {'response': {'k1': [2]}}, {'messages': {'k1': [3]}},
            {'response': {'messages': {'k1': [4], 'k2': [5]}}}]), {'k1': [1, 2, 3, 4], 'k2': [5]})
        self.assertEqual(parse(['k1'], [{'messages': [1]}, [2]]), {'k1': [1, 2]})
        self.assertEqual(parse(['k1'], [{}, None, 'text', {'k1': []}, {'k2': None}, {'other': [1]}]), {})
        self.assertEqual(parse(['k1'], None), {})


class DatabaseTest(Case):
    def failing(self, times, text):
        """ Makes the first statements that mark messages fail."""
        failed = []

        def fail(statement, _):
            if statement.startswith('update pubsub_endp_msg_queue as q') and len(failed) < times:
                failed.append(statement)
                raise standins.DBAPIError(text)
        self.server.before = fail

    def test_an_error_that_passes_is_repeated(self):
        sub = self.client.subscribe()
        self.world.publish('a', 'b')
        self.failing(3, 'database is locked')
        self.assertEqual(self.data(self.client.fetch(sub)), ['a', 'b'])

    def test_messages_of_a_commit_that_failed_are_handed_out_again(self):
        sub = self.client.subscribe()
        self.world.publish('a', 'b')
        for failures in 1, 1000:
            committed = []

            def fail():
                committed.append(self.states())
                if 4 in committed[-1] and len(committed) <= failures:
                    raise standins.DBAPIError('connection lost')
            self.server.committed = fail
            if failures == 1:
                self.assertEqual(self.data(self.client.fetch(sub)), ['a', 'b'])
                self.client.fetch(sub, max=0, returned=['m1', 'm2'])
            else:
                self.refused(500, 'The database does not answer at the moment; try again', self.client.fetch, sub)
        self.server.committed = lambda: None
        self.assertEqual(self.data(self.client.fetch(sub)), ['a', 'b'])

    def test_an_error_that_does_not_pass_soon_says_so(self):
        sub = self.client.subscribe()
        self.world.publish('a')
        self.failing(1000, 'database is locked')
        self.refused(500, 'The database does not answer at the moment; try again', self.client.fetch, sub)

    def test_an_error_that_does_not_pass_is_not_repeated(self):
        sub = self.client.subscribe()
        self.world.publish('a')
        self.failing(1, 'no such column: x')
        with self.assertRaises(standins.DBAPIError):
            self.client.fetch(sub)
        self.assertEqual(self.data(self.client.fetch(sub)), ['a'])

    def test_statements_are_sent_at_once_to_postgresql(self):
        options = []
        self.server.driver._usock = types.SimpleNamespace(setsockopt=lambda *args: options.append(args))
        self.client.subscribe()
        self.assertIn((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), options)

    def test_codes_of_postgresql_are_told_apart(self):
        passes = self.server.connect.passes
        for code, expected in ('40P01', True), ('57P01', True), ('23505', False), ('42601', False):
            error = standins.DBAPIError('')
            error.orig = Exception({'C': code})
            self.assertEqual(passes(error), expected, code)
        self.assertTrue(passes(ConnectionRefusedError()))
        # Where a connection fails within a statement, the driver's error has no code and is wrapped twice.
        error = standins.StatementError('')
        error.orig = standins.DBAPIError('')
        error.orig.orig = type('OperationalError', (Exception,), {'__module__': 'pg8000.core'})('unpack_from')
        self.assertTrue(passes(error))


class PublishTest(Case):
    def setUp(self):
        super().setUp()
        self.sub = self.client.subscribe()

    def publish(self, *messages, topic='/my/topic'):
        return self.client.call('connect.publish', {'topic_name': topic, 'messages': list(messages)})['messages']

    def test_messages_keep_the_ids_and_fields_of_the_client(self):
        answers = self.publish({'data': 'a', 'msg_id': 'my1', 'priority': 9, 'correl_id': 'c', 'in_reply_to': 'r',
            'ext_client_id': 'e', 'unknown': 1}, {'data': 'b'})
        self.assertEqual(answers[0], {'msg_id': 'my1', 'status': 'published'})
        self.assertEqual(answers[1]['status'], 'published')
        first, second = self.client.fetch(self.sub)['messages']
        self.assertEqual([first[name] for name in ('msg_id', 'priority', 'correl_id', 'in_reply_to', 'ext_client_id')],
            ['my1', 9, 'c', 'r', 'e'])
        self.assertEqual((second['msg_id'], second['correl_id']), (answers[1]['msg_id'], 'cid1'))

    def test_what_is_known_is_not_published_again(self):
        self.publish({'data': 'a', 'msg_id': 'my1'})
        answers = self.publish(*({'data': 'b', 'msg_id': id} for id in ('my1', 'my2', 'my2')))
        self.assertEqual([answer['status'] for answer in answers], ['known', 'published', 'known'])
        self.assertEqual(self.data(self.client.fetch(self.sub)), ['a', 'b'])

    def test_an_id_of_another_topic_is_refused(self):
        self.publish({'data': 'a', 'msg_id': 'my1'})
        self.assertEqual(self.publish({'data': 'a', 'msg_id': 'my1'}, topic='/my/other'), [
            {'status': 'refused', 'error': 'msg_id is of a message of another topic', 'msg_id': 'my1'}])

    def test_bad_messages_are_refused_and_the_others_published(self):
        answers = self.publish({'data': 'a', 'msg_id': 'my1'}, {'data': 'b', 'priority': 99, 'msg_id': 'my2'},
            {'data': ''}, {'data': {'k': 1}}, 'text', {'data': 'c', 'expiration': 'soon'}, {'data': 'a\0b'},
            {'data': '\ud800'}, {'data': 'd', 'ext_pub_time': 'noon'}, {'data': 'e', 'has_gd': 'yes'},
            {'data': 'f', 'msg_id': 'x' * 201}, {'data': 'g'})
        self.assertEqual([answer.get('error') for answer in answers], [None, 'bad priority', 'no data',
            'data is not a text', 'not an object', 'bad expiration', 'data has a character that cannot be stored',
            'data has a character that cannot be stored', 'bad ext_pub_time', 'bad has_gd', 'bad msg_id', None])
        self.assertEqual(answers[1]['msg_id'], 'my2')
        self.assertEqual(self.data(self.client.fetch(self.sub)), ['a', 'g'])

    def test_messages_come_in_the_order_of_the_list_within_a_priority(self):
        self.publish(*({'data': '%d' % i, 'priority': [1, 5, 9][i % 3]} for i in range(12)))
        self.assertEqual(self.data(self.client.fetch(self.sub)), '2 5 8 11 1 4 7 10 0 3 6 9'.split())
        found = self.world.db.execute('select pub_time from pubsub_message order by priority desc, id')
        times = [row[0] for row in found]
        self.assertEqual((times, len(set(times))), (sorted(times), 12))

    def test_rights_come_first(self):
        bad = {'data': ''}
        self.refused(404, 'No such topic `/my/no/such`', self.publish, bad, topic='/my/no/such')
        self.refused(403, '', self.publish, bad, topic='/other')
        self.refused(403, '', self.publish, topic='/other')
        self.server.pubsub.topics['/my/topic'].is_active = False
        self.refused(503, 'Topic is inactive `/my/topic`', self.publish, bad)
        self.refused(400, 'topic_name is missing', self.client.call, 'connect.publish')
        self.refused(400, 'messages must be a list of at most 2000 messages', self.publish, *[bad] * 2001)

    def test_a_topic_that_drops_says_so(self):
        self.server.dropping = True
        self.assertEqual(self.publish({'data': 'a', 'msg_id': 'my1'}, {'data': 'b'}),
            [{'msg_id': 'my1', 'status': 'dropped'}, {'msg_id': '', 'status': 'dropped'}])

    def test_what_the_hook_of_the_topic_skips_is_dropped(self):
        self.server.skipped = 'skip'
        for contents, statuses in [('a', 'skip'), ('published', 'dropped')], [('skip', 'skip'), ('dropped', 'dropped')]:
            answers = self.publish(*({'data': data} for data in contents))
            self.assertEqual(tuple(answer['status'] for answer in answers), statuses)

    def test_one_message_in_memory_among_guaranteed_ones_that_nobody_is_subscribed_to_is_one_of_the_published(self):
        answers = self.publish({'data': 'a', 'msg_id': 'my1'}, {'data': 'b', 'has_gd': False, 'msg_id': 'my2'},
            {'data': 'c', 'msg_id': 'my3'}, topic='/my/other')
        self.assertEqual(answers, [{'msg_id': id, 'status': 'published'} for id in ('my1', 'my2', 'my3')])

    def test_only_ids_of_the_client_are_looked_up_before_the_first_attempt(self):
        statements = []
        self.server.before = lambda statement, _: statements.append(statement)
        self.publish({'data': 'a'}, {'data': 'b'})
        self.assertFalse([statement for statement in statements if statement.startswith('select')])
        self.publish({'data': 'c', 'msg_id': 'my1'}, {'data': 'd'})
        self.assertEqual(len([statement for statement in statements if statement.startswith('select')]), 1)

    def test_lists_are_written_in_parts_that_the_database_takes(self):
        publish = self.server.connect.Publish()
        publish.pubsub, publish.topic = self.server.pubsub, self.server.pubsub.topics['/my/topic']
        for subscribers, rows in (0, 500), (1, 500), (12, 333), (10000, 1):
            self.server.pubsub.get_subscriptions_by_topic = lambda name: [None] * subscribers
            self.assertEqual(publish.rows(), rows)
        del self.server.pubsub.get_subscriptions_by_topic
        self.assertEqual(len(self.publish(*({'data': str(i)} for i in range(1100)))), 1100)
        self.assertEqual(self.data(self.client.fetch(self.sub, max=2000)), [str(i) for i in range(1100)])

    def test_two_that_publish_the_same_ids_at_once_store_them_once(self):
        done = []

        def other(statement, _):
            if statement.startswith('insert into pubsub_message') and not done:
                done.append(1)
                self.publish({'data': 'other', 'msg_id': 'my2'})
        self.server.before = other
        answers = self.publish({'data': 'a', 'msg_id': 'my1'}, {'data': 'b', 'msg_id': 'my2'})
        self.assertEqual([answer['status'] for answer in answers], ['published', 'known'])
        self.assertEqual(sorted(self.data(self.client.fetch(self.sub))), ['a', 'other'])

    def test_a_commit_whose_answer_is_lost_stores_nothing_twice(self):
        lost = []

        def lose():
            stored = self.world.db.execute('select count(*) from pubsub_message').fetchone()[0]
            if stored and not lost:
                lost.append(1)
                raise standins.DBAPIError('connection lost')
        self.server.committed = lose
        self.assertEqual([answer['status'] for answer in self.publish({'data': 'a'}, {'data': 'b'})], ['published'] * 2)
        self.assertEqual(self.data(self.client.fetch(self.sub)), ['a', 'b'])

    def test_a_database_that_is_away_is_told_apart(self):
        def fail(statement, _):
            if statement.startswith('insert into pubsub_message'):
                raise standins.DBAPIError('connection refused')
        self.server.before = fail
        self.refused(500, 'The database does not answer at the moment; try again', self.publish, {'data': 'a'})


class DepthTest(Case):
    def setUp(self):
        super().setUp()
        self.pubsub, self.topic = self.server.pubsub, self.server.pubsub.topics['/my/topic']
        self.topic.has_gd, self.topic.max_depth_non_gd = False, 3
        self.client.subscribe()
        self.connect()

    def connect(self):
        """ Makes the subscription one that is pushed to a connection."""
        self.pubsub.servers.update({sub_key: types.SimpleNamespace() for sub_key in self.pubsub.subs})

    def publish(self, *messages):
        return self.client.call('connect.publish', {'topic_name': '/my/topic', 'messages': list(messages)})

    def statuses(self, *messages):
        return [answer['status'] for answer in self.publish(*messages)['messages']]

    def in_memory(self):
        return self.pubsub.in_memory['/my/topic']

    def test_what_goes_beyond_the_depth_is_not_published_and_says_so(self):
        self.assertEqual(self.publish({'data': 'a'})['messages'][0]['status'], 'published')
        answer = self.publish({'data': 'b'}, {'data': 'c'}, {'data': 'd', 'msg_id': 'my1'}, {'data': 'e'})
        self.assertEqual([message['status'] for message in answer['messages']], ['published'] * 2 + ['full'] * 2)
        self.assertEqual([message['msg_id'] for message in answer['messages'][2:]], ['my1', ''])
        self.assertEqual((answer['depth'], answer['max_depth']), (3, 3))
        self.assertEqual((self.in_memory(), self.pubsub.overflows), (['a', 'b', 'c'], 0))
        self.assertEqual(self.publish({'data': 'd'})['depth'], 3)

    def test_an_answer_without_full_messages_does_not_say_how_deep_the_topic_is(self):
        self.assertEqual(list(self.publish({'data': 'a'}, {'data': 'b'})), ['messages'])

    def test_full_messages_can_be_published_again_under_their_ids(self):
        messages = [{'data': str(i), 'msg_id': 'my%d' % i} for i in range(5)]
        self.assertEqual(self.statuses(*messages), ['published'] * 3 + ['full'] * 2)
        self.in_memory().clear()
        self.assertEqual(self.statuses(*messages[3:]), ['published'] * 2)

    def test_guaranteed_messages_are_published_although_the_topic_is_full(self):
        messages = [{'data': str(i), 'has_gd': i % 2 == 0} for i in range(10)]
        self.assertEqual(self.statuses(*messages), ['published'] * 7 + ['full', 'published', 'full'])
        self.assertEqual(self.in_memory(), ['1', '3', '5'])

    def test_no_message_of_a_call_overtakes_one_that_was_full(self):
        self.server.connect.ROWS = 2
        store = self.pubsub.store_in_ram

        def deliver(*args):
            store(*args)
            if len(self.in_memory()) == 3:
                # There is room when the next part of the list is published.
                self.pubsub.get_subscriptions_by_topic = make_room

        def make_room(name):
            del self.pubsub.get_subscriptions_by_topic
            self.in_memory().clear()
            return self.pubsub.get_subscriptions_by_topic(name)
        self.pubsub.store_in_ram = deliver
        self.assertEqual(self.statuses(*({'data': str(i)} for i in range(8))), ['published'] * 3 + ['full'] * 5)

    def test_messages_of_a_subscriber_without_a_connection_are_not_in_memory(self):
        self.pubsub.servers.clear()
        self.assertEqual(self.statuses(*({'data': str(i)} for i in range(5))), ['published'] * 5)

    def test_messages_that_nobody_is_subscribed_to_are_not_in_memory(self):
        self.pubsub.subs.clear()
        self.assertEqual(self.statuses(*({'data': str(i)} for i in range(5))), ['published'] * 5)

    def test_a_topic_that_the_server_has_overfilled_is_full(self):
        self.in_memory().extend('stuck' for _ in range(7))
        answer = self.publish({'data': 'a'})
        self.assertEqual((answer['messages'][0]['status'], answer['depth'], answer['max_depth']), ('full', 7, 3))


class InvokeTest(GatewayTest):
    def invoke(self, *requests, service='zato.ping', **more):
        return self.client.call('connect.invoke', dict(more, service=service, requests=list(requests)))['responses']

    def test_each_request_has_a_response(self):
        self.assertEqual(self.invoke({'a': 1}, None, ''), [{'status': 200, 'response': 'answer'}] * 3)
        self.assertEqual(self.requests, [{'a': 1}, '', ''])
        self.assertEqual(self.invoke(), [])
        self.assertEqual(self.invoke(1, 2, parallel=2), [{'status': 200, 'response': 'answer'}] * 2)

    def test_failures_are_of_one_request(self):
        self.answer = ValueError('No luck')
        self.assertEqual(self.invoke(1), [{'status': 500, 'error': 'ValueError: No luck', 'cid': 'cid1-0'}])
        self.answer = self.server.connect.NotFound('cid', 'No such thing')
        self.assertEqual(self.invoke(1), [{'status': 404, 'error': 'No such thing', 'cid': 'cid1-0'}])
        self.answer = standins.Timeout('5 seconds')
        self.assertEqual(self.invoke(1), [{'status': 500, 'error': 'Timeout: 5 seconds', 'cid': 'cid1-0'}])
        self.answer = SystemExit(3)
        self.assertEqual(self.invoke(1), [{'status': 500, 'error': 'SystemExit: 3', 'cid': 'cid1-0'}])
        self.answer = NoText()
        self.assertEqual(self.invoke(1), [{'status': 500, 'error': 'NoText: NoText', 'cid': 'cid1-0'}])
        for self.answer, status, text in self.odd_errors():
            for more in {}, {'parallel': 2}:
                self.assertEqual(self.invoke(1, **more), [{'status': status, 'error': text, 'cid': 'cid1-0'}])
        self.answer = {1}
        self.assertRegex(self.invoke(1)[0]['error'], '^The response cannot be sent as JSON: ')

    def test_a_failure_that_nobody_expected_is_in_the_log_under_its_cid(self):
        self.answer = ValueError('No luck')
        with self.assertLogs('zato') as logged:
            self.invoke(1, 2)
            self.answer = self.server.connect.NotFound('cid', 'No such thing')
            self.invoke(1)
        self.assertEqual([re.findall('cid:`(.*?)`', line) for line in logged.output], [['cid1-0'], ['cid1-1']])
        self.assertRegex(logged.output[0], r'`zato.ping` failed(.|\n)*in handle(.|\n)*ValueError: No luck')

    def test_each_request_has_its_own_cid(self):
        self.invoke(1, 2, 3, parallel=2)
        self.assertEqual(self.cids, ['cid1-0', 'cid1-1', 'cid1-2'])

    def test_a_service_that_changes_its_response_later_does_not_change_the_answer(self):
        class Counter(standins.Service):
            name, shared = 'zato.ping', {'count': 0}

            def handle(self):
                self.shared['count'] += 1
                self.response.payload = self.shared
        self.server.services['zato.ping'] = Counter
        self.assertEqual([response['response'] for response in self.invoke(1, 2)], [{'count': 1}, {'count': 2}])
        answer = self.client.call('zato.ping')
        Counter.shared['count'] = {1}
        self.assertEqual(answer, {'count': 3})

    def test_a_service_that_is_not_active_or_not_deployed_is_named(self):
        self.server.service_store.inactive.append('zato.ping')
        self.assertEqual(self.invoke(1), [{'status': 500, 'error': 'Inactive: zato.ping', 'cid': 'cid1-0'}])
        del self.server.services['zato.ping']
        self.assertEqual(self.invoke(1), [{'status': 500, 'error': "KeyError: 'zato.ping'", 'cid': 'cid1-0'}])

    def test_a_service_is_freed_after_its_response_unless_it_is_in_use(self):
        class Background(standins.Service):
            name = 'zato.ping'
            created, in_use = [], []

            def handle(self):
                self.created.append(weakref.ref(self))
                if self.request.payload == 'continue':
                    self.in_use.append(self)
                self.response.payload = 'started'
        self.server.services['zato.ping'] = Background
        gc.disable()
        try:
            self.invoke('end', 'continue')
            self.client.call('zato.ping', 'end')
            self.client.call('zato.ping', 'continue')
        finally:
            gc.enable()
        self.assertEqual([service() for service in Background.created],
            [None, Background.in_use[0], None, Background.in_use[1]])
        for service in Background.in_use:
            self.assertIs(service.request.service, service)
            self.assertIs(service.patterns.invoking_service, service)
            self.assertIs(service.patterns.cache, self.server.internal_cache_patterns)
            self.assertIs(service.patterns.lock, self.server.internal_cache_lock_patterns)

    def test_services_that_are_not_listed_are_refused(self):
        for service in 'my.other', 'connect.invoke', 'connect.fetch':
            self.assertEqual(self.invoke(1, service=service), [{'status': 403, 'error': 'not allowed', 'cid': 'cid1'}])

    def test_what_is_not_run_in_time_says_so(self):
        class Slow(standins.Service):
            name = 'zato.ping'

            def handle(self):
                self.server.world.clock.sleep(2)
                self.response.payload = 'slow'
        self.server.services['zato.ping'] = Slow
        for seconds, interval, done in (3, 30, 2), (100, 30, 17), (100, 2, 3), (None, 30, 10):
            client = standins.Client(self.server, ping_interval=interval)
            request = {'service': 'zato.ping', 'requests': [1] * 20, 'seconds': seconds}
            responses = client.call('connect.invoke', request)['responses']
            self.assertEqual(responses, [{'status': 200, 'response': 'slow'}] * done +
                [{'status': 0, 'error': 'not run'}] * (20 - done))

    def test_a_list_that_is_slow_ends_early_and_says_how_long_it_took(self):
        class Slow(standins.Service):
            name = 'zato.ping'

            def handle(self):
                self.server.world.clock.sleep(2)
                self.response.payload = 'slow'
        self.server.services['zato.ping'] = Slow
        for start_within, parallel, done in (0.1, 1, 1), (3, 1, 2), (3, 5, 2), (100, 1, 5):
            answer = self.client.call('connect.invoke', {'service': 'zato.ping', 'requests': [1] * 5,
                'start_within': start_within, 'parallel': parallel})
            self.assertEqual([response['status'] for response in answer['responses']], [200] * done + [0] * (5 - done))
            self.assertAlmostEqual(answer['duration'], 2 * done, 3)

    def test_responses_are_not_larger_than_the_client_wants(self):
        self.answer = 'é' * 1000
        answer = self.client.call('connect.invoke', {'service': 'zato.ping', 'requests': [1] * 10, 'max_bytes': 20000})
        statuses = [response['status'] for response in answer['responses']]
        self.assertEqual(statuses, [200] * 3 + [0] * 7)
        self.assertEqual(answer['responses'][3]['error'], 'not run')
        self.assertLess(len(json.dumps(answer, indent=4)), 20000)
        self.assertEqual(self.invoke(1, 2, max_bytes=100)[1], {'status': 413, 'cid': 'cid1-1',
            'error': 'The service has run. Its response has 6202 bytes, more than max_bytes'})

    def test_a_long_error_is_shortened(self):
        self.answer = ValueError('x' * 100000)
        self.assertEqual(len(self.invoke(1)[0]['error']), 4000)

    def test_nothing_more_is_run_for_a_client_that_has_gone(self):
        self.client.close()
        self.assertEqual(self.invoke(1), [{'status': 0, 'error': 'not run'}])

    def test_bad_fields_are_named(self):
        self.refused(400, 'service is missing', self.client.call, 'connect.invoke')
        self.refused(400, 'requests must be a list of at most 1000 requests', self.invoke, *[1] * 1001)
        self.refused(400, 'parallel must be a whole number, at least 1', self.invoke, 1, parallel=0)
        self.refused(400, 'start_within must be a number from 0 to 1e+09', self.invoke, 1, start_within='soon')
        self.refused(400, 'max_bytes must be a whole number, at least 1', self.invoke, 1, max_bytes=0)


class DeploymentTest(unittest.TestCase):
    def test_an_ability_whose_names_are_missing_is_not_offered(self):
        class Other:
            pass

        class TopicWithoutDepth:
            gd_pub_time_max = 0.0
        fetch, depth = ['fetch', 'fetch-in-memory', 'subscriptions'], ['publish-depth']
        publish = ['publish-list', 'publish-known', *depth]
        for name, members, missing in [
            ('zato.server.pubsub.delivery.tool', {'PubSubTool': Other}, ['resume']),
            ('zato.server.pubsub.model', {'Topic': Other}, fetch + depth),
            ('zato.server.pubsub.model', {}, fetch + depth),
            ('zato.server.pubsub.publisher', {'Publisher': Other}, publish),
            ('zato.server.pubsub.model', {'Topic': TopicWithoutDepth}, depth),
        ]:
            connect = standins.load(standins.Clock(), **{name: members})
            expected = [ability for ability in connect.ABILITIES if ability not in missing]
            self.assertEqual(connect.CAN, expected)
            with self.assertLogs('zato', 'ERROR') as logs:
                connect.Describe.after_add_to_store(None)
            self.assertRegex(logs.output[0], 'this version of Zato has no .*, so `.*` is not offered')
            self.assertEqual('connect.fetch' in connect.Gateway.services_allowed, 'fetch' in expected)
            self.assertEqual('connect.publish' in connect.Gateway.services_allowed, 'publish-list' in expected)

    def test_frames_are_unmasked_by_a_library_if_the_server_has_it(self):
        class Frame:
            def __init__(self):
                self.masking_key = b'\1\2\3\4'

            def unmask(self, data):
                return 'slowly'
        modules = {'zato.server.ext.ws4py.framing': {'Frame': Frame}}
        standins.load(standins.Clock(), **modules, **{'wsaccel.xormask': {}})
        self.assertEqual(Frame().unmask(b'abc'), 'slowly')
        standins.load(standins.Clock(), **modules)
        for masked, data in (b'', b''), (b'`', b'a'), (b'````ddg', b'abcdefd'), (bytearray(b'```e'), b'abca'):
            self.assertEqual(Frame().unmask(masked), bytearray(data))
            self.assertIsInstance(Frame().unmask(masked), bytearray)

    def test_no_service_has_a_name_that_the_server_hides(self):
        connect = standins.load(standins.Clock())
        names = [item.name for item in vars(connect).values() if isinstance(item, type) and hasattr(item, 'get_name')
            and item.__module__ == 'connect']
        self.assertIn('connect.gateway', names)
        for name in names:
            self.assertRegex(name, '^connect[.]')
        self.assertEqual([name for name in vars(connect) if 'zato' in name.lower()], [])

    def test_stand_ins_have_the_signatures_that_are_listed(self):
        for name, arguments in standins.SIGNATURES.items():
            owner, method = name.split('.')
            found = inspect.signature(getattr(getattr(standins, owner), method)).parameters
            self.assertEqual(', '.join(list(found)[1:]), arguments, name)


if __name__ == '__main__':
    unittest.main()
