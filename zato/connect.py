# -*- coding: utf-8 -*-
"""Services for Zato 3.2 and 3.3 that zato-connect uses, and the gateway that its clients connect to. Edit SERVICES,
copy this file to the server's hot-deployment folder, and mount a WebSocket channel on connect.gateway.
"""

# What clients may invoke. Services for topics, and those below, are always allowed.
SERVICES = [
    'zato.ping',
]

# stdlib
import gc
import json
import logging
import time
from collections import namedtuple
from contextlib import closing
from copy import copy
from functools import cached_property, partial
from hashlib import sha1
from importlib import import_module
from select import POLLIN, POLLRDHUP
from socket import IPPROTO_TCP, TCP_NODELAY
from traceback import format_exc
from types import SimpleNamespace
from uuid import uuid4
from weakref import ref

# gevent
from gevent import GreenletExit, Timeout, joinall, sleep, spawn
from gevent.lock import RLock
from gevent.monkey import get_original

# ciso8601
from ciso8601 import parse_datetime_as_naive

# SQLAlchemy
from sqlalchemy.exc import IntegrityError, StatementError

# Zato
from zato.common.api import CHANNEL, DATA_FORMAT
from zato.common.exception import BadRequest, Conflict, Forbidden, Inactive, InternalServerError, NotFound, Reportable, \
    ServiceUnavailable
from zato.server.service import AsIs, PatternsFacade, Service
from zato.server.service.internal.helpers import WebSocketsGateway

# Names inside the server that an ability needs: ability, module, class, names. They are looked up when this file is
# deployed. If one is missing, the server's log says so, and connect.describe does not offer the ability.
LEANS_ON = [
    ('resume', 'zato.server.service.internal.pubsub', 'ResumeWSXSubscription', 'handle _parse_non_gd_messages'),
    ('resume', 'zato.server.pubsub', 'PubSub', 'get_subscription_by_sub_key pubsub_tools'),
    ('resume', 'zato.server.pubsub.delivery.tool', 'PubSubTool', 'has_sub_key remove_sub_key parent'),
    ('resume', 'zato.server.connection.server.rpc.api', 'ServerRPC', 'invoke_all'),
    ('announcements', 'zato.server.pubsub', 'PubSub', 'get_subscription_by_sub_key set_sub_key_server'),
    ('announcements', 'zato.server.pubsub.delivery.tool', 'PubSubTool', 'sub_keys'),
    ('announcements', 'zato.server.connection.server.rpc.api', 'ServerRPC', 'invoke_all'),
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
    ('publish-list', 'zato.server.pubsub.publisher', 'Publisher', 'get_messages_from_data run_from_dict pubsub server '
        'marshal_api service_invoke_func new_session_func'),
    ('publish-list', 'zato.server.pubsub', 'PubSub', 'impl_publisher get_subscriptions_by_topic get_topic_by_name '
        'is_allowed_pub_topic_by_endpoint_id get_endpoint_by_ws_channel_id'),
    ('publish-list', 'zato.common.odb.model', 'PubSubMessage', 'pub_msg_id topic_id'),
    ('publish-depth', 'zato.server.pubsub', 'PubSub', 'get_non_gd_topic_depth store_in_ram lock'),
    ('publish-depth', 'zato.server.pubsub.model', 'Topic', 'max_depth_non_gd'),
    ('invoke-list', 'zato.server.service', 'Service', 'update_handle set_response_data'),
    ('invoke-list', 'zato.server.service.store', 'ServiceStore', 'new_instance name_to_impl_name'),
    ('invoke-list', 'zato.server.service.reqresp', 'Request', 'service'),
    ('unmask', 'zato.server.ext.ws4py.framing', 'Frame', 'unmask masking_key'),
    ('unmask', 'wsaccel.xormask', 'XorMaskerSimple', 'process'),
]

# Abilities in the order of connect.describe, each with those that it includes. Clients are not told of `announcements`,
# with which a stock subscription receives from its first moment, and of `unmask`, with which the server reads faster.
ABILITIES = {
    'subscribe-durable': (),
    'resume': (),
    'fetch': (),
    'fetch-in-memory': ('fetch',),
    'subscriptions': ('fetch',),
    'publish-list': (),
    'publish-known': ('publish-list',),
    'publish-depth': ('publish-list',),
    'invoke-list': (),
}

LIMITS = {
    'fetch_messages': 2000,
    'fetch_seconds': 20,
    'ids': 2000,
    'publish_messages': 2000,
    'invoke_requests': 1000,
    'invoke_seconds': 20,
}

# Services that run at once for one call of connect.invoke, at most.
PARALLEL = 50

# States of a row of the queue. The server knows the second one and does not use it for WebSockets.
WAITING, UNCONFIRMED = 2, 4

# Rows a statement.
ROWS = 500

# The driver for PostgreSQL sends at most this number of variables with a statement. The others say how many a message
# has, and a row of a subscriber's queue.
VARIABLES, MESSAGE_VARIABLES, SUBSCRIBER_VARIABLES = 32000, 26, 8

# What each row of an INSERT has to have, with the database's own defaults.
COLUMNS = {'priority': 5, 'pub_correl_id': None, 'in_reply_to': None, 'ext_pub_time': None, 'group_id': None,
    'user_ctx': None}

# Codes of an id that is there already, and of a subscription that has just ended.
REPEATED, ENDED = '23505', '23503'

# How often a statement that failed for a reason that passes is repeated, and the pause after the first time.
TRIES, PAUSE = 8, 0.02

# How many times a fetch looks for messages that nobody else takes meanwhile.
ROUNDS = 100

# A waiting fetch looks this often at what its process knows, and asks the database.
LOOK_INTERVAL, POLL_INTERVAL = 0.02, 0.5

# A publication that its process knows may not be in the database yet. The next questions come sooner.
EARLY_POLLS, EARLY_INTERVAL = 3, 0.06

# A fetch is written down this often, for stand-bys, and so that Zato's cleanup spares the subscription.
TOUCH_INTERVAL = 3.0

# A process keeps the order of this number of rows of a subscription. It keeps the list for a multiple of the time it
# took to sort them, between two limits.
ORDERED_ROWS, ORDER_FACTOR, ORDER_SECONDS = 10000, 20, (1.0, 10.0)

# PostgreSQL numbers a row when it is written, and shows it when its transaction ends. Meanwhile, it can show rows with
# higher numbers. If a transaction takes no longer than this, no message overtakes an earlier one of its publisher.
LATE_SECONDS = 5.0

# What a process remembers of a subscription that nobody fetches is dropped after this time.
MEMORY_SECONDS = 600.0

# How long a process waits to hear of a subscription that was made, and of a connection that is said to have it. Other
# processes may hear of the connection too early, and then never again.
KNOWN_SECONDS, ANNOUNCED_SECONDS, ANNOUNCED_ELSEWHERE_SECONDS = 3.0, 30.0, 0.3

# How long publishers that read the subscriptions of a topic just before one ended have to finish.
PUBLISHING_SECONDS = 0.2

# A longer name is shortened where the server makes a key of it.
NAME_IN_KEY = 100

# How much data a fetch hands out if the client sets no bound.
MOST_BYTES = 32 * 1024 * 1024

# The server indents what it sends: the spaces of a message of a fetch, and some more.
INDENTATION = 400

# The same for each line of a response in a list, and the other fields of the response.
LINE_INDENTATION, RESPONSE_FIELDS = 24, 200

# How often connect.invoke looks whether its client has gone.
GONE_INTERVAL = 0.01

# A longer error of a request of a list is shortened.
ERROR_CHARACTERS = 4000

TAKEN_OVER = 'Another consumer has this subscription now'
UNKNOWN = 'No such subscription'

RESUME = 'zato.pubsub.resume-wsx-subscription'
SUBSCRIBING = [RESUME, 'zato.pubsub.pubapi.subscribe-wsx', 'zato.pubsub.subscription.create-wsx-subscription']
UNSUBSCRIBE = 'zato.pubsub.pubapi.unsubscribe'

# Clients ask it whether the server still pushes the messages of a subscription.
DELIVERY = 'zato.pubsub.delivery.get-server-pid-for-sub-key'

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
           m.pub_time, m.ext_pub_time, m.expiration, m.expiration_time, m.mime_type''' + OF_KEY + '''{free}
          and q.id in ({ids})'''

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
CHANGE_CONSUMER = 'update web_socket_sub set opaque1=:new where %s' % IS_CONSUMER

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

KNOWN = 'select pub_msg_id, topic_id from pubsub_message where pub_msg_id in ({ids})'

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
LACKING = {ability for ability, _ in MISSING}
CAN = [ability for ability, included in ABILITIES.items() if not LACKING & {ability, *included}]


def unmask(frame, data):
    """ The same as Frame.unmask, which goes through the bytes in a loop of Python. For 1 MiB, that takes the process
    58 ms, in which it serves nobody else, and this takes 1.2 ms."""
    return bytearray(XorMaskerSimple(frame.masking_key).process(bytes(data)))


if 'unmask' not in LACKING:
    XorMaskerSimple = import_module('wsaccel.xormask').XorMaskerSimple
    import_module('zato.server.ext.ws4py.framing').Frame.unmask = unmask

Kind = namedtuple('Kind', 'description ok')


def storable(value):
    """ Whether all databases can store the text. PostgreSQL stores no NUL, and none stores half of a surrogate pair."""
    try:
        return '\0' not in value and value.encode('utf8') is not None
    except UnicodeEncodeError:
        return False


def text_of(value):
    """ The text of an error, or the name of its type if it has none."""
    try:
        return str(value)
    except Exception:
        return type(value).__name__


def status_of(error):
    """ The status of a service's error. One that clients cannot read, or take for a success, becomes 500."""
    status = getattr(error, 'status', None)
    return int(status) if isinstance(status, int) and 300 <= status < 600 else 500


def refuse_constant(name):
    raise ValueError('Out of range float values are not JSON compliant: %s' % name)


# Types of values that do not change.
CONSTANT = {str, int, float, bool, type(None)}

# Reads no NaN or Infinity, which the server writes and no client can read.
DECODER = json.JSONDecoder(parse_constant=refuse_constant)


def number(low, high):
    return Kind('a number from %g to %g' % (low, high),
        lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and low <= v <= high)


def whole(low):
    return Kind('a whole number, at least %d' % low,
        lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= low)


TEXT = Kind('a text', lambda v: isinstance(v, str) and storable(v))
NAME = Kind('a text of 1 to 200 characters', lambda v: isinstance(v, str) and len(v) <= 200 and storable(v))
FLAG = Kind('true or false', lambda v: isinstance(v, bool))
def items(what, most):
    return Kind('a list of at most %d %s' % (most, what), lambda v: isinstance(v, (list, tuple)) and len(v) <= most)


LIST_OF_IDS = items('ids', LIMITS['ids'])
IDS = Kind(LIST_OF_IDS.description, lambda v: LIST_OF_IDS.ok(v) and all(TEXT.ok(id) for id in v))


def is_time(value):
    try:
        return isinstance(value, str) and (not value or bool(parse_datetime_as_naive(value)))
    except ValueError:
        return False


# The fields of a message that is published, but its data.
ID = Kind('a text of at most 200 characters', lambda v: isinstance(v, str) and len(v) <= 200 and storable(v))
PUBLICATION = {
    'msg_id': ID,
    'correl_id': ID,
    'in_reply_to': ID,
    'ext_client_id': ID,
    'mime_type': ID,
    'ext_pub_time': Kind('a time', is_time),
    'priority': Kind('a whole number from 1 to 9', lambda v: whole(1).ok(v) and v <= 9),
    'expiration': Kind('a whole number of seconds', lambda v: whole(0).ok(v) and v < 2 ** 53),
    'has_gd': FLAG,
}


def parts(rows):
    for i in range(0, len(rows), ROWS):
        yield rows[i:i + ROWS]


def numbers(ids):
    """ Row numbers as part of a statement."""
    return ','.join(str(int(id)) for id in ids)


def named(ids):
    """ Texts as part of a statement, and their values."""
    values = {'i%d' % i: id for i, id in enumerate(ids)}
    return ','.join(':' + name for name in values), values


def cause(e):
    """ The error of the driver."""
    while getattr(e, 'orig', None) is not None:
        e = e.orig
    return e


def code(e):
    """ PostgreSQL's code of an error. Zato's driver makes an OperationalError of all, with an object that has the
    code, except when the connection failed."""
    details = cause(e).args[0] if cause(e).args else None
    if isinstance(details, dict):
        return details.get('C', '')
    return REPEATED if isinstance(e, IntegrityError) else None


def passes(e):
    """ Whether an error of the database is likely not to happen again soon: a deadlock, a lock, or no connection."""
    if not isinstance(e, StatementError):
        return True
    if code(e) is not None:
        return code(e)[:2] in ('08', '40', '53', '55', '57')
    if type(cause(e)).__module__.startswith('pg8000'):
        return True
    return getattr(e, 'connection_invalidated', False) or any(word in str(cause(e)) for word in ('locked', 'onnect'))


def send_at_once(session):
    """ Zato's driver for PostgreSQL sends a statement in pieces. One waits 40 ms for a delayed acknowledgement."""
    sock = getattr(session.connection().connection, '_usock', None)
    if sock:
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)


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
        # All rows up to the last one are known, and these behind it, up to the newest one. `settling` has pairs of a
        # time and a number up to which no unknown row appears after that time.
        self.late, self.last, self.known, self.newest, self.settling = 0.0, 0, set(), 0, []
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
        self.rows, self.whole, self.until = [], True, 0.0
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
                if n and size > most_bytes:
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
        newest = max(row[2] for row in self.rows) if self.rows else 0
        if not self.whole:
            newest = query(LAST, 0)[0][0] or newest
        if not self.late:
            self.last = self.newest = 0 # SQLite uses numbers again
        self.remember(self.rows, newest, start)
        now = time.monotonic()
        self.until = now + min(max((now - start) * ORDER_FACTOR, ORDER_SECONDS[0]), ORDER_SECONDS[1])

    def merge(self, query):
        """ Adds what was published since. Rows behind the end of an incomplete list come with the next one."""
        start = time.monotonic()
        new = [row for row in self.ask(query, self.last) if row[2] not in self.known]
        if new:
            self.rows = sorted(self.rows + [row for row in new if self.whole or row < self.rows[-1]])
        self.remember(new, max((row[2] for row in new), default=0), start)

    def remember(self, rows, newest, asked):
        """ Remembers the numbers of rows that were found by asking at a time."""
        self.known.update(row[2] for row in rows)
        if newest > self.newest:
            self.newest = newest
            self.settling.append((time.monotonic() + self.late, newest))
        settled = [number for at, number in self.settling if at <= asked or not self.late]
        if settled:
            self.last, self.settling = settled[-1], self.settling[len(settled):]
            self.known = {number for number in self.known if number > self.last}

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

    def longest(self, seconds):
        """ How long this call may last: as long as the server does not miss a pong meanwhile."""
        interval = getattr(self.channel_environ()['ws_channel_config'], 'ping_interval', None) or 30
        return min(seconds, interval + 3)

    def has_gone(self):
        """ Whether the client closed the connection, or its sending side. The server does not notice while a service
        runs for it. What the client sent before, such as a close frame, is still unread then."""
        return self.connection_has(POLLRDHUP)

    def has_spoken(self):
        """ Whether the client has gone, or sent something that is still unread."""
        return self.connection_has(POLLRDHUP | POLLIN)

    def connection_has(self, events):
        connection = getattr(self.channel_environ()['web_socket'], 'sock', self)
        if connection is self:
            return False
        try:
            look = get_original('select', 'poll')()
            look.register(connection.fileno(), events)
            return bool(look.poll(0))
        except (AttributeError, OSError, ValueError):
            return True

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
        self.check_owner(sub)
        self.check_topic(topic.name)
        return topic

    def check_owner(self, sub):
        if sub.config['endpoint_name'] != self.own_endpoint().name:
            raise Forbidden(self.cid)

    def transact(self, work):
        """ Runs work(execute, session) in a transaction, again if it failed for a reason that passes."""
        for attempt in range(1, TRIES + 1):
            with closing(self.odb.session()) as session:
                def execute(statement, **values):
                    return session.execute(statement, dict(values, cluster=self.server.cluster_id))
                try:
                    send_at_once(session)
                    out = work(execute, session)
                    session.commit()
                    return out
                except (StatementError, OSError) as e:
                    if not passes(e):
                        raise
                    error = e
            if attempt < TRIES:
                sleep(PAUSE * attempt)
        self.no_answer(error)

    def no_answer(self, error):
        log.warning('connect: the database does not answer, cid:`%s`, e:`%s`', self.cid, error)
        raise InternalServerError(self.cid, 'The database does not answer at the moment; try again')

    def find(self, topic_name, name):
        """ The key of the endpoint's subscription of this name, and the text of its consumer; else two times None."""
        rows = self.transact(lambda execute, _: execute(FIND, endpoint=self.own_endpoint().id, topic=topic_name,
            client=self.client_id(name)).fetchall())
        return (rows[0][0], rows[0][2]) if rows else (None, None)

    def client_id(self, name):
        """ What the server has for the id of the client of a subscription by name. It makes a key of it."""
        if len(name) <= NAME_IN_KEY:
            return name
        return '%s-%s' % (name[:NAME_IN_KEY], sha1(name.encode('utf8')).hexdigest())

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
        self.spare_garbage_collector()
        self.response.payload = {
            'name': 'zato-connect',
            'version': 1,
            'can': CAN,
            'limits': LIMITS,
            'services': sorted(set(SERVICES)),
            'database': self.odb.pool.engine.name,
            'log_level': logging.getLevelName(logging.getLogger('zato_pubsub').getEffectiveLevel()),
        }

    def spare_garbage_collector(self):
        """ A full garbage collection looks at half a million objects that the server made when it started. The process
        does nothing else meanwhile, which is a third of a second. Requests that run in parallel cause many collections.
        What exists when the first client asks stays as long as the process, so collections need not look at it."""
        if not gc.get_freeze_count():
            gc.collect()
            gc.freeze()


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

    def may_take(self, consumer, shared, holder, if_idle):
        """ Whether the caller may have a subscription that has this consumer."""
        if not consumer['holder'] and (shared or not consumer['shared']):
            return True
        if holder and holder != consumer['holder']:
            return False
        return if_idle is None or time.time() - consumer['seen'] >= if_idle

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
        until = time.monotonic() + self.longest(min(self.field('wait', number(0, 10 ** 9), 0), LIMITS['fetch_seconds']))
        self.consumer, self.memory = consumer_of(self.holder), Memory.of(self.sub_key)
        # SQLite has one writer at a time.
        self.memory.late = 0.0 if self.odb.is_sqlite else LATE_SECONDS
        if self.memory.consumer != self.consumer:
            self.memory.forget()
            self.memory.consumer, self.memory.doubtful = self.consumer, []

        n = self.transact(lambda execute, _: self.each_row(execute, confirmed, CONFIRM)) if confirmed else 0
        self.touch()
        if returned or renewed or release or not most:
            self.transact(lambda execute, _: self.give_back(execute, returned, renewed, release))
        messages = self.wait(topic, most, until) if most and not release else []
        self.response.payload = {'messages': messages, 'confirmed': n}

    def wait(self, topic, most, until):
        early = 0
        while True:
            if self.has_gone():
                return []
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
                # A ping is enough to end a wait, so that the connection is free for the next call.
                if self.has_spoken():
                    return []
            self.touch()

    def check_consumer(self, execute, lock=LOCK_CONSUMER):
        """ Returns what is known of the consumer, which stays it until the end of the transaction."""
        text = execute(CONSUMER + self.locking(lock), key=self.sub_key).scalar()
        if text is None:
            raise NotFound(self.cid, UNKNOWN)
        if not text.startswith(self.consumer):
            raise Conflict(self.cid, TAKEN_OVER)
        return json.loads(text)

    def change_consumer(self, execute, **changes):
        """ Changes what is known of the consumer. With a lock for reading first, two of these would lock each other."""
        known = self.check_consumer(execute, lock='')
        if not execute(CHANGE_CONSUMER, key=self.sub_key, new=json.dumps(dict(known, **changes)),
                consumer=self.consumer, length=len(self.consumer)).rowcount:
            raise Conflict(self.cid, TAKEN_OVER)

    def locking(self, clause):
        return '' if self.odb.is_sqlite else clause

    def touch(self):
        """ Writes down, now and then, that the subscription is in use."""
        if time.monotonic() < self.memory.touched + TOUCH_INTERVAL:
            return

        def work(execute, _):
            now = time.time()
            self.change_consumer(execute, seen=now)
            execute(TOUCH, key=self.sub_key, now=now)
        self.transact(work)
        self.memory.touched = time.monotonic()

    def each_row(self, execute, ids, statement, **values):
        """ Runs a statement for the rows of the subscription that have these messages."""
        n = 0
        for part in parts(ids):
            names, values_of_names = named(part)
            found = execute(FIND_ROWS.format(ids=names), **values_of_names)
            rows = sorted(row[0] for row in found if row[1] == self.sub_key)
            if rows:
                n += execute(statement.format(ids=numbers(rows)), **values).rowcount
        return n

    def give_back(self, execute, returned, renewed, release):
        if release and self.holder:
            self.change_consumer(execute, holder=None)
            execute(GIVE_BACK, key=self.sub_key)
            self.memory.forget()
            return
        self.check_consumer(execute)
        if self.each_row(execute, returned, RETURN):
            self.memory.forget()
        if not self.holder:
            self.each_row(execute, renewed, RENEW, until=time.time() + self.lease)

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
        for _ in range(ROUNDS):
            self.check_consumer(execute)
            if self.marked:
                for part in parts(self.marked):
                    execute(RETURN.format(ids=numbers(part)))
                self.memory.forget()
            now = time.time()
            ordered = self.memory.next(lambda statement, last: execute(statement.format(free=free), key=self.sub_key,
                last=last, now=now).fetchall(), most, self.most_bytes or MOST_BYTES)
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
        return []

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
                    text = 'Message %s has %d bytes, more than max_bytes' % (message['msg_id'], own)
                    raise Reportable(self.cid, text, 413)
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
        elif action == 'announced' and self.wait_for(self.known, sub_key, KNOWN_SECONDS):
            self.pubsub.set_sub_key_server(dict(request['config']))
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
            # An unknown key is an internal error, as clients of the stock service expect.
            self.check_owner(self.pubsub.get_subscription_by_sub_key(sub_key))
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


if 'publish-list' in CAN:
    from zato.server.pubsub.publisher import Publisher

    class ListPublisher(Publisher):
        """ The server's publisher, which makes the rows of one INSERT alike and orders them."""

        def get_messages_from_data(self, **kwargs):
            # The server guarantees all messages then, and writes a line to its log for each.
            if kwargs['has_no_sk_server']:
                kwargs.update(has_no_sk_server=False, data_list=[dict(m, has_gd=True) for m in kwargs['data_list']])
            self.ids, guaranteed, in_memory = super(ListPublisher, self).get_messages_from_data(**kwargs)
            if not self.ids:
                raise NothingToPublish()
            for messages in guaranteed, in_memory:
                for message in messages:
                    for name, value in COLUMNS.items():
                        message.setdefault(name, value)
                # Equal times are no order for PostgreSQL. The server compares both time and priority, so times that
                # contradict the priorities are none for it.
                for rank, message in enumerate(sorted(messages, key=lambda message: -(message['priority'] or 5))):
                    message['pub_time'] = '{:.7f}'.format(float(message['pub_time']) + rank / 1000000.0)
            return self.ids, guaranteed, in_memory

        def publish(self, cid, data):
            """ Returns the ids of the messages that are published, or that are too many in memory. The server names
            only one if there is one in memory among others, and nobody is subscribed."""
            try:
                return () if self.run_from_dict(cid, data) is None else self.ids
            except NothingToPublish:
                return ()


class NothingToPublish(Exception):
    """ The topic's hook skipped all messages. The server has no answer to that."""


class BoundedPubSub:
    """ The server's PubSub, which lets a topic have as many messages in memory as it may. Of more, the server loses
    all that it gets at once, says nothing, and may then deliver none until the topic is cleared."""

    def __init__(self, pubsub, topic):
        self.pubsub, self.topic = pubsub, topic
        # The ids of the messages that were too many, and how many the topic had then.
        self.full, self.depth = set(), None

    def __getattr__(self, name):
        return getattr(self.pubsub, name)

    def store_in_ram(self, cid, topic_id, topic_name, sub_keys, messages, *args):
        # The server needs this lock to store messages, so nothing comes between.
        with self.pubsub.lock:
            depth = self.pubsub.get_non_gd_topic_depth(topic_name)
            # None overtakes one that was too many.
            room = 0 if self.full else max(0, self.topic.max_depth_non_gd - depth)
            if len(messages) > room:
                self.full.update(message['pub_msg_id'] for message in messages[room:])
                self.depth = depth + room if self.depth is None else self.depth
            if room:
                self.pubsub.store_in_ram(cid, topic_id, topic_name, sub_keys, messages[:room], *args)


class Requests:
    """ Stands in for what makes the server's requests. That one looks at the type of each field of each message, which
    takes half of the time for a list. Here the fields were checked before."""

    # Of a request without fields. They are the same for the life of the process.
    defaults = None

    def __init__(self, marshal_api):
        self.marshal_api = marshal_api

    def from_dict(self, service, fields, model, extra):
        if not Requests.defaults:
            Requests.defaults = vars(self.marshal_api.from_dict(service, {}, model, extra=extra))
        request = model()
        for name, value in self.defaults.items():
            setattr(request, name, value.copy() if isinstance(value, (dict, list)) else value)
        for name, value in dict(fields, **extra).items():
            setattr(request, name, value)
        return request


class RowByRow:
    """ A session that runs an INSERT of many rows as one of one row, many times. This is for SQLite, where it takes no
    round trips, and spares SQLAlchemy a statement with thousands of variables."""

    def __init__(self, session):
        self.session = session

    def __getattr__(self, name):
        return getattr(self.session, name)

    def execute(self, statement, *args):
        if getattr(statement, '_has_multi_parameters', False):
            return self.session.execute(statement.table.insert(), statement.parameters)
        return self.session.execute(statement, *args)


class Publish(Companion, Service):
    """ Publishes a list of messages. The client's ids make it safe to repeat."""
    name = 'connect.publish'

    def handle(self):
        topic_name = self.required('topic_name', TEXT)
        messages = self.required('messages', items('messages', LIMITS['publish_messages']))
        endpoint = self.own_endpoint()
        if not self.pubsub.is_allowed_pub_topic_by_endpoint_id(topic_name, endpoint.id):
            raise Forbidden(self.cid)
        try:
            self.topic = self.pubsub.get_topic_by_name(topic_name)
        except KeyError:
            raise NotFound(self.cid, 'No such topic `%s`' % topic_name)
        if not self.topic.is_active:
            raise ServiceUnavailable(self.cid, 'Topic is inactive `%s`' % topic_name)
        self.bounded = BoundedPubSub(self.pubsub, self.topic)

        answers, good = [None] * len(messages), []
        self.ids_of_client = seen = set()
        for i, message in enumerate(messages):
            id = message.get('msg_id') if isinstance(message, dict) else None
            error = self.fault(message)
            if error:
                answers[i] = {'status': 'refused', 'error': error}
                if isinstance(id, str):
                    answers[i]['msg_id'] = id
            elif id and id in seen:
                answers[i] = {'msg_id': id, 'status': 'known'}
            else:
                seen.add(id)
                good.append((i, self.publication(message)))
        for start in range(0, len(good), self.rows()):
            part = good[start:start + self.rows()]
            statuses = self.publish(endpoint, [message for _, message in part])
            for i, message in part:
                answers[i] = self.answer(messages[i], message['msg_id'], statuses)
        self.response.payload = {'messages': answers}
        if self.bounded.full:
            self.response.payload.update(depth=self.bounded.depth, max_depth=self.topic.max_depth_non_gd)

    def fault(self, message):
        """ Why a message is refused, or None."""
        if not isinstance(message, dict):
            return 'not an object'
        data = message.get('data')
        if not data or not isinstance(data, str):
            return 'data is not a text' if data else 'no data'
        if not storable(data):
            return 'data has a character that cannot be stored'
        for name, kind in PUBLICATION.items():
            if message.get(name) is not None and not kind.ok(message[name]):
                return 'bad ' + name
        return None

    def publication(self, message):
        """ The message for the server's publisher. Each has an id, so that none is stored twice."""
        out = {name: message[name] for name in PUBLICATION if message.get(name) is not None}
        out['msg_id'] = out.get('msg_id') or 'zpsm' + uuid4().hex[:24]
        out.setdefault('correl_id', self.cid)
        return dict(out, data=message['data'])

    def answer(self, message, id, statuses):
        status = statuses[id]
        if status == 'refused':
            return {'status': status, 'error': 'msg_id is of a message of another topic', 'msg_id': id}
        # Without an id of the client, what is known is of this call.
        known_by_client = message.get('msg_id')
        if status == 'known' and not known_by_client:
            status = 'published'
        return {'msg_id': (known_by_client or '') if status in ('dropped', 'full') else id, 'status': status}

    def rows(self):
        """ How many messages an INSERT may have."""
        subscribers = len(self.pubsub.get_subscriptions_by_topic(self.topic.name))
        return max(1, min(ROWS, VARIABLES // max(MESSAGE_VARIABLES, SUBSCRIBER_VARIABLES * subscribers)))

    def publish(self, endpoint, messages):
        """ Publishes what is not known. Returns the status of each id."""
        for attempt in range(1, TRIES + 1):
            # An id that is not the client's can be known only if this call has published it.
            ids = [message['msg_id'] for message in messages if attempt > 1 or message['msg_id'] in self.ids_of_client]
            statuses = self.known(ids) if ids else {}
            todo = [message for message in messages if message['msg_id'] not in statuses]
            if not todo:
                return statuses
            try:
                published = set(self.publisher().publish(self.cid, {'topic_name': self.topic.name, 'data_list': todo,
                    'endpoint_id': endpoint.id, 'ws_channel_id': self.channel_environ()['ws_channel_config'].id}))
            except StatementError as e:
                if not (passes(e) or code(e) in (REPEATED, ENDED)):
                    raise
                error = e
                sleep(PAUSE * attempt)
                continue
            for message in todo:
                id = message['msg_id']
                statuses[id] = 'full' if id in self.bounded.full else 'published' if id in published else 'dropped'
            return statuses
        self.no_answer(error)

    def known(self, ids):
        names, values = named(ids)
        found = self.transact(lambda execute, _: execute(KNOWN.format(ids=names), **values).fetchall())
        return {id: 'known' if topic_id == self.topic.id else 'refused' for id, topic_id in found}

    def publisher(self):
        own = self.pubsub.impl_publisher

        def new_session():
            session = own.new_session_func()
            send_at_once(session)
            return RowByRow(session) if self.odb.is_sqlite else session
        pubsub = self.bounded if 'publish-depth' in CAN else own.pubsub
        return ListPublisher(pubsub=pubsub, server=own.server, marshal_api=Requests(own.marshal_api),
            service_invoke_func=own.service_invoke_func, new_session_func=new_session)


class Invoker(Companion):
    """ Invokes services so that there is always a response that can be sent."""

    # Services whose responses need no check.
    own = []

    def invoke(self, name, request, **kwargs):
        response = self.run(name, request, **kwargs)
        return response if name in self.own or hasattr(response, 'getvalue') else self.written(response)[1]

    def run(self, name, request, wsgi_environ, cid, **kwargs):
        """ The same as Service.invoke, which replaces a request that Python takes for false by its other arguments."""
        store = self.server.service_store
        service, is_active = store.new_instance(store.name_to_impl_name[name])
        if not is_active:
            raise Inactive(name)
        in_use, own_request = ref(service), service.request
        response = self.update_handle(service.set_response_data, service, request or '', CHANNEL.INVOKE,
            DATA_FORMAT.DICT, '', self.server, self.broker_client, self._worker_store, cid, {}, wsgi_environ=wsgi_environ,
            serialize=False, as_bunch=False, **kwargs)
        # A service refers to its request and its patterns, and they to it. Without that it is freed here and now, and
        # not by the garbage collector, which takes a seventh of the time of a list of quick requests.
        own_request.service = service.patterns = None
        del service
        service = in_use()
        if service is not None:
            own_request.service = service
            service.patterns = PatternsFacade(service, self.server.internal_cache_patterns,
                self.server.internal_cache_lock_patterns)
        return response

    def written(self, response):
        """ The JSON text of a response, and what it says. The server sends no answer at all if it cannot write one. It
        writes some objects, such as models, only if they are not within others, but what the text says always. The
        service may change its own response later."""
        try:
            text = self.dumps(response)
            values = response.values() if type(response) is dict else [response]
            if CONSTANT.issuperset(map(type, values)) and 'NaN' not in text and 'Infinity' not in text:
                return text, copy(response)  # quicker than to read the text
            return text, DECODER.raw_decode(text)[0]
        except Exception as e:
            raise InternalServerError(self.cid, 'The response cannot be sent as JSON: %s' % text_of(e))

    @cached_property
    def dumps(self):
        """ What writes this client's responses."""
        return getattr(self.channel_environ()['web_socket'], '_json_dump_func', None) or partial(json.dumps, default=str)


class Invoke(Invoker, Service):
    """ Invokes a service with a list of requests."""
    name = 'connect.invoke'

    def handle(self):
        self.service = self.required('service', TEXT)
        self.requests = self.required('requests', items('requests', LIMITS['invoke_requests']))
        seconds = self.longest(self.field('seconds', number(0, 10 ** 9), LIMITS['invoke_seconds']))
        parallel = min(self.field('parallel', whole(1), 1), PARALLEL)
        self.until = time.monotonic() + seconds
        start_within = self.field('start_within', number(0, 10 ** 9))
        self.start_within = seconds if start_within is None else start_within
        self.began = self.ended = None
        self.most_bytes = self.field('max_bytes', whole(1), MOST_BYTES)
        self.size = self.largest = self.running = self.next = 0
        self.is_gone, self.next_look = False, 0.0
        self.responses = [{'status': 0, 'error': 'not run'}] * len(self.requests)
        if self.service not in SERVICES:
            refused = {'status': 403, 'error': 'not allowed', 'cid': self.cid}
            self.responses = [refused] * len(self.requests)
        elif parallel > 1 or start_within is not None:
            # A request that hangs does not keep back the responses to the others.
            workers = [spawn(self.work) for _ in range(min(parallel, len(self.requests)))]
            joinall(workers, timeout=max(0, self.until - time.monotonic()))
        else:
            self.work()
        # What still runs must not change the answer.
        answer = {'responses': list(self.responses)}
        if start_within is not None:
            answer['duration'] = self.ended - self.began if self.ended else 0
        self.response.payload = answer

    def work(self):
        while self.next < len(self.requests):
            i, now = self.next, time.monotonic()
            self.next += 1
            if self.may_start(now) and not self.client_has_gone(now):
                self.running += 1
                self.began = self.began or now
                # The server keeps what goes on in the background under the cid, so each request has its own.
                cid = '%s-%d' % (self.cid, i)
                self.responses[i] = {'status': 0, 'error': 'not finished', 'cid': cid}
                self.responses[i] = self.one(self.requests[i], cid)
                self.ended = time.monotonic()
                self.running -= 1

    def client_has_gone(self, now):
        """ The same as has_gone. A look takes as long as a quick service, so the client is looked at only now and then."""
        if now >= self.next_look:
            self.is_gone, self.next_look = self.has_gone(), now + GONE_INTERVAL
        return self.is_gone

    def may_start(self, now):
        """ Whether there is time for one more request, and room for responses that are as large as the largest. The wait
        for the first request, while the server does other things, does not count."""
        is_time = now < self.until and now < (self.began or now) + self.start_within
        return is_time and self.largest * (self.running + 1) <= self.most_bytes - self.size

    def one(self, request, cid):
        try:
            text, response = self.written(self.run(self.service, request, dict(self.wsgi_environ), cid,
                skip_response_elem=True))
            self.count(text)
            return {'status': 200, 'response': response}
        except GreenletExit:
            raise
        except Reportable as e:
            status, error = status_of(e), text_of(getattr(e, 'msg', e))
        except BaseException as e:
            status, error = 500, '%s: %s' % (type(e).__name__, text_of(e))
            log.warning('connect.invoke: `%s` failed, cid:`%s`, e:`%s`', self.service, cid, format_exc())
        return {'status': status, 'error': error[:ERROR_CHARACTERS], 'cid': cid}

    def count(self, text):
        """ Keeps the list as small as the client wants, whose connection a larger one would end."""
        own = len(text) if text.isascii() else len(text.encode('utf8'))
        own += text.count('\n') * LINE_INDENTATION + RESPONSE_FIELDS
        if self.size + own > self.most_bytes:
            raise Reportable(self.cid, 'The service has run. Its response has %d bytes, more than max_bytes' % own, 413)
        self.size += own
        self.largest = max(self.largest, own)


class Gateway(Invoker, WebSocketsGateway):
    """ Invokes services for the clients of a channel."""
    name = 'connect.gateway'
    own = [Describe.name]
    own += [Subscribe.name, Fetch.name] if 'fetch' in CAN else []
    own += [Subscriptions.name, Unsubscribe.name] if 'subscriptions' in CAN else []
    own += ['connect.publish'] if 'publish-list' in CAN else []
    own += [Invoke.name]
    routes = {RESUME: 'connect.resume'} if 'resume' in CAN else {}
    services_allowed = SERVICES + own + [DELIVERY, *routes.values()]

    class SimpleIO(WebSocketsGateway.SimpleIO):
        # The stock gateway reads cid and does not declare it.
        input_optional = AsIs('request'), 'cid'

    def handle(self):
        service = self.request.input.service
        if service == UNSUBSCRIBE:
            self.check_unsubscribe(self.request.input.request)
        self.request.input.service = self.routes.get(service, service)
        try:
            if service in SUBSCRIBING and 'announcements' not in LACKING:
                self.handle_and_announce()
            else:
                super(Gateway, self).handle()
        except Reportable as e:
            # Others may not be sent, and then the client gets no answer.
            e.status, e.msg = status_of(e), text_of(getattr(e, 'msg', e))
            raise
        except (Exception, GreenletExit):
            raise
        # The server does not catch these. With SystemExit, its process would end.
        except Timeout as e:
            raise InternalServerError(self.cid, 'The service timed out: %s' % e)
        except BaseException as e:
            raise InternalServerError(self.cid, 'The service ended with %s: %s' % (type(e).__name__, text_of(e)))

    def handle_and_announce(self):
        """ The server announces in the background which connection has a subscription. Another process ignores that if
        it does not know the subscription yet. What it publishes then may wait until it publishes something else."""
        tool = self.channel_environ()['web_socket'].pubsub_tool
        before = set(tool.sub_keys)
        super(Gateway, self).handle()
        for sub_key in set(tool.sub_keys) - before:
            self.in_all_processes(sub_key, 'announced', config=self.announcement(sub_key))

    def announcement(self, sub_key):
        environ = self.channel_environ()
        return {
            'cluster_id': self.server.cluster_id,
            'server_name': self.server.name,
            'server_pid': self.server.pid,
            'sub_key': sub_key,
            'channel_name': environ['ws_channel_config'].name,
            'pub_client_id': environ['pub_client_id'],
            'endpoint_type': 'wsx',
            'wsx_info': environ['web_socket'].get_peer_info_dict(),
        }

    def check_unsubscribe(self, request):
        """ The stock service lets everybody that knows the key end a subscription."""
        sub_key = request.get('sub_key') if isinstance(request, dict) else None
        try:
            sub = self.pubsub.get_subscription_by_sub_key(sub_key) if sub_key else None
        except KeyError:
            return
        if sub:
            self.check_owner(sub)
