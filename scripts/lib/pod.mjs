// A pod of the demo: answers every HTTP request with its name, the client address that it sees, and what X-Forwarded-For says; in the
// header X-App-Path with the path that it was asked for.
import { createServer } from 'node:http';

const [name] = process.argv.slice(2);
const server = createServer(({ socket, headers, url }, response) =>
  response.setHeader('x-app-path', url).end(`${[name, socket.remoteAddress, headers['x-forwarded-for']].filter(Boolean).join(' ')}\n`),
);
server.listen(8080, '0.0.0.0', () => console.log('listening'));
process.on('SIGTERM', () => server.close());
