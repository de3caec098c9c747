# -*- coding: utf-8 -*-
"""Services for Zato 3.2 and 3.3 that zato-connect uses, and the gateway that its clients connect to. Edit SERVICES,
copy this file to the server's hot-deployment folder, and mount a WebSocket channel on connect.gateway.
"""

# What clients may invoke. Services for topics, and those below, are always allowed.
SERVICES = [
    'zato.ping',
]

# stdlib
import json
import logging
import time
from _socket import socket as plain_socket
from collections import namedtuple
from contextlib import closing
from hashlib import sha1
from importlib import import_module
from socket import MSG_DONTWAIT, MSG_PEEK
from types import SimpleNamespace
from uuid import uuid4

# gevent
from gevent import Timeout, sleep, spawn
from gevent.lock import RLock

# SQLAlchemy
from sqlalchemy.exc import DBAPIError

# Zato
from zato.common.exception import BadRequest, Conflict, Forbidden, InternalServerError, NotFound, Reportable
from zato.server.service import AsIs, Service
from zato.server.service.internal.helpers import WebSocketsGateway

# Names inside the server that an ability needs: ability, module, class, names. They are looked up when this file is
# deployed. If one is missing, the server's log says so, and connect.describe does not offer the ability.
LEANS_ON = [
    ('resume', 'zato.server.service.internal.pubsub', 'ResumeWSXSubscription', 'handle _parse_non_gd_messages'),
    ('resume', 'zato.server.pubsub', 'PubSub', 'get_subscription_by_sub_key pubsub_tools'),
    ('resume', 'zato.server.pubsub.delivery.tool', 'PubSubTool', 'has_sub_key remove_sub_key parent'),
    ('resume', 'zato.server.connection.server.rpc.api', 'ServerRPC', 'invoke_all'),
    ('fetch', 'zato.server.pubsub', 'PubSub', 'subscribe get_subscription_by_sub_key get_topic_by_sub_key '
        'get_topic_by_name get_endpoint_by_ws_channel_id is_allowed_sub_topic_by_endpoint_id get_sub_key_server '
        'delete_sub_key_server'),
    ('fetch', 'zato.server.pubsub.model', 'Topic', 'gd_pub_time_max'),
    ('fetch', 'zato.server.connection.server.rpc.api', 'ServerRPC', 'invoke_all'),
    ('fetch', 'zato.common.odb.model', 'PubSubEndpointEnqueuedMessage',
        'id cluster_id sub_key pub_msg_id delivery_status delivery_time delivery_count'),
    ('fetch', 'zato.common.odb.model', 'PubSubMessage', 'cluster_id pub_msg_id data size priority pub_correl_id '
        'in_reply_to ext_client_id pub_time ext_pub_time expiration expiration_time mime_type'),
    ('fetch', 'zato.common.odb.model', 'PubSubSubscription',
        'id cluster_id sub_key topic_id endpoint_id last_interaction_time last_interaction_type'),
    ('fetch', 'zato.common.odb.model', 'PubSubTopic', 'id name'),
    ('fetch', 'zato.common.odb.model', 'WebSocketSubscription',
        'cluster_id sub_key subscription_id ext_client_id opaque1'),
    ('subscriptions', 'zato.server.pubsub', 'PubSub', 'unsubscribe'),
]

# Abilities in the order of connect.describe, each with those that it includes.
ABILITIES = {
    'subscribe-durable': (),
    'resume': (),
    'fetch': (),
    'fetch-in-memory': ('fetch',),
    'subscriptions': ('fetch',),
}

LIMITS = {'fetch_messages': 2000, 'fetch_seconds': 20, 'ids': 2000}

# States of a row of the queue. The server knows the second one and does not use it for WebSockets.
WAITING, UNCONFIRMED = 2, 4

# Rows a statement.
ROWS = 500

# How often a statement that failed for a reason that passes is repeated, and the pause after the first time.
TRIES, PAUSE = 8, 0.02

# A waiting fetch looks this often at what its process knows, and asks the database.
LOOK_INTERVAL, POLL_INTERVAL = 0.02, 0.5

# A publication that its process knows may not be in the database yet. The next questions come sooner.
EARLY_POLLS, EARLY_INTERVAL = 3, 0.06

# A fetch is written down this often, for stand-bys, and so that Zato's cleanup spares the subscription.
TOUCH_INTERVAL = 3.0

# A process keeps the order of this number of rows of a subscription. The list is kept for a multiple of the time it took
# to sort them, between two limits.
ORDERED_ROWS, ORDER_FACTOR, ORDER_SECONDS = 10000, 20, (1.0, 10.0)

# What a process remembers of a subscription that nobody fetches is dropped after this time.
MEMORY_SECONDS = 600.0

# How long a process waits to hear of a subscription that was made, and of a connection that is said to have it. Other
# processes may hear of the connection too early, and then never again.
KNOWN_SECONDS, ANNOUNCED_SECONDS, ANNOUNCED_ELSEWHERE_SECONDS = 3.0, 30.0, 0.3

# How long publishers that read the subscriptions of a topic just before one ended have to finish.
PUBLISHING_SECONDS = 0.2

# A longer name is shortened where the server makes a key of it.
NAME_IN_KEY = 100

# The server indents what it sends: the spaces of a message of a fetch, and some more.
INDENTATION = 400

TAKEN_OVER = 'Another consumer has this subscription now'
UNKNOWN = 'No such subscription'

RESUME = 'zato.pubsub.resume-wsx-subscription'
UNSUBSCRIBE = 'zato.pubsub.pubapi.unsubscribe'

# Without a lease, and with one.
HELD = {False: 'q.delivery_status=4', True: 'q.delivery_status=4 and q.delivery_time>=:now'}
FREE = {False: 'q.delivery_status=2', True: '(q.delivery_status=2 or q.delivery_status=4 and q.delivery_time<:now)'}

OF_KEY = '''
    from pubsub_endp_msg_queue q, pubsub_message m
    where q.cluster_id=:cluster and q.sub_key=:key and m.cluster_id=q.cluster_id and m.pub_msg_id=q.pub_msg_id
          and m.expiration_time>:now and '''

COUNT = 'select count(*)' + OF_KEY

ORDER = 'select q.id, m.priority, m.pub_time, m.size' + OF_KEY + '''q.id>:last and {free}
    order by m.priority desc, m.pub_time, q.id limit %d''' % ORDERED_ROWS

LAST = 'select max(id) from pubsub_endp_msg_queue where cluster_id=:cluster and sub_key=:key'

READ = '''
    select q.id, q.delivery_count, m.pub_msg_id, m.data, m.priority, m.pub_correl_id, m.in_reply_to, m.ext_client_id,
           m.pub_time, m.ext_pub_time, m.expiration, m.expiration_time, m.mime_type''' + OF_KEY + '{free} and q.id in ({ids})'

NAMES = ('msg_id', 'data', 'priority', 'correl_id', 'in_reply_to', 'ext_client_id', 'pub_time', 'ext_pub_time',
    'expiration', 'expiration_time', 'mime_type')

# SQLite has no locks of rows. There, TAKE finds out that another process was quicker.
LOCK_ROWS = ' for update of q skip locked'
LOCK_CONSUMER = ' for share'

# Who consumes a subscription: the beginning of the text that CONSUMER finds.
# Subscriptions without such a text are pushed.
IS_FETCHED = """opaque1 like '{"holder":%'"""
CONSUMER = 'select opaque1 from web_socket_sub where cluster_id=:cluster and sub_key=:key and ' + IS_FETCHED
IS_CONSUMER = 'cluster_id=:cluster and sub_key=:key and substr(opaque1, 1, :length)=:consumer'
SET_CONSUMER = 'update web_socket_sub set opaque1=:new where cluster_id=:cluster and sub_key=:key'

TAKE = '''
    update pubsub_endp_msg_queue as q set delivery_status=4, delivery_time=:until, delivery_count=delivery_count+1
    where q.id in ({ids}) and {free} and exists (select 1 from web_socket_sub where %s)''' % IS_CONSUMER

TOUCH = '''
    update pubsub_sub set last_interaction_time=:now, last_interaction_type='connect.fetch'
    where cluster_id=:cluster and sub_key=:key'''

GIVE_BACK = '''
    update pubsub_endp_msg_queue set delivery_status=2
    where cluster_id=:cluster and sub_key=:key and delivery_status=4'''

# Rows are looked up by message, because all indexes begin with the cluster.
FIND_ROWS = 'select id, sub_key from pubsub_endp_msg_queue where cluster_id=:cluster and pub_msg_id in ({ids})'
CONFIRM = 'delete from pubsub_endp_msg_queue where id in ({ids})'
RETURN = 'update pubsub_endp_msg_queue set delivery_status=2 where delivery_status=4 and id in ({ids})'
RENEW = 'update pubsub_endp_msg_queue set delivery_time=:until where delivery_status=4 and id in ({ids})'

OF_ENDPOINT = '''
    select s.sub_key, t.name, w.opaque1 from pubsub_sub s, pubsub_topic t, web_socket_sub w
    where s.cluster_id=:cluster and s.endpoint_id=:endpoint and t.id=s.topic_id and w.subscription_id=s.id
          and w.''' + IS_FETCHED
FIND = OF_ENDPOINT + ' and t.name=:topic and w.ext_client_id=:client order by s.id'
LIST = OF_ENDPOINT + ' order by t.name, s.id'

END = [
    'delete from pubsub_endp_msg_queue where cluster_id=:cluster and sub_key=:key',
    'delete from web_socket_sub where cluster_id=:cluster and sub_key=:key',
    'delete from pubsub_sub where cluster_id=:cluster and sub_key=:key',
]

log = logging.getLogger('zato')


def missing_names():
    """ Yields what this server lacks: the ability and the name."""
    for ability, module, owner, names in LEANS_ON:
        try:
            found = getattr(import_module(module), owner)
        except (AttributeError, ImportError):
            yield ability, owner
            continue
        for name in names.split():
            # What has no default is known only to the code that makes an object.
            code = getattr(found.__init__, '__code__', None)
            if not hasattr(found, name) and not (code and name in code.co_names):
                yield ability, '%s.%s' % (owner, name)


MISSING = list(missing_names())


def offered():
    lacking = {ability for ability, _ in MISSING}
    return [ability for ability, included in ABILITIES.items() if not lacking & {ability, *included}]


CAN = offered()

Kind = namedtuple('Kind', 'description ok')


def storable(value):
    """ Whether all databases can store the text. PostgreSQL stores no NUL, and none stores half of a surrogate pair."""
    try:
        return '\0' not in value and value.encode('utf8') is not None
    except UnicodeEncodeError:
        return False


def number(low, high):
    return Kind('a number from %g to %g' % (low, high),
        lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and low <= v <= high)


def whole(low):
    return Kind('a whole number, at least %d' % low,
        lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= low)


TEXT = Kind('a text', lambda v: isinstance(v, str) and storable(v))
NAME = Kind('a text of 1 to 200 characters', lambda v: isinstance(v, str) and len(v) <= 200 and storable(v))
FLAG = Kind('true or false', lambda v: isinstance(v, bool))
IDS = Kind('a list of at most %d ids' % LIMITS['ids'], lambda v: isinstance(v, (list, tuple)) and len(v) <= LIMITS['ids']
    and all(isinstance(id, str) and storable(id) for id in v))


def parts(items):
    for i in range(0, len(items), ROWS):
        yield items[i:i + ROWS]


def numbers(ids):
    """ Row numbers as part of a statement."""
    return ','.join(str(int(id)) for id in ids)


def passes(e):
    """ Whether an error of the database is likely not to happen again soon: a deadlock, a lock, or no connection."""
    if not isinstance(e, DBAPIError):
        return True
    details = e.orig.args[0] if getattr(e.orig, 'args', None) else None
    # The driver for PostgreSQL gives an object with the code, except when the connection failed.
    if isinstance(details, dict):
        return details.get('C', '')[:2] in ('08', '40', '53', '55', '57')
    return e.connection_invalidated or 'locked' in str(details) or 'onnect' in str(details)


def consumer_text(holder, shared):
    """ The beginning of the text that says who consumes a subscription."""
    return '{"holder": %s, "shared": %s,' % (json.dumps(holder), json.dumps(shared))


def consumer_of(holder):
    """ As whom a fetch with this holder consumes."""
    return consumer_text(holder, holder is None)


class Memory:
    """ What a process knows of a subscription: the order of its rows, and when its last fetch was written down."""

    subscriptions = {}

    def __init__(self):
        self.lock = RLock()
        self.consumer, self.touched, self.changes, self.used = '', 0.0, 0, time.monotonic()
        # Rows that may be marked as handed out, although their commit failed.
        self.doubtful = []
        self.forget()

    @classmethod
    def of(cls, sub_key):
        known, now = cls.subscriptions.get(sub_key), time.monotonic()
        if not known:
            for key in [key for key, other in cls.subscriptions.items() if other.used < now - MEMORY_SECONDS]:
                del cls.subscriptions[key]
            known = cls.subscriptions[sub_key] = cls()
        known.used = now
        return known

    def forget(self):
        """ Makes the next fetch ask for all rows, and waiting ones look again."""
        self.rows, self.last, self.whole, self.until = [], 0, True, 0.0
        self.changes += 1

    def next(self, query, most, most_bytes):
        """ Removes and returns the next rows. query(statement, last) asks the database."""
        with self.lock:
            if not self.rows or time.monotonic() >= self.until:
                self.sort(query)
            else:
                self.merge(query)
            n = size = 0
            for row in self.rows[:most]:
                size += row[3]
                if n and most_bytes and size > most_bytes:
                    break
                n += 1
            out, self.rows = self.rows[:n], self.rows[n:]
            return out

    def put_back(self, rows):
        with self.lock:
            self.rows[:0] = rows

    def sort(self, query):
        start = time.monotonic()
        self.rows = self.ask(query, 0)
        self.whole = len(self.rows) < ORDERED_ROWS
        self.last = max(row[2] for row in self.rows) if self.rows else 0
        if not self.whole:
            self.last = query(LAST, 0)[0][0] or self.last
        now = time.monotonic()
        self.until = now + min(max((now - start) * ORDER_FACTOR, ORDER_SECONDS[0]), ORDER_SECONDS[1])

    def merge(self, query):
        """ Adds what was published since. Rows behind the end of an incomplete list come with the next one."""
        new = self.ask(query, self.last)
        if new:
            self.last = max(row[2] for row in new)
            self.rows = sorted(self.rows + [row for row in new if self.whole or row < self.rows[-1]])

    def ask(self, query, last):
        return [(-row[1], float(row[2]), row[0], row[3] or 0) for row in query(ORDER, last)]


class Companion:
    """ What the services have in common."""

    def fields(self):
        payload = self.request.payload or {}
        if not isinstance(payload, dict):
            raise BadRequest(self.cid, 'The request must be an object')
        return payload

    def field(self, name, kind, default=None):
        value = self.fields().get(name)
        if value is None:
            return default
        if not kind.ok(value):
            raise BadRequest(self.cid, '%s must be %s' % (name, kind.description))
        return value

    def required(self, name, kind):
        value = self.field(name, kind)
        if value is None:
            raise BadRequest(self.cid, '%s is missing' % name)
        return value

    def channel_environ(self):
        """ The environ of the WebSocket channel, however deep this service was invoked."""
        environ = self.wsgi_environ
        while True:
            message = environ.get('zato.request_ctx.async_msg')
            if not message:
                raise BadRequest(self.cid, 'Not invoked through a WebSocket channel')
            if message.get('environ'):
                return message['environ']
            environ = message.get('wsgi_environ') or {}

    def own_endpoint(self):
        try:
            return self.pubsub.get_endpoint_by_ws_channel_id(self.channel_environ()['ws_channel_config'].id)
        except KeyError:
            raise Forbidden(self.cid, 'The channel has no pub/sub endpoint')

    def check_topic(self, topic_name):
        if not self.pubsub.is_allowed_sub_topic_by_endpoint_id(topic_name, self.own_endpoint().id):
            raise Forbidden(self.cid)

    def own_subscription(self, sub_key):
        """ The topic's object of a subscription. Another endpoint gets none."""
        try:
            sub = self.pubsub.get_subscription_by_sub_key(sub_key)
            if not sub:
                raise KeyError(sub_key)
            topic = self.pubsub.get_topic_by_sub_key(sub_key)
        except KeyError:
            raise NotFound(self.cid, UNKNOWN)
        if sub.config['endpoint_name'] != self.own_endpoint().name:
            raise Forbidden(self.cid)
        self.check_topic(topic.name)
        return topic

    def transact(self, work):
        """ Runs work(execute, session) in a transaction, again if it failed for a reason that passes."""
        for attempt in range(1, TRIES + 1):
            with closing(self.odb.session()) as session:
                def execute(statement, **values):
                    return session.execute(statement, dict(values, cluster=self.server.cluster_id))
                try:
                    out = work(execute, session)
                    session.commit()
                    return out
                except (DBAPIError, OSError) as e:
                    if not passes(e):
                        raise
                    error = e
            if attempt < TRIES:
                sleep(PAUSE * attempt)
        log.warning('connect: the database does not answer, cid:`%s`, e:`%s`', self.cid, error)
        raise InternalServerError(self.cid, 'The database does not answer at the moment; try again')

    def find(self, topic_name, name):
        """ The key of the endpoint's subscription of this name, and the text of its consumer; else two times None."""
        rows = self.transact(lambda execute, _: execute(FIND, endpoint=self.own_endpoint().id, topic=topic_name,
            client=self.client_id(name)).fetchall())
        return (rows[0][0], rows[0][2]) if rows else (None, None)

    def client_id(self, name):
        """ What the server has for the id of the client of a subscription by name. It makes a key of it."""
        return name if len(name) <= NAME_IN_KEY else '%s-%s' % (name[:NAME_IN_KEY], sha1(name.encode('utf8')).hexdigest())

    def in_all_processes(self, sub_key, action, **more):
        self.server.rpc.invoke_all(Release.name, dict(more, sub_key=sub_key, action=action))


class Describe(Companion, Service):
    """ Says what the gateway can do."""
    name = 'connect.describe'

    @staticmethod
    def after_add_to_store(_):
        for ability, name in MISSING:
            log.error('connect.describe: this version of Zato has no %s, so `%s` is not offered', name, ability)

    def handle(self):
        self.response.payload = {
            'name': 'zato-connect',
            'version': 1,
            'can': CAN,
            'limits': LIMITS,
            'services': sorted(set(SERVICES)),
            'database': self.odb.pool.engine.name,
            'log_level': logging.getLevelName(logging.getLogger('zato_pubsub').getEffectiveLevel()),
        }


class Subscribe(Companion, Service):
    """ Finds the endpoint's subscription of a name, or makes it, and gives it to the caller."""
    name = 'connect.subscribe'

    def handle(self):
        topic_name, name = self.required('topic_name', TEXT), self.field('name', NAME, '')
        shared, holder = self.field('shared', FLAG, False), self.field('holder', TEXT)
        if_idle = self.field('if_idle', number(0, 10 ** 9))
        if not name:
            raise BadRequest(self.cid, 'A subscription needs a name')
        self.check_topic(topic_name)
        try:
            self.pubsub.get_topic_by_name(topic_name)
        except KeyError:
            raise NotFound(self.cid, 'No such topic `%s`' % topic_name)
        lock = sha1(json.dumps([self.own_endpoint().id, topic_name, name]).encode('utf8')).hexdigest()
        with self.lock('connect.subscribe.' + lock):
            sub_key, text = self.find(topic_name, name)
            if not sub_key and holder:
                raise NotFound(self.cid, UNKNOWN)
            created = not sub_key
            if created:
                sub_key = self.create(topic_name, name)
            elif not self.may_take(json.loads(text), shared, holder, if_idle):
                raise Conflict(self.cid, TAKEN_OVER)
            new, given_back = self.hand_over(sub_key, name, shared)
        self.response.payload = {'sub_key': sub_key, 'holder': new, 'created': created, 'given_back': given_back}

    def may_take(self, now, shared, holder, if_idle):
        if not now['holder'] and (shared or not now['shared']):
            return True
        if holder and holder != now['holder']:
            return False
        return if_idle is None or time.time() - now['seen'] >= if_idle

    def create(self, topic_name, name):
        """ Subscribes the stock way, with the name for the id of the client, and no connection to deliver to."""
        environ = dict(self.channel_environ(), ext_client_id=self.client_id(name), web_socket=NoWebSocket())
        service = SimpleNamespace(wsgi_environ={'zato.request_ctx.async_msg': {'environ': environ}})
        sub_key = self.pubsub.subscribe(topic_name, use_current_wsx=True, unsub_on_wsx_close=False, service=service,
            cid=self.cid)
        # First here, where the announcement comes from.
        self.invoke(Release.name, {'sub_key': sub_key, 'action': 'created', 'seconds': KNOWN_SECONDS})
        self.in_all_processes(sub_key, 'created', seconds=ANNOUNCED_ELSEWHERE_SECONDS, known_by=self.server.pid)
        return sub_key

    def hand_over(self, sub_key, name, shared):
        """ Makes the caller the consumer. Unless the subscription is shared, what was handed out waits again."""
        holder, environ = None if shared else uuid4().hex, self.channel_environ()
        text = json.dumps({'holder': holder, 'shared': shared, 'name': name, 'seen': time.time(),
            'client_id': str(environ['ext_client_id']), 'client_name': str(environ['ext_client_name'])})

        def work(execute, _):
            execute(SET_CONSUMER, key=sub_key, new=text)
            return 0 if shared else execute(GIVE_BACK, key=sub_key).rowcount
        given_back = self.transact(work)
        Memory.of(sub_key).forget()
        return holder, given_back


class Fetch(Companion, Service):
    """ Hands messages out, and takes off the queue what the caller confirms."""
    name = 'connect.fetch'

    def handle(self):
        self.sub_key, self.holder = self.required('sub_key', TEXT), self.field('holder', TEXT)
        topic = self.own_subscription(self.sub_key)
        confirmed, returned, renewed = (self.field(name, IDS, ()) for name in ('confirmed', 'returned', 'renewed'))
        most = min(self.field('max', whole(0), ROWS), LIMITS['fetch_messages'])
        self.most_bytes, self.lease = self.field('max_bytes', whole(1)), self.field('lease', number(1, 3600), 30)
        release = self.field('release', FLAG, False)
        until = time.monotonic() + self.longest(self.field('wait', number(0, 10 ** 9), 0))
        self.consumer, self.memory = consumer_of(self.holder), Memory.of(self.sub_key)
        if self.memory.consumer != self.consumer:
            self.memory.forget()
            self.memory.consumer, self.memory.doubtful = self.consumer, []

        n = self.transact(lambda execute, _: self.each_row(execute, confirmed, CONFIRM)) if confirmed else 0
        self.touch()
        if returned or renewed or release or not most:
            self.transact(lambda execute, _: self.give_back(execute, returned, renewed, release))
        messages = self.wait(topic, most, until) if most and not release else []
        self.response.payload = {'messages': messages, 'confirmed': n}

    def longest(self, seconds):
        """ How long this fetch may wait: as long as the server does not miss a pong meanwhile."""
        interval = getattr(self.channel_environ()['ws_channel_config'], 'ping_interval', None) or 30
        return min(seconds, LIMITS['fetch_seconds'], interval + 3)

    def wait(self, topic, most, until):
        early = 0
        while True:
            seen = topic.gd_pub_time_max, self.memory.changes
            messages, now = self.take(most), time.monotonic()
            if messages or now >= until:
                return messages
            due = min(until, now + (EARLY_INTERVAL if early else POLL_INTERVAL))
            early = max(0, early - 1)
            while time.monotonic() < due:
                sleep(LOOK_INTERVAL)
                if (topic.gd_pub_time_max, self.memory.changes) != seen:
                    early = EARLY_POLLS
                    break
            if self.has_gone():
                return []
            self.touch()

    def has_gone(self):
        """ Whether the client closed the connection. The server does not notice while a service runs for it."""
        try:
            sock = plain_socket(fileno=self.channel_environ()['web_socket'].sock.fileno())
        except (AttributeError, OSError):
            return True
        try:
            return not sock.recv(1, MSG_PEEK | MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            sock.detach()

    def check_consumer(self, execute, session):
        text = execute(CONSUMER + self.locking(LOCK_CONSUMER), key=self.sub_key).scalar()
        if text is None:
            raise NotFound(self.cid, UNKNOWN)
        if not text.startswith(self.consumer):
            raise Conflict(self.cid, TAKEN_OVER)
        return text

    def locking(self, clause):
        return '' if self.odb.is_sqlite else clause

    def touch(self):
        """ Writes down, now and then, that the subscription is in use."""
        if time.monotonic() < self.memory.touched + TOUCH_INTERVAL:
            return

        def work(execute, session):
            now = time.time()
            known = json.loads(self.check_consumer(execute, session))
            known['seen'] = now
            execute(SET_CONSUMER + ' and substr(opaque1, 1, :length)=:consumer', key=self.sub_key,
                new=json.dumps(known), consumer=self.consumer, length=len(self.consumer))
            execute(TOUCH, key=self.sub_key, now=now)
        self.transact(work)
        self.memory.touched = time.monotonic()

    def each_row(self, execute, ids, statement, **values):
        """ Runs a statement for the rows of the subscription that have these messages."""
        n = 0
        for part in parts(ids):
            names = {'i%d' % i: id for i, id in enumerate(part)}
            found = execute(FIND_ROWS.format(ids=','.join(':' + name for name in names)), **names)
            rows = sorted(row[0] for row in found if row[1] == self.sub_key)
            if rows:
                n += execute(statement.format(ids=numbers(rows)), **values).rowcount
        return n

    def give_back(self, execute, returned, renewed, release):
        self.check_consumer(execute, None)
        if self.each_row(execute, returned, RETURN):
            self.memory.forget()
        if self.holder is None:
            self.each_row(execute, renewed, RENEW, until=time.time() + self.lease)
        elif release:
            text = json.loads(execute(CONSUMER, key=self.sub_key).scalar())
            execute(SET_CONSUMER, key=self.sub_key, new=json.dumps(dict(text, holder=None)))
            execute(GIVE_BACK, key=self.sub_key)
            self.memory.forget()

    def take(self, most):
        """ Hands messages out. Who fetches at the same time, in whatever process, gets other ones."""
        self.marked, self.memory.doubtful = self.memory.doubtful, []
        try:
            return self.transact(lambda execute, session: self.take_once(execute, session, most))
        except Exception:
            # The rows of a shared subscription have a lease, and may be somebody else's when this is called again.
            self.memory.doubtful = self.marked if self.holder else []
            raise

    def take_once(self, execute, session, most):
        shared = self.holder is None
        free = FREE[shared]
        while True:
            self.check_consumer(execute, session)
            if self.marked:
                for part in parts(self.marked):
                    execute(RETURN.format(ids=numbers(part)))
                self.memory.forget()
            now = time.time()
            ordered = self.memory.next(lambda statement, last: execute(statement.format(free=free), key=self.sub_key,
                last=last, now=now).fetchall(), most, self.most_bytes)
            if not ordered:
                return []
            try:
                out, rest = self.mark(execute, ordered, free, now, now + self.lease if shared else now)
            except BaseException:
                self.memory.put_back(ordered)
                raise
            self.memory.put_back(rest)
            if out:
                return out
            session.rollback()

    def mark(self, execute, ordered, free, now, until):
        """ Marks rows as handed out. Returns their messages, and the rows that have to be handed out later."""
        found = {}
        for part in parts(ordered):
            read = READ.format(free=free, ids=numbers(row[2] for row in part)) + self.locking(LOCK_ROWS)
            found.update((row[0], row) for row in execute(read, key=self.sub_key, now=now))
        rows = [row for row in ordered if row[2] in found]
        messages = [self.message(found[row[2]]) for row in rows]
        if self.most_bytes:
            messages = self.fitting(messages)
        taken = 0
        for part in parts(rows[:len(messages)]):
            taken += execute(TAKE.format(free=free, ids=numbers(row[2] for row in part)), key=self.sub_key, now=now,
                until=until, consumer=self.consumer, length=len(self.consumer)).rowcount
        if taken < len(messages):
            return [], rows
        self.marked = [row[2] for row in rows[:taken]]
        return messages, rows[taken:]

    def message(self, row):
        out = {name: str(value) if name.endswith('time') and value is not None else value
            for name, value in zip(NAMES, row[2:])}
        out['delivery_count'] = row[1] + 1
        return out

    def fitting(self, messages):
        """ As many messages as are not longer than the caller wants."""
        size = 0
        for n, message in enumerate(messages):
            text = json.dumps(message)
            # The server writes a slash as two characters.
            own = len(text) + text.count('/') + INDENTATION
            size += own
            if size > self.most_bytes:
                if not n:
                    raise Reportable(self.cid, 'Message %s has %d bytes, more than max_bytes' % (message['msg_id'], own), 413)
                return messages[:n]
        return messages


class Subscriptions(Companion, Service):
    """ Lists the endpoint's subscriptions by name."""
    name = 'connect.subscriptions'

    def handle(self):
        topic_name, name = self.field('topic_name', TEXT), self.field('name', TEXT)
        endpoint, out = self.own_endpoint().id, []
        for sub_key, topic, text in self.transact(lambda execute, _: execute(LIST, endpoint=endpoint).fetchall()):
            known = json.loads(text)
            if topic_name in (None, topic) and name in (None, known['name']):
                out.append(self.describe(sub_key, topic, known))
        self.response.payload = {'subscriptions': out}

    def describe(self, sub_key, topic, known):
        now, shared = time.time(), known['shared']
        waiting, unconfirmed = self.transact(lambda execute, _: [execute(COUNT + state[shared], key=sub_key,
            now=now).scalar() for state in (FREE, HELD)])
        consumer = {'client_id': known['client_id'], 'client_name': known['client_name']} if known['holder'] else None
        return {'topic_name': topic, 'name': known['name'], 'shared': shared, 'waiting': waiting,
            'unconfirmed': unconfirmed, 'consumer': consumer, 'idle': round(max(0.0, now - known['seen']), 3)}


class Unsubscribe(Companion, Service):
    """ Ends a subscription by name."""
    name = 'connect.unsubscribe'

    def handle(self):
        topic_name, name = self.required('topic_name', TEXT), self.required('name', TEXT)
        sub_key, _ = self.find(topic_name, name)
        if not sub_key:
            raise NotFound(self.cid, UNKNOWN)
        # First the processes forget it, then the database: a row for a subscription that is gone fails its publisher.
        self.in_all_processes(sub_key, 'ended', topic_name=topic_name)
        sleep(PUBLISHING_SECONDS)
        self.response.payload = {'waiting': self.transact(lambda execute, _: self.end(execute, sub_key))}

    def end(self, execute, sub_key):
        n = execute(COUNT + 'q.delivery_status in (2, 4)', key=sub_key, now=time.time()).scalar()
        for statement in END:
            execute(statement, key=sub_key)
        return n


class Release(Service):
    """ Invoked in each process of each server when a subscription changed. Not for clients."""
    name = 'connect.release'

    def handle(self):
        request = self.request.payload
        sub_key, action = request['sub_key'], request['action']
        if action == 'created' and request.get('known_by') != self.server.pid:
            self.wait_for(self.known, sub_key, KNOWN_SECONDS)
            if not self.forget_server(sub_key, request['seconds']):
                spawn(self.forget_server, sub_key, ANNOUNCED_SECONDS)
        elif action == 'resumed':
            self.release(sub_key, request['pub_client_id'])
        elif action == 'ended':
            self.pubsub.unsubscribe({request['topic_name']: [sub_key]})
            Memory.of(sub_key).forget()

    def wait_for(self, condition, sub_key, seconds):
        until = time.monotonic() + seconds
        while not condition(sub_key):
            if time.monotonic() > until:
                return False
            sleep(LOOK_INTERVAL)
        return True

    def known(self, sub_key):
        try:
            return self.pubsub.get_subscription_by_sub_key(sub_key)
        except KeyError:
            return None

    def forget_server(self, sub_key, seconds):
        """ The server announces in the background that a connection has the subscription. None has it. Until this is
        taken back, the server keeps messages for the connection in memory."""
        announced = self.wait_for(self.pubsub.get_sub_key_server, sub_key, seconds)
        if announced:
            self.pubsub.delete_sub_key_server(sub_key)
        return announced

    def release(self, sub_key, pub_client_id):
        """ Takes a subscription from older connections, so that their end does not end it for a newer one."""
        for tool in list(self.pubsub.pubsub_tools):
            if tool.has_sub_key(sub_key) and tool.parent.pub_client_id != pub_client_id:
                tool.remove_sub_key(sub_key)


class NoTool:
    """ What delivers to a connection, and here does not."""

    def add_sub_key(self, sub_key):
        pass

    def enqueue_gd_messages_by_sub_key(self, sub_key):
        pass

    def get_queue_depth(self, sub_key):
        return 0, 0


class NoWebSocket:
    """ Stands in for the connection when a subscription is made, so that nothing is pushed to it."""
    pubsub_tool = NoTool()

    def get_peer_info_dict(self):
        return {}

    def set_last_interaction_data(self, *args):
        pass


if 'resume' in CAN:
    from zato.server.service.internal.pubsub import ResumeWSXSubscription

    class Resume(Companion, ResumeWSXSubscription):
        """ Resumes a subscription that is pushed. The messages in memory come from all processes of the server, each
        with or without the element that the stock service expects."""
        name = 'connect.resume'

        def handle(self):
            sub_key = self.request.input.sub_key
            self.own_subscription(sub_key)
            self.in_all_processes(sub_key, 'resumed', pub_client_id=self.channel_environ()['pub_client_id'])
            super(Resume, self).handle()
            # After a restart, the server takes all subscriptions for those that end with their connection.
            sub = self.pubsub.get_subscription_by_sub_key(sub_key)
            if 'unsub_on_wsx_close' not in sub.config:
                sub.unsub_on_wsx_close = False

        def _parse_non_gd_messages(self, sub_key_list, messages_list):
            out = {}
            for item in messages_list or []:
                for wrapper in 'response', 'messages':
                    if isinstance(item, dict):
                        item = item.get(wrapper, item)
                if isinstance(item, list) and item:
                    out.setdefault(sub_key_list[0], []).extend(item)
                elif isinstance(item, dict):
                    for sub_key, messages in item.items():
                        if sub_key in sub_key_list and messages:
                            out.setdefault(sub_key, []).extend(messages)
            # The caller expects no empty lists.
            return out


class Falsy:
    """ Stands in for a request that Python takes for false: instead of such a one the server uses other arguments."""


class Gateway(Companion, WebSocketsGateway):
    """ Invokes services for the clients of a channel."""
    name = 'connect.gateway'
    own = [Describe.name]
    own += [Subscribe.name, Fetch.name] if 'fetch' in CAN else []
    own += [Subscriptions.name, Unsubscribe.name] if 'subscriptions' in CAN else []
    routes = {RESUME: 'connect.resume'} if 'resume' in CAN else {}
    services_allowed = SERVICES + own + list(routes.values())

    class SimpleIO(WebSocketsGateway.SimpleIO):
        # The stock gateway reads cid and does not declare it.
        input_optional = AsIs('request'), 'cid'

    def handle(self):
        service = self.request.input.service
        if service == UNSUBSCRIBE:
            self.check_unsubscribe(self.request.input.request)
        self.request.input.service = self.routes.get(service, service)
        try:
            super(Gateway, self).handle()
        except Reportable as e:
            # What is no text may not be sent, and then the client gets no answer.
            e.msg = e.msg if isinstance(e.msg, str) else str(e.msg)
            raise
        except Timeout as e:
            # The server does not catch this one.
            raise InternalServerError(self.cid, 'The service timed out: %s' % e)

    def check_unsubscribe(self, request):
        """ The stock service lets everybody that knows the key end a subscription."""
        sub_key = request.get('sub_key') if isinstance(request, dict) else None
        try:
            sub = self.pubsub.get_subscription_by_sub_key(sub_key) if sub_key else None
        except KeyError:
            return
        if sub and sub.config['endpoint_name'] != self.own_endpoint().name:
            raise Forbidden(self.cid)

    def invoke(self, service, request, **kwargs):
        response = super(Gateway, self).invoke(service, request or Falsy, **kwargs)
        if service not in self.own:
            self.check_response(response)
        return response

    def update_handle(self, set_response_func, service, request, *args, **kwargs):
        return super(Gateway, self).update_handle(set_response_func, service, '' if request is Falsy else request,
            *args, **kwargs)

    def check_response(self, response):
        """ The server sends no answer at all if it cannot write a service's response."""
        dumps = getattr(self.channel_environ()['web_socket'], '_json_dump_func', None)
        if dumps and not hasattr(response, 'getvalue'):
            try:
                text = dumps(response)
                if 'NaN' in text or 'Infinity' in text:
                    json.dumps(response, default=str, allow_nan=False)
            except Exception as e:
                raise InternalServerError(self.cid, 'The response cannot be sent as JSON: %s' % e)
