/** Whatever the agent does when it is told to end: it has a limit from the signal on. */
import t from 'tap';
import { ProcessSignals } from '../../../src/agent/ProcessSignals.js';
import { FakeClock } from '../../support/FakeClock.js';

function signalWorld() {
  const clock = new FakeClock();
  const exits: number[] = [];
  const said: string[] = [];
  const note = (text: unknown) => void said.push(String(text));
  const signals = new ProcessSignals({
    onHangUp: () => note('hang up'),
    longestEndMs: () => 30_000,
    process: {
      on: process.on.bind(process),
      off: process.off.bind(process),
      exit: (status) => void exits.push(status),
    },
    clock,
    log: { info: note, error: note },
  });
  return { clock, exits, said, signals };
}

t.test(
  'an end that hangs is cut short, counted from the signal; a second signal changes nothing',
  async (t) => {
    const { clock, exits, said, signals } = signalWorld();
    t.notOk(signals.isEnding);
    process.emit('SIGTERM');
    t.ok(signals.isEnding, 'also while nobody waits for it');
    t.equal(await signals.ended, 'SIGTERM received');
    await clock.pass(20_000);
    process.emit('SIGINT');
    await clock.pass(9_999);
    t.same(exits, []);
    await clock.pass(1);
    t.same(exits, [1]);
    t.match(said, ['something does not end: the process ends all the same']);
    signals.close();
  },
);

t.test('an end in time leaves no timer', async (t) => {
  const { clock, exits, signals } = signalWorld();
  process.emit('SIGTERM');
  signals.close();
  t.equal(clock.waiting, 0);
  await clock.pass(60_000);
  t.same(exits, []);
});

t.test('other signals do not end it', async (t) => {
  const { clock, said, signals } = signalWorld();
  t.teardown(() => signals.close());
  for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const) process.emit(signal);
  t.same(said, [
    'hang up',
    'SIGUSR1 received: it has no meaning here',
    'SIGUSR2 received: it has no meaning here',
  ]);
  t.notOk(signals.isEnding);
  t.equal(clock.waiting, 0);
});
