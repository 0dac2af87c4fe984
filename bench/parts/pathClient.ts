/** Asks URL with Host and API key for so many milliseconds, eight at a time, each on a connection of its own; prints PathFigures. */
import { request } from 'node:http';

export interface PathFigures {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly failed: number;
}

const AT_A_TIME = 8;
const [url = '', host = '', milliseconds = '1000', from] = process.argv.slice(2);
const { hostname, port, pathname } = new URL(url);
const headers = { host, 'x-api-key': 'key-of-anna' };
const options = { hostname, port: port || 80, path: pathname, agent: false as const, headers, timeout: 5000 };

function ask(): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ ...options, localAddress: from }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode === 200));
    });
    asked.on('timeout', () => asked.destroy(new Error('timeout')));
    asked.on('error', () => resolve(false));
    asked.end();
  });
}

const times: number[] = [];
let failed = 0;
const began = performance.now();
const end = began + Number(milliseconds);

async function askOn(): Promise<void> {
  for (;;) {
    const start = performance.now();
    if (start >= end) return;
    if (await ask()) times.push(performance.now() - start);
    else failed++;
  }
}

await Promise.all(Array.from({ length: AT_A_TIME }, askOn));
const seconds = (performance.now() - began) / 1000;
times.sort((a, b) => a - b);
const at = (share: number) => times[Math.floor(times.length * share)] ?? 0;
const figures: PathFigures = { perSecond: times.length / seconds, p50: at(0.5), p99: at(0.99), failed };
console.log(JSON.stringify(figures));
