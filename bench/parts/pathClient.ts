/**
 * Asks some URLs in turns, eight requests at a time, each on a connection of its own: HOPS as JSON, a list of [URL, Host]; TURNS;
 * REQUESTS a turn; the client's address. Turns are short, so that whatever else the machine does meets all URLs alike. They are
 * counted in requests, since a masqueraded way has 64,512 ports to an endpoint, and conntrack keeps each for two minutes after its
 * connection: who asks for longer than it takes to use them up measures that. Prints PathFigures of each, in the order of HOPS, as JSON.
 */
import { request } from 'node:http';
import { median } from './statistics.js';

export interface PathFigures {
  /** Requests a second of each turn. */
  readonly perSecond: readonly number[];
  /** Of all requests of all turns, milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly failed: number;
}

const AT_A_TIME = 8;
const [hopsText = '[]', turns = '100', requests = '32', from] = process.argv.slice(2);
const hops = (JSON.parse(hopsText) as [string, string][]).map(([url, host]) => {
  const { hostname, port, pathname } = new URL(url);
  const headers = { host, 'x-api-key': 'key-of-anna' };
  return {
    options: {
      hostname,
      port: port || 80,
      path: pathname,
      agent: false as const,
      headers,
      timeout: 5000,
      localAddress: from,
    },
    perSecond: [] as number[],
    times: [] as number[],
    failed: 0,
  };
});
type Hop = (typeof hops)[number];

function ask({ options }: Hop): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request(options, (response) => {
      response.resume().on('end', () => resolve(response.statusCode === 200));
    });
    asked.on('timeout', () => asked.destroy(new Error('timeout')));
    asked.on('error', () => resolve(false));
    asked.end();
  });
}

async function turn(hop: Hop): Promise<void> {
  let left = Number(requests);
  const before = hop.times.length;
  const began = performance.now();
  const askOn = async () => {
    while (left-- > 0) {
      const start = performance.now();
      if (await ask(hop)) hop.times.push(performance.now() - start);
      else hop.failed++;
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, askOn));
  hop.perSecond.push(((hop.times.length - before) * 1000) / (performance.now() - began));
}

// The first turns of each warm up the programs on the way, and V8.
const WARM_UP = 5;
for (let i = 0; i < Number(turns) + WARM_UP; i++) {
  for (let h = 0; h < hops.length; h++) await turn(hops[(i + h) % hops.length] as Hop);
  if (i === WARM_UP - 1) {
    for (const hop of hops) {
      hop.perSecond.length = 0;
      hop.times.length = 0;
    }
  }
}
const figures = hops.map(({ perSecond, times, failed }): PathFigures => {
  times.sort((a, b) => a - b);
  return { perSecond, p50: median(times), p99: times[Math.floor(times.length * 0.99)] ?? 0, failed };
});
console.log(JSON.stringify(figures));
