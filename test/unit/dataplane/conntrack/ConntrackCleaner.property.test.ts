/**
 * After any sequence of changes, syncs and lapses of time, no entry leads to what does not serve it, and none that is
 * somebody else's is gone.
 */
import fc from 'fast-check';
import t from 'tap';
import { ConntrackCleaner } from '../../../../src/dataplane/conntrack/ConntrackCleaner.js';
import type { ConntrackEntry } from '../../../../src/kernel/conntrack/ConntrackEntry.js';
import { IpProtocol } from '../../../../src/kernel/conntrack/constants.js';
import { IP_FAMILIES, type IpAddress, type IpFamily, joinHostPort } from '../../../../src/net/ip.js';
import type { ObjectChange } from '../../../../src/objects/ApiObject.js';
import type { RoutingTable } from '../../../../src/routing/RoutingTable.js';
import type { ServicePort } from '../../../../src/routing/ServicePort.js';
import { ADDRESSES, changes, NODE_PORTS } from '../../../support/arbitraries.js';
import { ip, tableOf } from '../../../support/builders.js';
import { entryOf, FakeConntrack } from './entries.js';
import { ManualClock } from './ManualClock.js';

const HOST: readonly IpAddress[] = [
  ...ADDRESSES.IPv4.host,
  ...ADDRESSES.IPv6.host,
  ...['127.0.0.1', '::1'].map(ip),
];

interface Step {
  readonly change: ObjectChange;
  readonly sync: 'works' | 'fails' | 'later';
  /** Whether the kernel answers the next look. */
  readonly look: 'answered' | 'refused';
  readonly pauseMs: number;
  /** Whether connections made before the change had an answer. */
  readonly replied: 'replied' | undefined;
}

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record<Step>({
    change: changes,
    sync: fc.constantFrom('works', 'works', 'fails', 'later'),
    look: fc.constantFrom('answered', 'answered', 'answered', 'refused'),
    pauseMs: fc.constantFrom(0, 1, 50, 500, 2000),
    replied: fc.constantFrom('replied', undefined),
  }),
  { minLength: 5, maxLength: 30, size: 'max' },
);

/** The places where a service port is reached. */
function places(port: ServicePort): string[] {
  const vips = [port.clusterIP, ...port.externalIPs, ...port.loadBalancerIPs].filter(
    (vip) => vip !== undefined,
  );
  const nodes = port.nodePort === 0 ? [] : HOST.filter((a) => a.includes(':') === (port.family === 'IPv6'));
  return [
    ...vips.map((vip) => joinHostPort(vip, port.port)),
    ...nodes.map((address) => joinHostPort(address, port.nodePort)),
  ];
}

type Rules = Readonly<Record<IpFamily, ReadonlyMap<string, ServicePort>>>;

const rulesOf = (table: RoutingTable): Rules => ({
  IPv4: new Map(table.servicePorts('IPv4')),
  IPv6: new Map(table.servicePorts('IPv6')),
});

/** Who serves a place by the rules, in the plainest way: VIPs of all service ports first, then node ports. */
function servedBy(rules: Rules, entry: ConntrackEntry): ServicePort | undefined {
  const { family, destination, destinationPort } = entry.original;
  const protocol = entry.original.protocol === IpProtocol.UDP ? 'UDP' : 'TCP';
  const ports = [...rules[family].values()].filter((port) => port.protocol === protocol);
  return (
    ports.find(
      (port) =>
        port.port === destinationPort &&
        [port.clusterIP, ...port.externalIPs, ...port.loadBalancerIPs].includes(destination),
    ) ??
    ports.find(
      (port) => HOST.includes(destination) && port.nodePort !== 0 && port.nodePort === destinationPort,
    )
  );
}

const answererOf = ({ reply }: ConntrackEntry) => joinHostPort(reply.source, reply.sourcePort);

/** Others use the same addresses and ports, each in another way. */
function unrelated(): ConntrackEntry[] {
  const nodePort = NODE_PORTS[0];
  const stranger = '10.244.9.9:8080';
  return [
    entryOf({ to: '8.8.8.8:80' }),
    entryOf({ to: '8.8.8.8:443', protocol: 'TCP' }),
    entryOf({ to: `192.168.0.77:${nodePort}` }),
    entryOf({ to: `192.168.0.77:${nodePort}`, nat: stranger }),
    entryOf({ to: `[fd00:1::77]:${nodePort}` }),
    entryOf({ to: '10.96.0.1:80', nat: stranger, zone: 3 }),
    entryOf({ to: '10.96.0.1:80', nat: stranger, protocol: 'SCTP' }),
    entryOf({ to: '10.96.0.1:443', nat: stranger, protocol: 'TCP', replied: 'replied' }),
    entryOf({ to: '10.96.0.1:81', nat: stranger }),
    entryOf({ to: '10.244.1.1:8080' }),
    entryOf({ to: `192.168.0.2:${nodePort + 7}` }),
  ];
}

interface World {
  readonly conntrack: FakeConntrack;
  /** What the kernel does. */
  rules: Rules;
  /** Entries that were made through the rules and must be judged by them. */
  readonly made: ConntrackEntry[];
}

/** Clients reach every endpoint of every place. */
function sendEverywhere({ conntrack, rules, made }: World, replied: 'replied' | undefined): void {
  for (const family of IP_FAMILIES) {
    for (const port of rules[family].values()) {
      if (port.protocol === 'SCTP') continue;
      for (const to of places(port)) {
        const first = entryOf({ to, protocol: port.protocol });
        const owner = servedBy(rules, first);
        for (const { target } of owner?.endpoints.reachable ?? []) {
          if (conntrack.entries.some((entry) => isFlow(entry, port.protocol, to, target))) continue;
          const entry = entryOf({ to, nat: target, protocol: port.protocol, ...(replied && { replied }) });
          made.push(entry);
          conntrack.entries.push(entry);
        }
      }
    }
  }
}

function isFlow(entry: ConntrackEntry, protocol: string, to: string, target: string): boolean {
  const number = protocol === 'UDP' ? IpProtocol.UDP : IpProtocol.TCP;
  const { original } = entry;
  return (
    original.protocol === number &&
    joinHostPort(original.destination, original.destinationPort) === to &&
    answererOf(entry) === target
  );
}

/** What is wrong, in words. */
function verdict(
  { conntrack, rules, made }: World,
  strangers: readonly ConntrackEntry[],
): string | undefined {
  const present = new Set(conntrack.entries);
  for (const entry of strangers) {
    if (!present.has(entry)) return `somebody else's entry is gone: ${JSON.stringify(entry)}`;
  }
  for (const entry of made) {
    const owner = servedBy(rules, entry);
    const right = owner?.endpoints.reachable.some(({ target }) => target === answererOf(entry)) ?? false;
    const mustGo = !right && (entry.original.protocol === IpProtocol.UDP || (entry.status & 2) === 0);
    if (mustGo && present.has(entry)) return `it stays: ${JSON.stringify(entry)}`;
  }
  return undefined;
}

async function play(history: readonly Step[]) {
  const conntrack = new FakeConntrack();
  const clock = new ManualClock();
  const table = tableOf([]);
  const world: World = { conntrack, rules: rulesOf(table), made: [] };
  const cleaner = new ConntrackCleaner({
    conntrack,
    clock,
    onPostponed: (cleaning) => void cleaning.catch(() => {}),
  });
  const strangers = unrelated();
  conntrack.entries.push(...strangers);
  const sync = async (outcome: 'works' | 'fails') => {
    const { families } = table.commit();
    for (const family of IP_FAMILIES) cleaner.take(family, families[family]);
    if (outcome === 'fails') return;
    world.rules = rulesOf(table);
    await cleaner.clean(HOST).catch(() => {});
  };
  for (const step of history) {
    sendEverywhere(world, step.replied);
    table.apply([step.change]);
    if (step.look === 'refused') conntrack.failure = new Error('refused');
    if (step.sync !== 'later') await sync(step.sync);
    if (step.pauseMs > 0) await clock.advance(step.pauseMs);
  }
  conntrack.failure = undefined;
  await sync('works');
  await clock.advance(120_000);
  return { world, wrong: verdict(world, strangers) };
}

t.test('no entry leads astray, none of others is gone', async (t) => {
  let made = 0;
  let gone = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (history) => {
      const { world, wrong } = await play(history);
      made += world.made.length;
      gone += world.made.filter((entry) => !world.conntrack.entries.includes(entry)).length;
      if (wrong !== undefined) throw new Error(wrong);
    }),
    { numRuns: 200 },
  );
  t.ok(gone > 200 && made - gone > 200, `of ${made} entries ${gone} went`);
});

t.test('what leads right when the cleaner starts is left alone', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(changes, { minLength: 5, maxLength: 20, size: 'max' }), async (list) => {
      const table = tableOf([]);
      table.apply(list);
      const { families } = table.commit();
      const world: World = { conntrack: new FakeConntrack(), rules: rulesOf(table), made: [] };
      const cleaner = new ConntrackCleaner({
        conntrack: world.conntrack,
        onPostponed: (cleaning) => void cleaning.catch(() => {}),
      });
      for (const family of IP_FAMILIES) cleaner.take(family, families[family]);
      sendEverywhere(world, undefined);
      const { deleted } = await cleaner.clean(HOST);
      if (deleted > 0) throw new Error(`${deleted} of ${world.made.length} right entries are gone`);
    }),
    { numRuns: 100 },
  );
});
