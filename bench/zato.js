// The official client: calls one after the other, for so many milliseconds. It prints
// the median of how long they take, in nanoseconds.
const { ZatoWSXClient } = require('zato-js-client');
const [address, about] = process.argv.slice(-2);
console.log = () => {}; // the client prints its steps, which would only slow it down

const client = new ZatoWSXClient();
Object.assign(client, { address, client_id: 'bench', client_name: 'bench' });
let answered;
client.on_message_received = (_client, answer) => answered(answer);

async function call() {
  const began = process.hrtime.bigint();
  const answer = await new Promise((resolve) => {
    answered = resolve;
    client.invoke('bench', { number: 1, text: 'some text of a request' });
  });
  if (!answer.data.response) throw new Error(`not an answer: ${JSON.stringify(answer)}`);
  return Number(process.hrtime.bigint() - began);
}

client.when_ready = async () => {
  await call(); // until it is compiled
  const took = [];
  const began = performance.now();
  // The client looks for an answer five times a second, so that the time alone could
  // be over before the first.
  while (took.length < 5 || performance.now() - began < Number(about)) took.push(await call());
  took.sort((a, b) => a - b);
  process.stdout.write(`${took[Math.floor((took.length - 1) / 2)]}\n`);
  process.exit(); // the client would connect again when the connection is closed
};
client.connect();
