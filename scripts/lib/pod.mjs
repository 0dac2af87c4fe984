// A pod of the demo: answers every connection with its name and the client address that it sees.
import { createServer } from 'node:net';

const [name] = process.argv.slice(2);
const server = createServer((socket) => {
  socket.on('error', () => {});
  socket.end(`${name} ${socket.remoteAddress?.replace('::ffff:', '')}\n`);
});
server.listen(8080, '0.0.0.0');
