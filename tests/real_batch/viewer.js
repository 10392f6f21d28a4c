// A viewer in the shape of seed 000's client, on the `ws` package. Writes what it receives, one message a line.
//
// usage: node viewer.js <URL> <task> <room whose first message ends it>

const WebSocket = require('ws');

const [, , url, taskId, lastRoom] = process.argv;
const ws = new WebSocket(url);

ws.onopen = () => {
  ws.send(JSON.stringify({
    type: 'subscribe',
    taskIds: [taskId],
    rooms: [`task:${taskId}`, lastRoom]
  }));
};

ws.onmessage = (event) => {
  const message = JSON.parse(event.data);
  process.stdout.write(JSON.stringify(message) + '\n');

  switch (message.type) {
    case 'task_started':
      console.error('Task started:', message.payload.taskId);
      break;

    case 'task_completed':
      console.error('Task completed:', JSON.stringify(message.payload.result));
      break;

    case 'task_failed':
      console.error('Task failed:', message.payload.error);
      break;

    case 'room_broadcast':
      ws.close();
      break;
  }
};

ws.onerror = (error) => {
  console.error('WebSocket error:', error.message);
  process.exitCode = 1;
};

// Only a failing test waits so long.
setTimeout(() => process.exit(2), 60000).unref();
