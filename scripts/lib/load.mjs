// Asks URL at RATE requests a second (paced by the clock, whatever the answers take), each on a connection of its own, with the Host header
// HOST and from the address FROM (any when it is not given), until SIGTERM. Prints `asking` when it begins, and in the end one line of
// JSON: asked, failed, why (failure → count), gapMs (longest time without a good answer), lastFailure (when the last
// one of those that failed was asked, milliseconds since 1970), p50 and p99 in milliseconds, rate, by (first
// word of the answers → count).
import { request } from 'node:http';

const [url, rate, host, from] = process.argv.slice(2);
const { hostname, port, pathname } = new URL(url);
const MOST_OPEN = 200;
// What is lost for good never comes; what only waits for a busy machine does.
const PATIENCE_MS = 15_000;
const why = {};
const by = {};
const times = [];
let asked = 0;
let open = 0;
let gapMs = 0;
let lastFailure = 0;
let lastGood = performance.now();
let going = true;

function ask() {
  asked++;
  open++;
  const began = performance.now();
  let done = false;
  const end = (failure, text = '') => {
    if (done) return;
    done = true;
    open--;
    const now = performance.now();
    if (failure === undefined) {
      times.push(now - began);
      gapMs = Math.max(gapMs, now - lastGood);
      lastGood = now;
      const [who = ''] = text.split(' ');
      by[who] = (by[who] ?? 0) + 1;
    } else {
      lastFailure = Math.max(lastFailure, Math.round(performance.timeOrigin + began));
      why[failure] = (why[failure] ?? 0) + 1;
    }
  };
  const options = { hostname, port: port || 80, path: pathname, agent: false, headers: { host }, timeout: PATIENCE_MS, localAddress: from };
  const asking = request(options, (response) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk) => {
      text += chunk;
    });
    response.on('end', () => end(response.statusCode === 200 ? undefined : String(response.statusCode), text));
    response.on('error', (error) => end(error.code));
  });
  asking.on('timeout', () => asking.destroy(Object.assign(new Error(), { code: 'timeout' })));
  asking.on('error', (error) => end(error.code ?? error.message));
  asking.end();
}

const began = performance.now();
const timer = setInterval(() => {
  const due = ((performance.now() - began) / 1000) * Number(rate);
  // Where machine or answers cannot keep up it asks less, or a queue would be what is seen.
  for (let i = 0; i < 50 && asked < due && open < MOST_OPEN; i++) ask();
}, 5);

console.log('asking');
process.on('SIGTERM', () => {
  if (!going) return;
  going = false;
  clearInterval(timer);
  const finish = () => {
    if (open > 0 && performance.now() - lastGood < PATIENCE_MS + 1000) return void setTimeout(finish, 50);
    times.sort((a, b) => a - b);
    const at = (share) => Math.round((times[Math.floor(times.length * share)] ?? 0) * 10) / 10;
    const seconds = (performance.now() - began) / 1000;
    const failed = asked - times.length;
    console.log(JSON.stringify({ asked, failed, why, gapMs: Math.round(gapMs), lastFailure, p50: at(0.5), p99: at(0.99), rate: Math.round(asked / seconds), by }));
    process.exit(0);
  };
  finish();
});
