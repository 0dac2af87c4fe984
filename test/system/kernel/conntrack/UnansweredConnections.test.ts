/** Looks at the kernel's table that fail: one lost answer must not end them for good. */
import t from 'tap';
import { UnansweredConnections } from '../../../../src/kernel/conntrack/UnansweredConnections.js';
import { FakeClock } from '../../../support/FakeClock.js';
import { inNetns } from '../../../support/inNetns.js';

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
    for (let i = 0; i < answers.length; i++) await clock.pass(5000);
    t.equal(looks, answers.length);
    t.same(told, ['ENOBUFS', 'ETIMEDOUT']);
    connections.close();
    await clock.pass(60_000);
    t.equal(looks, answers.length, 'closed, it looks no more');
  });
}
