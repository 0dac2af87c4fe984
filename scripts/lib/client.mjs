// Connects COUNT times, one after the other, and prints a line each: what was answered, `refused` or `timeout`.
// COUNT 0: until standard input ends.
import { connect } from 'node:net';

const [host, port, count, localAddress] = process.argv.slice(2);
const limit = Number(count) || Number.POSITIVE_INFINITY;
let going = true;
if (limit === Number.POSITIVE_INFINITY) process.stdin.on('end', () => (going = false)).resume();

function once() {
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port), ...(localAddress ? { localAddress } : {}) });
    let text = '';
    socket.setTimeout(1500, () => {
      resolve('timeout');
      socket.destroy();
    });
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', (error) => resolve(error.code === 'ECONNREFUSED' ? 'refused' : error.code));
    socket.on('close', () => resolve(text.trim()));
  });
}

const lines = [];
for (let i = 0; going && i < limit; i++) lines.push(await once());
process.stdout.write(lines.map((line) => `${line}\n`).join(''));
process.exit(0);
