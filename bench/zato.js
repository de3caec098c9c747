// Measures the official client: one call after the other. The arguments are the address, a
// duration in milliseconds, the username, the secret, the service and the request. Prints the
// latency of each call in nanoseconds.
const { ZatoWSXClient } = require('zato-js-client');
const [address, duration, username, secret, service, request] = process.argv.slice(-6);
console.log = () => {}; // the client logs each step, which would slow it down

const client = new ZatoWSXClient();
Object.assign(client, { address, username, secret, client_id: 'bench', client_name: 'bench' });
let resolveAnswer;
client.on_message_received = (_client, answer) => resolveAnswer(answer);

async function call() {
  const start = process.hrtime.bigint();
  const answer = await new Promise((resolve) => {
    resolveAnswer = resolve;
    client.invoke(service, JSON.parse(request));
  });
  if (!answer.data.response) throw new Error(`not an answer: ${JSON.stringify(answer)}`);
  return Number(process.hrtime.bigint() - start);
}

client.when_ready = async () => {
  await call(); // warm up the compiler
  const latencies = [];
  const start = performance.now();
  // The client polls for an answer five times a second, so the duration may end before the
  // first one.
  while (latencies.length < 5 || performance.now() - start < Number(duration)) latencies.push(await call());
  process.stdout.write(latencies.join('\n'));
  process.exit(); // otherwise the client reconnects when the connection closes
};
client.connect();
