/** Whether a queue of first packets does its work, from what the agent and /proc/net/netfilter/nfnetlink_queue say. */
import t from 'tap';
import { queueTests } from '../../../../src/cli/see/queueTests.js';

const CHOICE = {
  kind: 'choice',
  queue: 28_773,
  why: '',
  otherwise: 'endpoints are drawn by lot where an algorithm counts',
  isWatched: true,
  letPass: 0,
} as const;
const HOLD = {
  ...CHOICE,
  kind: 'hold',
  queue: 28_805,
  otherwise: 'Services without endpoints refuse',
} as const;

/** number, port, waiting, mode, range, dropped, dropped for the socket, last id, 1 */
const row = (queue: number, waiting: number, last: number, dropped = 0) =>
  `${queue}  4242     ${waiting} 2   128     ${dropped}     1     ${last}  1\n`;

async function says(
  queue: typeof CHOICE | typeof HOLD | Parameters<typeof queueTests>[0][number],
  ...reads: readonly string[]
) {
  const left = [...reads];
  const [test] = await queueTests([queue], () => left.shift() ?? '');
  return test;
}

t.test('it does', async (t) => {
  t.strictSame(await queueTests([]), []);
  const read = row(28_773, 0, 17) + row(28_805, 3, 5);
  t.match(await says(CHOICE, read, read), {
    name: 'endpoints',
    passed: true,
    says: 'are chosen for first packets: queue 28773, 0 wait, 1 found no room',
  });
  t.match(await says(HOLD, read, read), {
    name: 'wake',
    passed: true,
    says: 'for first packets of Services that sleep: queue 28805, 3 wait, 1 found no room',
  });
  const both = row(28_773, 1, 17) + row(28_774, 2, 4);
  t.match(
    await says({ ...CHOICE, queues: 2 }, both, row(28_773, 1, 18) + row(28_774, 2, 5)),
    { passed: true, says: 'are chosen for first packets: queues 28773 to 28774, 3 wait, 2 found no room' },
    'one for each processor',
  );
  t.match(await says({ ...CHOICE, letPass: 2 }, read, read), { says: /let pass by the watchdog 2 times$/ });
  t.match(await says(CHOICE, row(28_773, 2, 17), row(28_773, 2, 40)), { passed: true }, 'others wait now');
});

t.test('it does not: what becomes of first packets, and why', async (t) => {
  const wrong = async (...args: Parameters<typeof says>) => {
    const test = await says(...args);
    t.equal(test?.passed, false);
    return test?.says;
  };
  t.equal(
    await wrong({ ...CHOICE, queue: null, why: 'this kernel has neither' }),
    'endpoints are drawn by lot where an algorithm counts: this kernel has neither',
  );
  t.match(await wrong(HOLD, row(28_773, 0, 1), row(28_773, 0, 1)), /refuse: queue 28805 is bound to nobody/);
  const ofTwo = { ...CHOICE, queues: 2 };
  t.match(await wrong(ofTwo, row(28_773, 0, 1), row(28_773, 0, 1)), /queue 28774 is bound to nobody/);
  const stuck = row(28_773, 0, 1) + row(28_774, 3, 1);
  t.match(await wrong(ofTwo, stuck, stuck), /queue 28774 is stuck: 3 first packets wait/);
  t.match(await wrong(CHOICE, row(28_773, 4, 9), row(28_773, 6, 9)), /is stuck: 6 first packets wait/);
  t.match(
    await wrong({ ...CHOICE, isWatched: false }, row(28_773, 0, 1), row(28_773, 0, 1)),
    /has no watchdog/,
  );
  t.match(
    await wrong({ ...CHOICE, why: 'refused' }, row(28_773, 0, 1), row(28_773, 0, 1)),
    /by lot .*: refused$/,
  );
});

t.test('accepting has no queue: what is wrong with it is a fault', async (t) => {
  const otherwise = 'connections to sleeping Services are refused, not accepted';
  const accept = { ...CHOICE, kind: 'accept', queue: null, why: 'EOPNOTSUPP', otherwise } as const;
  t.strictSame(await says(accept, ''), { name: 'wake', passed: false, says: `${otherwise}: EOPNOTSUPP` });
});
