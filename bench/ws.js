// Measures the ws package without a client: 64 calls in flight on one connection, with a
// promise per call. The arguments are the address and a duration in milliseconds. Prints
// the number of calls per second.
const WebSocket = require('ws');
const [url, duration] = process.argv.slice(-2);
const pending = new Map();
const socket = new WebSocket(url);
let ids = 0;

function call(action, data) {
  const id = 'js' + ++ids;
  const meta = { action, id, timestamp: new Date().toISOString(), client_id: 'bench', client_name: 'bench' };
  return new Promise((resolve) => {
    pending.set(id, resolve);
    socket.send(JSON.stringify({ meta, data }));
  });
}

socket.on('message', (frame) => {
  const { meta, data } = JSON.parse(frame);
  const resolve = pending.get(meta.in_reply_to);
  pending.delete(meta.in_reply_to);
  resolve(data);
});

socket.on('open', async () => {
  await call('create-session');
  const request = { number: 1, text: 'some text of a request' };
  let calls = 0;
  const measure = async (ms) => {
    const start = performance.now();
    const caller = async () => {
      while (performance.now() - start < ms) {
        await call('invoke-service', { service: 'bench', request });
        calls++;
      }
    };
    calls = 0;
    await Promise.all(Array.from({ length: 64 }, caller));
    return calls / ((performance.now() - start) / 1000);
  };
  await measure(300); // warm up the compiler
  console.log(await measure(Number(duration)));
  socket.close();
});
