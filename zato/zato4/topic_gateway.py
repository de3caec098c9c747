# -*- coding: utf-8 -*-
"""Services for Zato 4.1 that publish lists of messages, and that hand out messages until
they are acknowledged. Copy this file to the server's hot-deployment folder and import
enmasse.yaml.

The rights are those of pub/sub: a caller may publish to the topics that its permissions
match, and receives the messages of its own subscription.

Each service returns an object with is_ok. If it is false, details says why.

The services use names of the server that Zato does not document: pubsub_backend,
pubsub_pattern_matcher, pubsub_subscriptions and config_manager. They were tried on Zato 4.1.
"""

# stdlib
from http.client import BAD_REQUEST, FORBIDDEN
from json import dumps
from time import monotonic

# gevent
from gevent import sleep
from gevent.lock import RLock

# Zato
from zato.server.service import Service

# How many messages a call may publish, receive, acknowledge or give back.
MAX_MESSAGES = 1000

# How many characters a pull returns at most, unless its first message is longer.
MAX_CHARACTERS = 7_000_000

# How many times max_messages may be leased at once. Each pull reads past the leased
# messages, so more of them would make it slow.
MAX_PULLS_LEASED = 2

# In seconds.
MAX_WAIT = 30
MAX_LEASE = 3600
DEFAULT_LEASE = 60
MAX_EXPIRATION = 3_000_000_000

# What a pulled message has besides msg_id and sequence_id.
FIELDS = 'topic_name', 'data', 'priority', 'expiration_time_iso', 'pub_time_iso', 'publisher', \
    'correl_id', 'in_reply_to', 'ext_client_id'


class Refused(Exception):
    """ A request that will not succeed, with its HTTP status."""

    def __init__(self, status, details):
        super().__init__(details)
        self.status = status


def number(source, name, default, minimum, maximum):
    """ Returns a member of a request that must be a whole number."""
    value = source.get(name, default)
    if type(value) is not int or not minimum <= value <= maximum:
        raise Refused(BAD_REQUEST, f'{name}: must be a whole number from {minimum} to {maximum}')
    return value


def numbers(source, name):
    """ Returns a member of a request that must be a list of whole numbers."""
    values = source.get(name)
    if not isinstance(values, list) or len(values) > MAX_MESSAGES or any(type(value) is not int for value in values):
        raise Refused(BAD_REQUEST, f'{name}: must be a list of at most {MAX_MESSAGES} whole numbers')
    return values


class Leases:
    """ The messages of a subscription that were handed out. They are kept in memory, so
    that a restart of the server hands them out again."""

    def __init__(self):
        self.lock = RLock() # held while messages are read and leased
        self.ends = {}      # when the lease of each sequence_id ends

    def expire(self):
        now = monotonic()
        self.ends = {sequence_id: end for sequence_id, end in self.ends.items() if end > now}

    def release(self, sequence_ids):
        for sequence_id in sequence_ids:
            self.ends.pop(sequence_id, None)


# By the key of the subscription.
all_leases = {}


class Gateway:
    """ What the services have in common."""

    def handle(self):
        try:
            body = self.request.payload
            if not isinstance(body, dict):
                raise Refused(BAD_REQUEST, 'the body must be a JSON object')
            answer = {'is_ok': True, **self.answer(body)}
        except Refused as e:
            self.response.status_code = e.status
            answer = {'is_ok': False, 'details': str(e)}
        self.response.payload = dumps(answer, separators=(',', ':'))

    @property
    def username(self):
        return self.channel.security.username

    def subscription(self):
        """ Returns the key of the caller's subscription and its leases."""
        key = self.server.pubsub_subscriptions.get_sub_key_by_username(self.username)
        if not key:
            raise Refused(FORBIDDEN, f'{self.username} has no subscription')
        return key, all_leases.setdefault(key, Leases())


class Publish(Gateway, Service):
    """ Takes {"topic_name", "messages": [{"data", "priority", "expiration", "correl_id",
    "in_reply_to", "ext_client_id"}, ..]} and publishes all messages, in their order, or
    none of them. The data is text; all but the data is optional. Returns {"msg_ids"}."""
    name = 'topic-gateway.publish'

    def answer(self, body):
        topic_name, messages = body.get('topic_name'), body.get('messages')
        if not isinstance(topic_name, str) or not isinstance(messages, list) or len(messages) > MAX_MESSAGES:
            raise Refused(BAD_REQUEST, f'topic_name and messages, a list of at most {MAX_MESSAGES}, are expected')
        if not self.server.pubsub_pattern_matcher.evaluate(self.username, topic_name, 'publish').is_ok:
            raise Refused(FORBIDDEN, f'{self.username} may not publish to {topic_name}')
        if not self.server.config_manager.is_pubsub_topic_active(topic_name):
            raise Refused(FORBIDDEN, f'topic {topic_name} does not exist or is not active')
        publications = [self.publication(index, message) for index, message in enumerate(messages)]
        publish = self.server.pubsub_backend.publish
        return {'msg_ids': [publish(topic_name, data, **context).msg_id for data, context in publications]}

    def publication(self, index, message):
        """ Returns the data and the context of a message."""
        try:
            if not isinstance(message, dict) or not isinstance(message.get('data'), str):
                raise Refused(BAD_REQUEST, 'data: must be text')
            message['data'].encode('utf-8')
            context = {
                'priority': number(message, 'priority', 5, 0, 9),
                'expiration': number(message, 'expiration', 31_536_000, 1, MAX_EXPIRATION),
                'publisher': self.username,
                'cid': self.cid,
            }
            for name in 'correl_id', 'in_reply_to', 'ext_client_id':
                value = message.get(name)
                if value is not None and not isinstance(value, str):
                    raise Refused(BAD_REQUEST, f'{name}: must be text')
                context[name] = value
            context['correl_id'] = context['correl_id'] or self.cid
            return message['data'], context
        except UnicodeEncodeError:
            raise Refused(BAD_REQUEST, f'message {index}: data: has half of a surrogate pair')
        except Refused as e:
            raise Refused(e.status, f'message {index}: {e}')


class Pull(Gateway, Service):
    """ Takes {"max_messages", "wait", "lease"}, all optional, and returns {"messages"}:
    those with the highest priority first, then the oldest. If there are none, it waits
    for up to "wait" seconds. No other pull returns them for "lease" seconds."""
    name = 'topic-gateway.pull'

    def answer(self, body):
        max_messages = number(body, 'max_messages', 100, 1, MAX_MESSAGES)
        wait = number(body, 'wait', 0, 0, MAX_WAIT)
        lease = number(body, 'lease', DEFAULT_LEASE, 1, MAX_LEASE)
        key, leases = self.subscription()
        deadline = monotonic() + wait

        while True:
            with leases.lock:
                leases.expire()
                room = max(200, MAX_PULLS_LEASED * max_messages) - len(leases.ends)
                found = self.read(key, leases, min(max_messages, room)) if room > 0 else []
                end = monotonic() + lease
                leases.ends.update((message['sequence_id'], end) for message in found)
            left = deadline - monotonic()
            if found or left <= 0:
                return {'messages': [self.message(m) for m in found]}
            if room > 0:
                # A publication ends the wait. No event tells the end of a lease.
                self.server.pubsub_backend.get_sub_event(key).wait(min(left, 1))
            else:
                sleep(min(left, 0.005)) # until messages are acknowledged

    def read(self, key, leases, limit):
        """ Returns messages that are not leased."""
        queue = self.server.pubsub_backend.fetch_messages(key, limit + len(leases.ends), max_len=10**12)
        found, characters = [], 0
        for message in queue:
            if message['sequence_id'] in leases.ends:
                continue
            characters += message['data_size'] + 500 # for the fields besides the data
            if len(found) == limit or (found and characters > MAX_CHARACTERS):
                break
            found.append(message)
        return found

    def message(self, row):
        out = {name: row[name] for name in FIELDS if name in row}
        out['msg_id'], out['sequence_id'] = row['msg_id'], row['sequence_id']
        return out


class Acknowledge(Gateway, Service):
    """ Takes {"sequence_ids"} and removes these messages from the caller's subscription."""
    name = 'topic-gateway.acknowledge'

    def answer(self, body):
        key, leases = self.subscription()
        sequence_ids = numbers(body, 'sequence_ids')
        for start in range(0, len(sequence_ids), 500): # databases limit the parameters of a statement
            part = sequence_ids[start:start + 500]
            self.server.pubsub_backend.ack_messages(key, [str(sequence_id) for sequence_id in part], part)
        leases.release(sequence_ids)
        return {'acknowledged': len(sequence_ids)}


class GiveBack(Gateway, Service):
    """ Takes {"sequence_ids"} and ends the leases of these messages, so that the next pull
    returns them."""
    name = 'topic-gateway.give-back'

    def answer(self, body):
        key, leases = self.subscription()
        sequence_ids = numbers(body, 'sequence_ids')
        leases.release(sequence_ids)
        self.server.pubsub_backend.notify_sub_keys([key])
        return {'given_back': len(sequence_ids)}
