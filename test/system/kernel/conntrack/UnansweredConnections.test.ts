/** Looks at the kernel's table: one lost answer must not end them for good, and they are as many as are needed. */
import t from 'tap';
import type { ConntrackEntry } from '../../../../src/kernel/conntrack/ConntrackEntry.js';
import { ConntrackStatus, IpProtocol, TcpState } from '../../../../src/kernel/conntrack/constants.js';
import { UnansweredConnections } from '../../../../src/kernel/conntrack/UnansweredConnections.js';
import { ip } from '../../../support/builders.js';
import { FakeClock } from '../../../support/FakeClock.js';
import { inNetns } from '../../../support/inNetns.js';

const CLIENT = ip('10.0.0.1');

function unansweredEntry(id: number): ConntrackEntry {
  const tuple = { family: 'IPv4', protocol: IpProtocol.TCP } as const;
  const to = { source: CLIENT, sourcePort: 40_000, destination: ip('10.96.0.1'), destinationPort: 80 };
  const back = { source: ip('10.0.0.2'), sourcePort: 80, destination: CLIENT, destinationPort: 40_000 };
  return {
    id,
    zone: 0,
    status: ConntrackStatus.DESTINATION_NAT,
    tcpState: TcpState.SYN_SENT,
    bytes: undefined,
    original: { ...tuple, ...to },
    reply: { ...tuple, ...back },
  };
}

if (await inNetns(import.meta.url)) {
  t.test('a look that fails is told once and tried again; a later failure is told again', async (t) => {
    const clock = new FakeClock();
    const told: string[] = [];
    const answers = ['ENOBUFS', 'ENOBUFS', '', 'ETIMEDOUT', ''];
    let looks = 0;
    const connections = new UnansweredConnections({
      isMarked: true,
      clock,
      take: () => t.fail('there is nothing'),
      onFailure: (error) => told.push((error as Error).message),
      conntrack: {
        each: async () => {
          const answer = answers[looks++];
          if (answer) throw new Error(answer);
        },
      },
    });
    for (let i = 0; i < answers.length; i++) await clock.pass(10_000);
    t.equal(looks, answers.length);
    t.same(told, ['ENOBUFS', 'ETIMEDOUT']);
    connections.close();
    await clock.pass(60_000);
    t.equal(looks, answers.length, 'closed, it looks no more');
  });

  t.test('who waits for an answer is looked at again soon; while nobody does it looks rarely', async (t) => {
    const clock = new FakeClock();
    const told: number[] = [];
    const looks: number[] = [];
    let entries: readonly number[] = [];
    const connections = new UnansweredConnections({
      isMarked: true,
      clock,
      take: (_, { id }) => told.push(id),
      onFailure: (error) => t.fail(String(error)),
      conntrack: {
        each: async (_, take) => {
          looks.push(clock.now());
          for (const id of entries) take(unansweredEntry(id));
        },
      },
    });
    await clock.pass(20_000);
    t.same(looks.splice(0), [10_000, 20_000]);
    entries = [7];
    await clock.pass(10_000);
    t.same(told, []);
    await clock.pass(3000);
    t.same(told, [7], 'three seconds after it was seen first');
    await clock.pass(20_000);
    t.same(looks, [30_000, 33_000, 43_000, 53_000]);
    t.same(told, [7], 'and no more');
    connections.close();
  });
}
