import { createServer } from 'node:net';
import t from 'tap';
import { askMachine, RESTART_MS, SilentNodes } from '../../../../src/balancer/announce/SilentNodes.js';
import { ip } from '../../../support/builders.js';
import { FakeClock } from '../../../support/FakeClock.js';

type Machine = 'refuses' | 'says nothing' | 'unreachable';

function world(machines: Record<string, Machine>) {
  const clock = new FakeClock();
  let changes = 0;
  let asked = 0;
  const ask = (address: string, signal: AbortSignal) => {
    asked++;
    const machine = machines[address];
    return new Promise<boolean>((resolve) => {
      if (machine !== 'says nothing') resolve(machine === 'refuses');
      signal.addEventListener('abort', () => resolve(false));
    });
  };
  const nodes = new SilentNodes(ask, clock, () => changes++);
  return {
    clock,
    nodes,
    machines,
    answering: () => [...nodes.answering].join(' '),
    counts: () => ({ changes, asked }),
  };
}

const B = ip('192.0.2.2');
const C = ip('192.0.2.3');
const BOTH = new Map([
  ['b', B],
  ['c', C],
]);

t.test('a machine that refuses lives; one that says nothing does not', async (t) => {
  const { clock, nodes, answering, counts } = world({ [B]: 'refuses', [C]: 'says nothing' });
  nodes.set(BOTH);
  t.equal(answering(), '', 'nobody has said anything yet');
  await clock.pass(10);
  t.equal(answering(), 'b');
  await clock.pass(5000);
  t.equal(answering(), 'b');
  t.equal(counts().changes, 1, 'an answer more is no news');
  nodes.set(new Map());
  t.equal(answering(), '', 'heard again');
  t.equal(clock.waiting, 0);
});

t.test('an agent that does not come back is given up', async (t) => {
  const { clock, nodes, answering, counts } = world({ [B]: 'refuses' });
  nodes.set(new Map([['b', B]]));
  await clock.pass(RESTART_MS - 1000);
  t.equal(answering(), 'b');
  await clock.pass(2000);
  t.equal(answering(), '');
  const { asked } = counts();
  nodes.set(new Map([['b', B]]));
  await clock.pass(60_000);
  t.equal(counts().asked, asked, 'and nobody asks any more');
  t.equal(clock.waiting, 0);
});

t.test('a machine that went has lost its rules, also when it is back soon', async (t) => {
  for (const gone of ['says nothing', 'unreachable'] as const) {
    const { clock, nodes, machines, answering } = world({ [B]: 'refuses' });
    nodes.set(new Map([['b', B]]));
    await clock.pass(1000);
    t.equal(answering(), 'b');
    machines[B] = gone;
    await clock.pass(1500);
    t.equal(answering(), '', gone);
    machines[B] = 'refuses';
    await clock.pass(5000);
    t.equal(answering(), '', 'it has to be heard');
    nodes.set(new Map());
    nodes.set(new Map([['b', B]]));
    await clock.pass(10);
    t.equal(answering(), 'b', 'and then silent again');
  }
});

t.test('closed in the middle of a question', async (t) => {
  const { clock, nodes, counts } = world({ [B]: 'refuses', [C]: 'says nothing' });
  nodes.set(BOTH);
  nodes.close();
  await clock.pass(RESTART_MS);
  t.equal(clock.waiting, 0);
  t.same(counts(), { changes: 0, asked: 2 });
});

t.test('over TCP: refused, accepted, and no way there', async (t) => {
  const never = new AbortController().signal;
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  t.equal(await askMachine(port)(ip('127.0.0.1'), never), true);
  await new Promise((done) => server.close(done));
  t.equal(await askMachine(port)(ip('127.0.0.1'), never), true);
  t.equal(await askMachine(port)(ip('240.0.0.1'), AbortSignal.timeout(200)), false);
});
