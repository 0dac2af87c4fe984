/**
 * Whatever happens to objects, options and kernel: in the end the kernel holds what a first sync of the final objects
 * writes, and what was never ours is as it was.
 */
import fc from 'fast-check';
import t from 'tap';
import { type IpvsSettings, ipvsSettings } from '../../../../src/dataplane/ipvs/desired/IpvsSettings.js';
import { FamilySync } from '../../../../src/dataplane/ipvs/FamilySync.js';
import { masqueraded } from '../../../../src/kernel/ipvs/RealServer.js';
import { virtualServerKey } from '../../../../src/kernel/ipvs/VirtualServer.js';
import type { IpFamily } from '../../../../src/net/ip.js';
import type { RoutingTable } from '../../../../src/routing/RoutingTable.js';
import { ADDRESSES, changes } from '../../../support/arbitraries.js';
import { cidr, ip, tableOf } from '../../../support/builders.js';
import { ModelIpvs } from '../../../support/ModelIpvs.js';

const OPTIONS = {
  masqueradeMark: 0x4000,
  masqueradeAll: false,
  detectLocal: { type: 'ClusterCIDR', cidrs: { IPv4: cidr('10.244.0.0/16'), IPv6: cidr('fd00:10::/32') } },
  scheduler: 'rr',
  excludeCIDRs: [],
  strictARP: false,
  timeouts: { tcp: 0, tcpFin: 0, udp: 0 },
  syncPeriodMs: 30_000,
} as const;

type Step =
  | { readonly type: 'change'; readonly change: Parameters<RoutingTable['apply']>[0][number] }
  | { readonly type: 'sync' | 'full' | 'drain' | 'restart' | 'flush' | 'lose' | 'verify' }
  | { readonly type: 'node ports'; readonly range: string | undefined }
  | { readonly type: 'scheduler'; readonly scheduler: string }
  | { readonly type: 'connections'; readonly count: number }
  | { readonly type: 'fail'; readonly after: number }
  | { readonly type: 'refuse'; readonly address: string | undefined };

const simple = fc.constantFrom(
  ...(['sync', 'sync', 'sync', 'sync', 'full', 'drain', 'restart', 'flush', 'lose', 'verify'] as const).map(
    (type) => ({
      type,
    }),
  ),
);
const stepsOf = (family: IpFamily): fc.Arbitrary<Step> =>
  fc.oneof(
    { weight: 20, arbitrary: changes.map((change) => ({ type: 'change' as const, change })) },
    { weight: 14, arbitrary: simple },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom(undefined, ...ADDRESSES[family].nodePortRanges)
        .map((range) => ({ type: 'node ports' as const, range })),
    },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom('rr', 'wlc', 'dh')
        .map((scheduler) => ({ type: 'scheduler' as const, scheduler })),
    },
    { weight: 1, arbitrary: fc.nat(1).map((count) => ({ type: 'connections' as const, count })) },
    { weight: 1, arbitrary: fc.nat(6).map((after) => ({ type: 'fail' as const, after })) },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom(undefined, ...ADDRESSES[family].pods.map(String))
        .map((address) => ({ type: 'refuse' as const, address })),
    },
  );

const scenarios = fc.constantFrom<IpFamily[]>('IPv4', 'IPv6').chain((family) =>
  fc.record({
    family: fc.constant(family),
    foreign: fc.boolean(),
    steps: fc.array(stepsOf(family), { minLength: 5, maxLength: 60, size: 'max' }),
  }),
);

class Run {
  readonly table = tableOf([]);
  readonly kernel: ModelIpvs;
  sync: FamilySync;
  range: string | undefined;
  scheduler = 'rr';
  now = 0;
  readonly foreign: boolean;

  constructor(kernel: ModelIpvs) {
    this.kernel = kernel;
    this.foreign = kernel.servers.size > 0;
    this.sync = new FamilySync(kernel, () => this.now);
  }

  settings(table = this.table): IpvsSettings {
    const nodePortAddresses = this.range === undefined ? [] : [cidr(this.range)];
    const facts = { addresses: ADDRESSES[this.kernel.family].host, randomFully: true, localhostPorts: {} };
    const options = { ...OPTIONS, nodePortAddresses, scheduler: this.scheduler };
    return ipvsSettings(options, this.kernel.family, table, facts);
  }

  async attempt(): Promise<void> {
    const { family } = this.kernel;
    this.sync.take(this.table.commit().families[family]);
    const mayFail = this.kernel.failsAfter !== undefined;
    try {
      await this.sync.sync(this.table.servicePorts(family), this.settings());
    } catch (error) {
      if (!mayFail) throw error;
    }
  }

  async step(step: Step): Promise<void> {
    switch (step.type) {
      case 'change':
        this.table.apply([step.change]);
        break;
      case 'sync':
        await this.attempt();
        break;
      case 'full':
        this.sync.requireFull();
        break;
      case 'drain':
        if (this.kernel.failsAfter === undefined) await this.sync.drain();
        else await this.sync.drain().catch(() => {});
        break;
      case 'restart':
        this.sync = new FamilySync(this.kernel, () => this.now);
        break;
      case 'flush':
        this.flush();
        this.sync.requireFull();
        break;
      case 'lose':
        this.loseOne();
        if (this.kernel.failsAfter === undefined) await this.sync.verify();
        break;
      case 'verify':
        if (this.kernel.failsAfter === undefined) await this.sync.verify();
        break;
      case 'node ports':
        this.range = step.range;
        break;
      case 'scheduler':
        this.scheduler = step.scheduler;
        break;
      case 'connections':
        this.kernel.connections = [step.count, 0];
        break;
      case 'fail':
        this.kernel.failsAfter = step.after;
        break;
      case 'refuse':
        this.kernel.refuses = (change) =>
          change.action === 'add destination' && change.destination.address === step.address
            ? 'EINVAL'
            : undefined;
    }
  }

  /** What others do: all of a kind, or one. */
  flush(): void {
    for (const key of [...this.kernel.servers.keys()]) {
      if (!this.foreign || key !== FOREIGN_KEY[this.kernel.family]) this.kernel.servers.delete(key);
    }
    for (const elements of this.kernel.sets.values()) elements.clear();
    this.kernel.addresses.clear();
  }

  loseOne(): void {
    for (const { realServers } of this.kernel.servers.values()) {
      const [target] = realServers.keys();
      if (target !== undefined) {
        realServers.delete(target);
        return;
      }
    }
  }

  /** No drain is left over. */
  async settle(): Promise<void> {
    this.now += 2 ** 30;
    await this.sync.drain();
  }
}

const FOREIGN = {
  IPv4: { family: 'IPv4', protocol: 'TCP', address: ip('1.2.3.4'), port: 80 },
  IPv6: { family: 'IPv6', protocol: 'TCP', address: ip('2001:db8::4'), port: 80 },
} as const;
const FOREIGN_KEY = { IPv4: virtualServerKey(FOREIGN.IPv4), IPv6: virtualServerKey(FOREIGN.IPv6) };

/** At an address and port that Services want too. */
async function addForeign(kernel: ModelIpvs): Promise<void> {
  const { family } = kernel;
  const service = { ...FOREIGN[family], scheduler: 'lc', flags: 0, timeoutSeconds: 0, netmaskBits: 24 };
  const destination = masqueraded({ address: ADDRESSES[family].client, port: 9 }, 7);
  await kernel.changeServers([
    { action: 'add service', service },
    { action: 'add destination', service, destination },
  ]);
}

t.test('in the end it is what a first sync writes', async () => {
  await fc.assert(
    fc.asyncProperty(scenarios, async ({ family, foreign, steps }) => {
      const kernel = new ModelIpvs(family);
      if (foreign) await addForeign(kernel);
      const run = new Run(kernel);
      const untouched = JSON.stringify([...(run.kernel.servers.get(FOREIGN_KEY[family])?.realServers ?? [])]);
      await run.attempt();
      for (const step of steps) {
        if (step.type === 'lose' && foreign) continue;
        await run.step(step);
      }
      run.kernel.failsAfter = undefined;
      run.kernel.refuses = () => undefined;
      run.now += 2 ** 30;
      await run.attempt();
      // What others took while the kernel did not answer shows only now.
      if ((await run.sync.verify()) !== undefined) await run.attempt();
      await run.settle();
      same(run.kernel.mistakes, []);
      same(await run.sync.verify(), undefined);
      if (foreign) {
        const now = [...(run.kernel.servers.get(FOREIGN_KEY[family])?.realServers ?? [])];
        same(JSON.stringify(now), untouched);
      }

      const fresh = new Run(new ModelIpvs(family));
      if (foreign) await addForeign(fresh.kernel);
      await fresh.sync.sync(run.table.servicePorts(family), run.settings());
      // Marks are numbers that nobody depends on.
      same(run.kernel.dump().map(withoutMark).sort(), fresh.kernel.dump().map(withoutMark).sort());
      same(run.kernel.xtables.dump(), fresh.kernel.xtables.dump());
    }),
    { numRuns: 300 },
  );
});

t.test('one refused Service stops no other, is named, and comes back', async () => {
  const only = fc.array(changes, { minLength: 5, maxLength: 40, size: 'max' });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom<IpFamily[]>('IPv4', 'IPv6'), only, async (family, list) => {
      const run = new Run(new ModelIpvs(family));
      const culprit = ADDRESSES[family].cluster[0];
      run.kernel.refuses = (change) =>
        change.action === 'add service' && 'address' in change.service && change.service.address === culprit
          ? 'EINVAL'
          : undefined;
      for (const change of list) {
        run.table.apply([change]);
        await run.attempt();
      }
      const refused = [...run.table.servicePorts(family).values()].filter(
        ({ clusterIP, externalIPs, loadBalancerIPs }) =>
          clusterIP === culprit ||
          externalIPs.some((x) => x === culprit) ||
          loadBalancerIPs.some((x) => x === culprit),
      );
      const named = new Set(
        run.sync.problems
          .filter(({ message }) => message.includes('set aside'))
          .map(({ subject }) => subject),
      );
      same([...named].sort(), [...new Set(refused.map(({ service }) => `Service ns/${service}`))].sort());
      run.kernel.refuses = () => undefined;
      run.now += 2 ** 30;
      await run.attempt();
      await run.settle();
      const fresh = new Run(new ModelIpvs(family));
      await fresh.sync.sync(run.table.servicePorts(family), run.settings());
      same(run.kernel.dump().map(withoutMark).sort(), fresh.kernel.dump().map(withoutMark).sort());
    }),
    { numRuns: 100 },
  );
});

function withoutMark(line: string): string {
  return line
    .replace(/mark 0x[0-9a-f]+/, 'mark')
    .replace(/"mark":\d+/, '"mark"')
    .replace(/ 18790\d+$/, ' mark')
    .replace(/PENSTOCK-SERVERS (112\.0\S+|::7000:\S+),tcp:0/, 'PENSTOCK-SERVERS mark');
}

function same(found: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(found, undefined, 1), JSON.stringify(expected, undefined, 1)];
  if (a !== b) throw new Error(`found    ${a}\nexpected ${b}`);
}
