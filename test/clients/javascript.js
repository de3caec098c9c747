// Runs the official client through one session. The arguments are the address, the
// username, the secret and a topic.
const { ZatoWSXClient } = require('zato-js-client');
const [address, username, secret, topic] = process.argv.slice(-4);
console.log = () => {};

const client = new ZatoWSXClient();
Object.assign(client, { address, username, secret, client_id: 'official.js', client_name: 'official' });
let subKey;
const steps = [
  () => client.invoke('my.echo', { text: 'żółć /', n: 1.5, list: [null, true] }),
  () => client.invoke('my.nothing', { n: 1 }),
  () => client.invoke('my.fail', { n: 1 }),
  () => client.invoke('my.no-such', { n: 1 }),
  () => client.subscribe(topic),
  () => client.invoke('my.sleep', { seconds: 2 }), // until the server knows the connection
  () => client.publish(topic, 'a message', { priority: 7, expiration: 60, correl_id: 'c-1', in_reply_to: 'r-1' }),
  () => {}, // the message
  () => client.publish(topic, ''),
  () => client.unsubscribe(subKey, topic), // the client leaves the topic out
  () => client.resume_subscription('zpsk.wsx.official.js.000000', topic),
  () => client.invoke('zato.pubsub.pubapi.unsubscribe', { sub_key: subKey, topic_name: topic }),
  () => client.disconnect(),
];
// The client cannot find the key of a gateway's answer, so this does.
client.on_message_received = (_client, message) => {
  subKey ||= message.data?.response?.sub_key;
  steps.shift()();
};
client.when_ready = () => steps.shift()();
client.connect();
