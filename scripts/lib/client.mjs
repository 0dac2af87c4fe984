// Asks URL COUNT times, one after the other, each on a connection of its own, and prints a line each: what was answered,
// `refused`, `timeout` (1.5 s) or another error's code. COUNT 0: until SIGTERM.
import { get } from 'node:http';

const [url, count, localAddress] = process.argv.slice(2);
const limit = Number(count) || Number.POSITIVE_INFINITY;
let going = true;
process.on('SIGTERM', () => {
  going = false;
});

function ask() {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout: 1500, ...(localAddress && { localAddress }) }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve(text.trim()));
      response.on('error', (error) => resolve(error.code));
    });
    request.on('timeout', () => {
      resolve('timeout');
      request.destroy();
    });
    request.on('error', (error) => resolve(error.code === 'ECONNREFUSED' ? 'refused' : error.code));
  });
}

const lines = [];
while (going && lines.length < limit) lines.push(await ask());
process.stdout.write(lines.map((line) => `${line}\n`).join(''));
