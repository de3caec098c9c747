// A bare `ws` with a map of promises: 64 calls in flight on one connection, for so many
// milliseconds. It prints the calls a second.
const WebSocket = require('ws');
const [url, about] = process.argv.slice(-2);
const waiting = new Map();
const socket = new WebSocket(url);
let ids = 0;

function call(action, data) {
  const id = 'js' + ++ids;
  const meta = { action, id, timestamp: new Date().toISOString(), client_id: 'bench', client_name: 'bench' };
  return new Promise((resolve) => {
    waiting.set(id, resolve);
    socket.send(JSON.stringify({ meta, data }));
  });
}

socket.on('message', (frame) => {
  const { meta, data } = JSON.parse(frame);
  const resolve = waiting.get(meta.in_reply_to);
  waiting.delete(meta.in_reply_to);
  resolve(data);
});

socket.on('open', async () => {
  await call('create-session');
  const request = { number: 1, text: 'some text of a request' };
  let calls = 0;
  const measure = async (ms) => {
    const began = performance.now();
    const caller = async () => {
      while (performance.now() - began < ms) {
        await call('invoke-service', { service: 'bench', request });
        calls++;
      }
    };
    calls = 0;
    await Promise.all(Array.from({ length: 64 }, caller));
    return calls / ((performance.now() - began) / 1000);
  };
  await measure(300); // until it is compiled
  console.log(await measure(Number(about)));
  socket.close();
});
