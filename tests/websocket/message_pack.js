// Sends every kind of value in a ping, and expects it back in the pong; then what JSON cannot say, and expects an error that
// names it. Says "all as expected" in the end.
//
// usage: node message_pack.js <URL>

const assert = require('assert');
const { Packr, unpack } = require('msgpackr');
const WebSocket = require('ws');

const packr = new Packr({ useRecords: false });
const brief = new Packr({ useRecords: false, useFloat32: 3 });

const values = [
  [0, 1, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, Number.MAX_SAFE_INTEGER],
  [-1, -32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649, Number.MIN_SAFE_INTEGER],
  [0.1, -0.5, 1e300, -1e-300, 5e-324, 3.5, 1e21],
  [18446744073709551615n, 9223372036854775807n, -9223372036854775808n, 9007199254740993n],
  ['', 'a', 'é', '😀', '"\\/\b\f\n\r\t\u0000\u001f\u007f', 'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(300), 'ü'.repeat(40000)],
  [null, true, false, [], {}, [[]], { a: {} }],
  Array.from({ length: 15 }, (_, n) => n),
  Array.from({ length: 16 }, (_, n) => n),
  Array.from({ length: 70000 }, (_, n) => n % 1000),
  Object.fromEntries(Array.from({ length: 16 }, (_, n) => ['k' + n, n])),
  Object.fromEntries(Array.from({ length: 5000 }, (_, n) => ['key ' + n, { n }])),
];

const refused = [
  [Buffer.from([1, 2, 3]), 'payload.a[1]: binary data is not JSON'],
  [new Date(0), 'payload.a[1]: an extension (type -1) is not JSON'],
  [undefined, 'payload.a[1]: an extension (type 0) is not JSON'],
  [NaN, 'payload.a[1]: `NaN` is not JSON'],
  [-Infinity, 'payload.a[1]: `-inf` is not JSON'],
  [new Map([[7, 1]]), 'payload.a[1]: a key of this map is a whole number; expected a string'],
];

const socket = new WebSocket(process.argv[2], 'joblight.msgpack');
const waiting = [];
const heard = [];

function next() {
  return new Promise((resolve) => {
    if (heard.length > 0) resolve(heard.shift());
    else waiting.push(resolve);
  });
}

socket.on('message', (bytes, isBinary) => {
  assert(isBinary);
  const message = unpack(bytes);
  if (waiting.length > 0) waiting.shift()(message);
  else heard.push(message);
});

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

async function converse() {
  assert.strictEqual((await next()).type, 'connected');
  for (const value of values) {
    socket.send(packr.pack({ type: 'ping', id: 'x', payload: { value } }));
    const pong = await next();
    assert.strictEqual(pong.type, 'pong');
    assert.strictEqual(pong.replyTo, 'x');
    assert.deepStrictEqual(pong.payload, { value });
  }
  socket.send(brief.pack({ type: 'ping', payload: { value: [0.1, 1.5] } }));
  assert.deepStrictEqual((await next()).payload, { value: [0.1, 1.5] });
  for (const [value, reason] of refused) {
    socket.send(packr.pack({ type: 'ping', payload: { a: [0, value] } }));
    const error = await next();
    assert.strictEqual(error.payload.code, 'invalid_json');
    assert(error.payload.message.includes(reason), error.payload.message);
  }
  socket.close();
  console.log('all as expected');
}

socket.on('error', fail);
setTimeout(() => fail('no answer in time'), 60000).unref();
converse().catch(fail);
