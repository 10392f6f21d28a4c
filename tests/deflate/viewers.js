// Viewers on the `ws` package, each with a permessage-deflate of its own. They write, as one JSON object a line:
//   {"viewer", "extensions"}           what the server answered to the offer; null: nothing
//   {"viewer", "text", "wire", "rsv1"} a message, the length of its payload on the wire, and whether it came compressed
//   {"viewer", "sent"}                 the bytes that a message took on the wire
// and send what they are told to: {"viewer", "text"}, one a line. At the end of their input they leave.
//
// usage: node viewers.js <URL> <{name: perMessageDeflate, ...}> <first message of each>

const readline = require('readline');
const WebSocket = require('ws');

const [, , url, offers, greeting] = process.argv;

function write(line) {
  process.stdout.write(JSON.stringify(line) + '\n');
}

function fail(reason) {
  console.error(reason);
  process.exit(1);
}

// The first whole frame of a server, which masks nothing (RFC 6455 section 5.2).
function readFrame(bytes) {
  if (bytes.length < 2) return null;
  let length = bytes[1] & 0x7f;
  let start = 2;
  if (length === 126) {
    if (bytes.length < 4) return null;
    length = bytes.readUInt16BE(2);
    start = 4;
  } else if (length === 127) {
    if (bytes.length < 10) return null;
    length = Number(bytes.readBigUInt64BE(2));
    start = 10;
  }
  if (bytes.length < start + length) return null;
  return {
    isWhole: (bytes[0] & 0x80) !== 0,
    rsv1: (bytes[0] & 0x40) !== 0,
    isControl: (bytes[0] & 0x08) !== 0,
    wire: length,
    end: start + length
  };
}

class Viewer {
  constructor(name, perMessageDeflate) {
    this.name = name;
    this.frames = [];
    this.unread = Buffer.alloc(0);
    this.ws = new WebSocket(url, { perMessageDeflate });
    this.ws.on('upgrade', (response) => {
      this.socket = response.socket;
      write({ viewer: name, extensions: response.headers['sec-websocket-extensions'] ?? null });
    });
    this.ws.on('open', () => {
      // In front of ws, which listens by now and has read nothing: a frame is known before ws tells of its message.
      this.socket.prependListener('data', (bytes) => this.readFrames(bytes));
      this.ws.send(greeting);
    });
    this.ws.on('message', (text) => {
      const { wire, rsv1 } = this.frames.shift();
      write({ viewer: name, text: text.toString(), wire, rsv1 });
    });
    this.ws.on('error', (error) => fail(`${name}: ${error.message}`));
    this.ws.on('close', (code) => code === 1000 || fail(`${name}: closed with ${code}`));
  }

  readFrames(bytes) {
    this.unread = Buffer.concat([this.unread, bytes]);
    for (let frame; (frame = readFrame(this.unread)); this.unread = this.unread.subarray(frame.end)) {
      if (!frame.isWhole) fail(`${this.name}: a message in parts`);
      if (!frame.isControl) this.frames.push(frame);
    }
  }

  send(text) {
    const before = this.socket.bytesWritten;
    this.ws.send(text, () => write({ viewer: this.name, sent: this.socket.bytesWritten - before }));
  }
}

const viewers = new Map(
  Object.entries(JSON.parse(offers)).map(([name, offer]) => [name, new Viewer(name, offer)])
);

const input = readline.createInterface({ input: process.stdin });
input.on('line', (line) => {
  const { viewer, text } = JSON.parse(line);
  viewers.get(viewer).send(text);
});
input.on('close', () => viewers.forEach((viewer) => viewer.ws.close(1000)));

// Only a failing test waits so long.
setTimeout(() => process.exit(2), 60000).unref();
