/** What a Service says of being woken, and when a service port sleeps. */
import t from 'tap';
import {
  isAccepting,
  isAsleep,
  isHeld,
  readWake,
  sleepsIn,
  targetText,
} from '../../../src/routing/waking.js';
import { endpoint, port, service, slice, tableOf } from '../../support/builders.js';

t.test('annotations that are right', async (t) => {
  t.strictSame(readWake({}), { wake: undefined, faults: [] });
  t.strictSame(readWake({ wake: '', 'wake-target': '' }), { wake: undefined, faults: [] });
  t.strictSame(readWake({ wake: 'off', 'idle-after': '5m' }), { wake: undefined, faults: [] });
  t.strictSame(readWake({ wake: 'hold' }), {
    wake: { way: 'hold', target: undefined, timeout: 60_000, idleAfter: undefined },
    faults: [],
  });
  t.strictSame(
    readWake({ wake: 'hold', 'wake-target': 'unit/web@1', 'wake-timeout': '1m30s', 'idle-after': '10m' }),
    {
      wake: {
        way: 'hold',
        target: { kind: 'unit', name: 'web@1.service' },
        timeout: 90_000,
        idleAfter: 600_000,
      },
      faults: [],
    },
  );
  t.equal(readWake({ wake: 'accept' }).wake?.way, 'accept');
  const texts = ['deployment/web', 'statefulset/db.main', 'unit/web.socket'];
  for (const text of texts)
    t.equal(targetText(readWake({ wake: 'hold', 'wake-target': text }).wake?.target), text);
});

t.test('annotations that are wrong: one sentence each, and what holds meanwhile', async (t) => {
  const wrong: readonly [Record<string, string>, RegExp, 'held' | 'refused'][] = [
    [{ wake: 'yes' }, /wake\] is "yes", must be hold, accept or off; until then it is off/, 'refused'],
    [{ wake: 'HOLD' }, /must be hold, accept or off/, 'refused'],
    [{ 'wake-target': 'deployment/web' }, /wake-target\] does nothing without .*wake\]/, 'refused'],
    [
      { wake: 'hold', 'wake-target': 'pod/web' },
      /wake-target\] is "pod\/web", must be deployment\/NAME/,
      'held',
    ],
    [{ wake: 'hold', 'wake-target': 'deployment/' }, /until then nobody is started/, 'held'],
    [{ wake: 'hold', 'wake-target': 'deployment/-a' }, /until then nobody is started/, 'held'],
    [{ wake: 'hold', 'wake-target': 'deployment/a/b' }, /until then nobody is started/, 'held'],
    [{ wake: 'hold', 'wake-target': 'unit/--root=x' }, /until then nobody is started/, 'held'],
    [{ wake: 'hold', 'wake-target': 'unit/a b' }, /until then nobody is started/, 'held'],
    [{ wake: 'hold', 'wake-target': 'unit/../a' }, /until then nobody is started/, 'held'],
    [{ wake: 'hold', 'wake-target': `unit/${'a'.repeat(254)}` }, /until then nobody is started/, 'held'],
    [{ wake: 'hold', 'wake-timeout': '10ms' }, /must be 1s to 10m0s; until then it is 1m0s/, 'held'],
    [{ wake: 'hold', 'wake-timeout': 'soon' }, /is "soon", must be/, 'held'],
    [{ wake: 'hold', 'idle-after': '-5m' }, /idle-after\].* until then it is absent/, 'held'],
  ];
  for (const [options, sentence, how] of wrong) {
    const { wake, faults } = readWake(options);
    t.equal(faults.length, 1, JSON.stringify(options));
    t.match(faults[0], sentence);
    t.equal(wake === undefined ? 'refused' : 'held', how, JSON.stringify(options));
  }
});

t.test('who sleeps', async (t) => {
  const portsOf = (options: Record<string, string>, ready: boolean | undefined, fields = {}) => {
    const endpoints = ready === undefined ? [] : [endpoint('10.1.0.1', { ready })];
    const table = tableOf([service({ options, ...fields }), slice(endpoints)]);
    table.commit();
    return [...table.servicePorts('IPv4').values()];
  };
  t.ok(portsOf({ wake: 'hold' }, undefined).every(isAsleep));
  t.ok(portsOf({ wake: 'hold' }, false).every(isAsleep), 'who is not ready does not serve');
  t.notOk(portsOf({ wake: 'hold' }, true).some(isAsleep));
  t.notOk(portsOf({ wake: 'off' }, undefined).some(isAsleep));
  t.notOk(portsOf({}, undefined).some(isAsleep));
  const sctp = portsOf({ wake: 'hold' }, undefined, { ports: [port({ protocol: 'SCTP' })] });
  t.equal(sctp.length, 1);
  t.notOk(sctp.some(isAsleep), 'SCTP is not held');

  const [accepting] = portsOf({ wake: 'accept' }, undefined);
  const [awake] = portsOf({ wake: 'accept' }, true);
  const [udp] = portsOf({ wake: 'accept' }, undefined, { ports: [port({ protocol: 'UDP' })] });
  const [restricted] = portsOf({ wake: 'accept' }, undefined, {
    type: 'LoadBalancer',
    loadBalancerSourceRanges: ['198.51.100.0/25'],
  });
  if (!accepting || !awake || !udp || !restricted) throw new Error('no service port');
  const ways = [accepting, awake, udp, restricted].map((each) => [isAccepting(each), isHeld(each)]);
  t.strictSame(ways, [
    [true, false],
    [false, false],
    [false, true],
    [false, true],
  ]);
  t.strictSame(
    [accepting, udp, restricted].map((each) => sleepsIn('ipvs', each)),
    [true, false, false],
  );
  t.ok([accepting, udp, restricted].every((each) => sleepsIn('iptables', each)));
});

t.test('what is wrong is a problem of the Service', async (t) => {
  const table = tableOf([service({ options: { wake: 'maybe', algorithm: 'best' } })]);
  table.commit();
  const messages = table.problems().map(({ message }) => message);
  t.ok(messages.some((message) => message.includes('penstock.io/wake]')));
  t.ok(messages.some((message) => message.includes('penstock.io/algorithm]')));
});
