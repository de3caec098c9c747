# -*- coding: utf-8 -*-
"""Stand-ins for what connect.py uses of Zato, gevent and SQLAlchemy. The database is a real one, in SQLite."""

import functools
import importlib.util
import json
import os
import socket
import sqlite3
import sys
import types
from contextlib import closing
from datetime import datetime

# What connect.py calls inside the server, with the arguments of Zato 3.3.
SIGNATURES = {
    'PubSub.subscribe': 'topic_name, use_current_wsx, unsub_on_wsx_close, service, cid',
    'PubSub.get_subscription_by_sub_key': 'sub_key',
    'PubSub.get_topic_by_sub_key': 'sub_key',
    'PubSub.get_topic_by_name': 'topic_name',
    'PubSub.get_endpoint_by_ws_channel_id': 'ws_channel_id',
    'PubSub.is_allowed_sub_topic_by_endpoint_id': 'name, endpoint_id',
    'PubSub.get_sub_key_server': 'sub_key',
    'PubSub.set_sub_key_server': 'config',
    'PubSub.delete_sub_key_server': 'sub_key',
    'PubSub.unsubscribe': 'topic_sub_keys',
    'PubSub.get_non_gd_topic_depth': 'topic_name',
    'PubSub.store_in_ram': 'cid, topic_id, topic_name, sub_keys, non_gd_msg_list',
    'PubSub.is_allowed_pub_topic_by_endpoint_id': 'name, endpoint_id',
    'PubSub.get_subscriptions_by_topic': 'topic_name',
    'Publisher.__init__': 'pubsub, server, marshal_api, service_invoke_func, new_session_func',
    'Publisher.run_from_dict': 'cid, data',
    'PubSubTool.has_sub_key': 'sub_key',
    'PubSubTool.remove_sub_key': 'sub_key',
    'Service.set_response_data': 'service, kwargs',
    'Service.update_handle': 'set_response_func, service, raw_request, channel, data_format, transport, server, '
        'broker_client, worker_store, cid, simple_io_config, args, kwargs',
    'ServiceStore.new_instance': 'impl_name',
    'PatternsFacade.__init__': 'invoking_service, cache, lock',
    'ServerRPC.invoke_all': 'service, request',
}

TABLES = '''
    create table pubsub_endp_msg_queue (id integer primary key, creation_time numeric, delivery_count integer default 0,
        delivery_status integer default 2, delivery_time numeric, pub_msg_id text, endpoint_id integer,
        topic_id integer, sub_key text, cluster_id integer);
    create index queue_message on pubsub_endp_msg_queue (cluster_id, pub_msg_id);
    create index queue_key on pubsub_endp_msg_queue (cluster_id, sub_key);
    create table pubsub_message (id integer primary key, pub_msg_id text unique, pub_correl_id text, in_reply_to text,
        ext_client_id text, pub_time numeric, ext_pub_time numeric, expiration_time numeric, data text,
        mime_type text default 'application/json', size integer, priority integer default 5, expiration integer,
        topic_id integer, cluster_id integer);
    create table pubsub_sub (id integer primary key, sub_key text unique, topic_id integer, endpoint_id integer,
        last_interaction_time numeric, last_interaction_type text, cluster_id integer);
    create table web_socket_sub (id integer primary key, ext_client_id text, sub_key text, opaque1 text,
        subscription_id integer, cluster_id integer);
    create table pubsub_topic (id integer primary key, name text, cluster_id integer);
    insert into pubsub_topic values (1, '/my/topic', 1);
    insert into pubsub_topic values (2, '/my/other', 1);
'''


def of_table(name):
    """ A class with the columns of a table, as the server's models are."""
    with sqlite3.connect(':memory:') as db:
        db.executescript(TABLES)
        return type(name, (), {row[1]: None for row in db.execute('pragma table_info(%s)' % name)})


class Clock:
    """ Time that passes when something waits for it."""

    def __init__(self):
        self.now, self.events = 1000.0, []

    def monotonic(self):
        return self.now

    def time(self):
        return self.now

    def at(self, seconds, action):
        """ Does something after a number of seconds."""
        self.events.append((self.now + seconds, action))

    def sleep(self, seconds):
        until = self.now + seconds
        for event in sorted((event for event in self.events if event[0] <= until), key=lambda event: event[0]):
            self.events.remove(event)
            self.now = max(self.now, event[0])
            event[1]()
        self.now = until


class HTTPError(Exception):
    status = 500

    def __init__(self, cid, msg='', status=None):
        super().__init__(msg)
        self.cid, self.msg, self.status = cid, msg, status or self.status


class StatementError(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.orig = Exception(text)


class DBAPIError(StatementError):
    connection_invalidated = False


class IntegrityError(DBAPIError):
    pass


class Inactive(Exception):
    pass


class Timeout(BaseException):
    """ As in gevent, no subclass of Exception."""


class GreenletExit(BaseException):
    pass


class RLock:
    held = 0

    def __enter__(self):
        self.held += 1
        return self

    def __exit__(self, *_):
        self.held -= 1


class Service:
    """ What a service has of its own, and how one invokes another."""
    cid, broker_client, _worker_store = 'cid1', None, None

    def __init__(self):
        self.request = Request(self)

    @classmethod
    def get_name(cls):
        return cls.name

    def set_response_data(self, service, **kwargs):
        return service.response.payload

    def invoke(self, name, payload, **kwargs):
        return self.update_handle(self.set_response_data, self.server.services[name](), payload, None, None, None,
            self.server, None, None, self.cid, {}, **kwargs)

    def update_handle(self, set_response_func, service, raw_request, channel, data_format, transport, server,
            broker_client, worker_store, cid, simple_io_config, *args, **kwargs):
        service.cid = cid
        server.run(service, raw_request, kwargs.get('wsgi_environ'))
        return set_response_func(service)

    def lock(self, name):
        self.server.locked.append(name)
        return RLock()


class PatternsFacade:
    def __init__(self, invoking_service, cache, lock):
        self.invoking_service, self.cache, self.lock = invoking_service, cache, lock


class Request:
    def __init__(self, service):
        self.service, self.payload, self.input = service, '', None


class Frame:
    def __init__(self, masking_key):
        self.masking_key = masking_key

    def unmask(self, data):
        raise NotImplementedError


class XorMaskerSimple:
    def __init__(self, masking_key):
        self.masking_key = masking_key

    def process(self, data):
        if not isinstance(data, bytes):
            raise TypeError(type(data))
        return bytes(byte ^ self.masking_key[i % 4] for i, byte in enumerate(data))


class ServiceStore:
    def __init__(self, services):
        self.services, self.inactive = services, []

    @property
    def name_to_impl_name(self):
        return {name: name for name in self.services}

    def new_instance(self, impl_name):
        return self.services[impl_name](), impl_name not in self.inactive


class AsIs:
    def __init__(self, name):
        self.name = name


class WebSocketsGateway(Service):
    services_allowed = []

    class SimpleIO:
        input_required = 'service'
        input_optional = AsIs('request')

    def handle(self):
        service = self.request.input.service
        if service not in self.services_allowed + self.server.always_allowed:
            raise self.server.forbidden(self.cid)
        self.response.payload = self.invoke(service, self.request.input.request, wsgi_environ=self.wsgi_environ,
            skip_response_elem=True, cid=self.cid)


class ResumeWSXSubscription(Service):
    def handle(self):
        self.server.resumed.append(self.request.input.sub_key)

    def _parse_non_gd_messages(self, sub_key_list, messages_list):
        raise NotImplementedError


class Topic:
    def __init__(self, id, name):
        self.id, self.name, self.gd_pub_time_max, self.is_active = id, name, 0.0, True
        self.has_gd, self.max_depth_non_gd = True, 1000


class PubSubTool:
    def __init__(self, parent, *sub_keys):
        self.parent, self.sub_keys = parent, set(sub_keys)

    def has_sub_key(self, sub_key):
        return sub_key in self.sub_keys

    def remove_sub_key(self, sub_key):
        self.sub_keys.remove(sub_key)


class MarshalAPI:
    """ Makes a model of fields, with defaults for those that are missing."""

    def from_dict(self, service, fields, model, extra):
        out = model()
        for name, value in dict({'mime_type': 'text/plain', 'reply_to_sk': []}, **extra, **fields).items():
            setattr(out, name, value)
        return out


class PubRequest:
    """ The server's request of a message."""


class Insert:
    """ A statement of SQLAlchemy that has many rows."""

    def __init__(self, text, rows):
        self.text, self.parameters, self.table, self._has_multi_parameters = text, rows, self, True

    def insert(self):
        return self.text


class Publisher:
    """ Makes rows of messages as the server does, and writes them in one transaction."""

    def __init__(self, *, pubsub, server, marshal_api, service_invoke_func, new_session_func):
        self.pubsub, self.server, self.marshal_api = pubsub, server, marshal_api
        self.service_invoke_func, self.new_session_func = service_invoke_func, new_session_func

    def get_messages_from_data(self, *, cid, data_list, topic, has_no_sk_server):
        # The server would guarantee all messages, and write that down for each.
        assert not has_no_sk_server
        now, ids, guaranteed, in_memory = self.server.world.clock.now, [], [], []
        requests = [self.marshal_api.from_dict(None, data, PubRequest, extra={'cid': cid}) for data in data_list]
        assert len({id(request.reply_to_sk) for request in requests}) == len(requests)
        for data in map(vars, requests):
            if data['data'] == self.server.skipped:
                continue
            # The server leaves out what has its default.
            message = {'in_reply_to': data['in_reply_to']} if 'in_reply_to' in data else {}
            if data.get('priority', 5) != 5:
                message['priority'] = data['priority']
            message.update(pub_msg_id=data['msg_id'], data=data['data'], topic_id=topic.id, pub_time='%.7f' % now,
                pub_correl_id=data['correl_id'], ext_client_id=data.get('ext_client_id', ''), cluster_id=1,
                expiration_time=now + 86400)
            ids.append(data['msg_id'])
            (guaranteed if data.get('has_gd', topic.has_gd) else in_memory).append(message)
        return ids, guaranteed, in_memory

    def run_from_dict(self, cid, data):
        self.server.world.clock.now += 0.1
        topic = self.pubsub.topics[data['topic_name']]
        keys = [sub.sub_key for sub in self.pubsub.get_subscriptions_by_topic(topic.name)]
        request = self.marshal_api.from_dict(None, data, PubRequest, extra={'cid': cid})
        ids, guaranteed, in_memory = self.get_messages_from_data(cid=cid, data_list=request.data_list, topic=topic,
            has_no_sk_server=not all(map(self.pubsub.get_sub_key_server, keys)))
        if not guaranteed and not in_memory:
            raise ValueError('At least one of gd_msg_list or non_gd_msg_list must be provided')
        if self.server.dropping:
            return None
        for written in [guaranteed] if keys else [guaranteed, in_memory]:
            if written:
                with closing(self.new_session_func()) as session:
                    self.write(session, topic, written)
        if keys and in_memory:
            self.pubsub.store_in_ram(cid, topic.id, topic.name, keys, in_memory)
        # Of two rounds, the server answers what the second one would alone.
        last = in_memory if in_memory and not keys else guaranteed + in_memory
        return ids[0] if len(last) == 1 else ids

    def write(self, session, topic, messages):
        names = set(messages[0]) - {'group_id', 'user_ctx'}
        # One INSERT, so all rows have to be alike.
        assert all(set(message) - {'group_id', 'user_ctx'} == names for message in messages)
        session.execute(Insert('insert into pubsub_message (%s) values (%s)' % (','.join(names),
            ','.join(':' + name for name in names)), messages))
        for message in messages:
            session.execute('insert into pubsub_endp_msg_queue (pub_msg_id, sub_key, cluster_id) '
                'select :id, s.sub_key, 1 from pubsub_sub s where s.topic_id=:topic',
                {'id': message['pub_msg_id'], 'topic': topic.id})
        session.commit()


class PubSub:
    """ What a process knows of topics and subscriptions."""

    def __init__(self, server):
        self.server, self.subs, self.servers, self.pubsub_tools = server, {}, {}, []
        self.impl_publisher = Publisher(pubsub=self, server=server, marshal_api=MarshalAPI(), service_invoke_func=None,
            new_session_func=lambda: Session(server))
        self.topics = {name: Topic(i, name) for i, name in ((1, '/my/topic'), (2, '/my/other'))}
        self.lock, self.in_memory, self.overflows = RLock(), {name: [] for name in self.topics}, 0

    def subscribe(self, topic_name, use_current_wsx, unsub_on_wsx_close, service, cid):
        environ = service.wsgi_environ['zato.request_ctx.async_msg']['environ']
        environ['web_socket'].pubsub_tool.add_sub_key('')
        endpoint = self.get_endpoint_by_ws_channel_id(environ['ws_channel_config'].id)
        sub_key = 'zpsk.wsx.%s.%d' % (environ['ext_client_id'], len(self.server.world.keys))
        self.server.world.keys.append(sub_key)
        db = self.server.world.db
        id = db.execute('insert into pubsub_sub (sub_key, topic_id, endpoint_id, cluster_id) values (?, ?, ?, 1)',
            (sub_key, self.topics[topic_name].id, endpoint.id)).lastrowid
        # The server writes this text where a model has none.
        db.execute('insert into web_socket_sub (sub_key, ext_client_id, subscription_id, opaque1, cluster_id) '
            "values (?, ?, ?, 'null', 1)", (sub_key, environ['ext_client_id'], id))
        db.commit()
        for server in self.server.world.servers:
            server.pubsub.add(sub_key, topic_name, endpoint)
        self.servers[sub_key] = types.SimpleNamespace(pub_client_id='')
        return sub_key

    def add(self, sub_key, topic_name, endpoint):
        self.subs[sub_key] = types.SimpleNamespace(sub_key=sub_key, topic_name=topic_name, unsub_on_wsx_close=True,
            config={'endpoint_name': endpoint.name})

    def get_subscription_by_sub_key(self, sub_key):
        return self.subs[sub_key]

    def get_non_gd_topic_depth(self, topic_name):
        assert self.lock.held, 'another call may store messages before this one does'
        return len(self.in_memory[topic_name])

    def store_in_ram(self, cid, topic_id, topic_name, sub_keys, non_gd_msg_list):
        assert self.lock.held, 'another call may have stored messages since this one looked'
        depth = len(self.in_memory[topic_name]) + len(non_gd_msg_list)
        self.overflows += depth > self.topics[topic_name].max_depth_non_gd
        self.in_memory[topic_name] += [message['data'] for message in non_gd_msg_list]

    def get_topic_by_sub_key(self, sub_key):
        return self.topics[self.subs[sub_key].topic_name]

    def get_topic_by_name(self, topic_name):
        return self.topics[topic_name]

    def get_endpoint_by_ws_channel_id(self, ws_channel_id):
        return types.SimpleNamespace(id=ws_channel_id, name='endpoint%d' % {1: 1, 2: 2}[ws_channel_id])

    def is_allowed_sub_topic_by_endpoint_id(self, name, endpoint_id):
        return name.startswith(self.server.world.pattern)

    def is_allowed_pub_topic_by_endpoint_id(self, name, endpoint_id):
        return name.startswith(self.server.world.pattern)

    def get_subscriptions_by_topic(self, topic_name):
        return [sub for sub in self.subs.values() if sub.topic_name == topic_name]

    def get_sub_key_server(self, sub_key):
        return self.servers.get(sub_key)

    def set_sub_key_server(self, config):
        self.servers[config['sub_key']] = types.SimpleNamespace(**config)
        # The server adds objects that cannot be sent.
        config['endpoint_name'] = object()

    def delete_sub_key_server(self, sub_key):
        del self.servers[sub_key]

    def unsubscribe(self, topic_sub_keys):
        for sub_keys in topic_sub_keys.values():
            for sub_key in sub_keys:
                self.subs.pop(sub_key, None)


class ServerRPC:
    def __init__(self, world):
        self.world = world

    def invoke_all(self, service, request):
        json.dumps(request)
        for server in self.world.servers:
            server.run(server.services[service](), request, {})


class Session:
    """ A session of SQLAlchemy, as far as connect.py uses it. What it returns is what sqlite3 returns."""

    def __init__(self, server):
        self.server, self.db = server, sqlite3.connect(server.world.path, timeout=0.1)

    def execute(self, statement, values):
        self.server.before(' '.join(statement.split()), values)
        try:
            return Result((self.db.executemany if isinstance(values, list) else self.db.execute)(statement, values))
        except sqlite3.IntegrityError as e:
            raise IntegrityError(str(e))
        except sqlite3.OperationalError as e:
            raise DBAPIError(str(e))

    def commit(self):
        self.db.commit()
        self.server.committed()

    def rollback(self):
        self.db.rollback()

    def connection(self):
        return types.SimpleNamespace(connection=self.server.driver)

    def close(self):
        self.db.close()


class Result:
    def __init__(self, cursor):
        self.cursor, self.rowcount = cursor, cursor.rowcount

    def __iter__(self):
        return iter(self.cursor)

    def fetchall(self):
        return self.cursor.fetchall()

    def scalar(self):
        row = self.cursor.fetchone()
        return row and row[0]


class Server:
    """ One process of the server, with its own copy of connect.py."""

    def __init__(self, world, connect):
        self.world, self.connect, self.cluster_id = world, connect, 1
        self.name, self.pid = 'server1', 100 + len(world.servers)
        self.pubsub, self.rpc, self.locked, self.resumed = PubSub(self), ServerRPC(world), [], []
        self.dropping, self.skipped = False, None
        self.driver = types.SimpleNamespace()
        self.before, self.committed = lambda statement, values: None, lambda: None
        self.always_allowed, self.forbidden = [connect.UNSUBSCRIBE, *connect.SUBSCRIBING], connect.Forbidden
        self.services = {item.name: item for item in vars(connect).values()
            if isinstance(item, type) and issubclass(item, Service) and 'name' in vars(item)}
        self.service_store = ServiceStore(self.services)
        self.internal_cache_patterns, self.internal_cache_lock_patterns = {}, RLock()

    def run(self, service, payload, environ):
        service.server, service.pubsub, service.wsgi_environ = self, self.pubsub, environ
        service.odb = types.SimpleNamespace(session=lambda: Session(self), is_sqlite=True,
            pool=types.SimpleNamespace(engine=types.SimpleNamespace(name='sqlite')))
        fields = payload if isinstance(payload, dict) else {}
        service.request.payload, service.request.input = payload, types.SimpleNamespace(**fields)
        service.response = types.SimpleNamespace(payload='')
        service.patterns = PatternsFacade(service, self.internal_cache_patterns, self.internal_cache_lock_patterns)
        service.handle()


class Client:
    """ A connection of a WebSocket channel that is mounted on connect.gateway."""

    def __init__(self, server, client_id='client1', channel_id=1, ping_interval=30):
        self.server, self.pub_client_id = server, 'ws.' + client_id
        self.sock, self.peer = socket.socketpair()
        self.environ = {
            'web_socket': types.SimpleNamespace(_json_dump_func=json.dumps, sock=self.sock,
                pubsub_tool=PubSubTool(self), get_peer_info_dict=dict),
            'ws_channel_config': types.SimpleNamespace(id=channel_id, name='channel', ping_interval=ping_interval),
            'ext_client_id': client_id, 'ext_client_name': 'name of ' + client_id, 'pub_client_id': self.pub_client_id,
        }

    def close(self):
        self.peer.close()

    def __del__(self):
        self.sock.close()
        self.peer.close()

    def call(self, service, request=None):
        environ = {'zato.request_ctx.async_msg': {'environ': dict(self.environ)}}
        gateway = self.server.connect.Gateway()
        self.server.run(gateway, {'service': service, 'request': request}, environ)
        return gateway.response.payload

    def subscribe(self, name='name1', topic='/my/topic', **more):
        return self.call('connect.subscribe', dict(more, topic_name=topic, name=name))

    def fetch(self, sub, **more):
        return self.call('connect.fetch', dict({'sub_key': sub['sub_key'], 'holder': sub['holder']}, **more))


class World:
    """ A database, and the processes that use it."""

    def __init__(self, directory, processes=1):
        self.path, self.keys, self.servers, self.pattern = os.path.join(directory, 'db'), [], [], '/my/'
        self.db = sqlite3.connect(self.path)
        self.db.executescript('pragma journal_mode=memory; pragma synchronous=off;' + TABLES)
        self.clock, self.published = Clock(), 0
        for _ in range(processes):
            self.servers.append(Server(self, load(self.clock)))

    def publish(self, *data, topic='/my/topic', process=None, **columns):
        """ Writes messages and rows as the server does. The process given knows of it."""
        for text in data:
            self.published += 1
            columns = dict({'pub_time': self.clock.now + self.published / 1e6, 'priority': 5, 'expiration': 86400,
                'expiration_time': self.clock.now + 86400}, **columns)
            row = dict(columns, pub_msg_id='m%d' % self.published, data=text, size=len(text.encode('utf8')),
                cluster_id=1)
            self.db.execute('insert into pubsub_message (%s) values (%s)' % (','.join(row),
                ','.join(':' + name for name in row)), row)
            self.db.execute('insert into pubsub_endp_msg_queue (pub_msg_id, sub_key, cluster_id) '
                'select ?, s.sub_key, 1 from pubsub_sub s, pubsub_topic t where t.id=s.topic_id and t.name=?',
                (row['pub_msg_id'], topic))
        self.db.commit()
        if process:
            process.pubsub.topics[topic].gd_pub_time_max = self.clock.now

    def close(self):
        self.db.close()


def modules(**more):
    """ The modules that connect.py imports."""
    errors = {name: type(name, (HTTPError,), {'status': status}) for name, status in {'Reportable': 500,
        'BadRequest': 400, 'Forbidden': 403, 'NotFound': 404, 'Conflict': 409, 'InternalServerError': 500,
        'ServiceUnavailable': 503}.items()}
    for name, error in errors.items():
        if name != 'Reportable':
            errors[name] = type(name, (errors['Reportable'],), {'status': error.status})
    return dict({
        # What is spawned runs when it is joined.
        'gevent': dict(GreenletExit=GreenletExit, Timeout=Timeout, spawn=functools.partial,
            joinall=lambda spawned, timeout: [run() for run in spawned]),
        'gevent.lock': dict(RLock=RLock),
        'gevent.monkey': dict(get_original=lambda module, name: getattr(importlib.import_module(module), name)),
        'ciso8601': dict(parse_datetime_as_naive=datetime.fromisoformat),
        'sqlalchemy.exc': dict(IntegrityError=IntegrityError, StatementError=StatementError),
        'zato.common.api': dict(CHANNEL=types.SimpleNamespace(INVOKE='invoke'),
            DATA_FORMAT=types.SimpleNamespace(DICT='dict')),
        'zato.common.exception': dict(errors, Inactive=Inactive),
        'zato.server.ext.ws4py.framing': dict(Frame=Frame),
        'wsaccel.xormask': dict(XorMaskerSimple=XorMaskerSimple),
        'zato.server.service': dict(AsIs=AsIs, PatternsFacade=PatternsFacade, Service=Service),
        'zato.server.service.internal.helpers': dict(WebSocketsGateway=WebSocketsGateway),
        'zato.server.service.reqresp': dict(Request=Request),
        'zato.server.service.store': dict(ServiceStore=ServiceStore),
        'zato.server.service.internal.pubsub': dict(ResumeWSXSubscription=ResumeWSXSubscription),
        'zato.server.pubsub': dict(PubSub=PubSub),
        'zato.server.pubsub.model': dict(Topic=Topic),
        'zato.server.pubsub.publisher': dict(Publisher=Publisher),
        'zato.server.pubsub.delivery.tool': dict(PubSubTool=PubSubTool),
        'zato.server.connection.server.rpc.api': dict(ServerRPC=ServerRPC),
        'zato.common.odb.model': dict(
            PubSubEndpointEnqueuedMessage=of_table('pubsub_endp_msg_queue'),
            PubSubMessage=of_table('pubsub_message'),
            PubSubSubscription=of_table('pubsub_sub'),
            PubSubTopic=of_table('pubsub_topic'),
            WebSocketSubscription=of_table('web_socket_sub'),
        ),
    }, **more)


def load(clock, **more):
    """ Imports connect.py as a process of the server does."""
    for name, members in modules(**more).items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        if name == 'gevent':
            module.sleep = clock.sleep
        sys.modules[name] = module
    path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'connect.py')
    spec = importlib.util.spec_from_file_location('connect', path)
    connect = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(connect)
    connect.time = clock
    return connect
