// A pod of the demo: answers every HTTP request with its name and the client address that it sees.
import { createServer } from 'node:http';

const [name] = process.argv.slice(2);
const server = createServer((request, response) => response.end(`${name} ${request.socket.remoteAddress}\n`));
server.listen(8080, '0.0.0.0', () => console.log('listening'));
process.on('SIGTERM', () => server.close());
