/**
 * Whatever happens to objects and kernel, the rules in the end are those of a first sync of the final objects; and on the
 * way no rule leads to a chain that is not there.
 */

import fc from 'fast-check';
import t from 'tap';
import { FamilySync } from '../../../../src/dataplane/iptables/FamilySync.js';
import type { RuleSettings } from '../../../../src/dataplane/iptables/rules/RuleSettings.js';
import type { RuleOptions } from '../../../../src/explain/World.js';
import type { IpFamily } from '../../../../src/net/ip.js';
import type { RoutingTable } from '../../../../src/routing/RoutingTable.js';
import { systemClock } from '../../../../src/time/Clock.js';
import { changes, configs, SERVICE_NAMES } from '../../../support/arbitraries.js';
import { tableOf } from '../../../support/builders.js';
import { FakeXtables } from '../../../support/FakeXtables.js';
import { rulesOf, settingsOf } from '../../../support/renderTable.js';
import { sameRules } from '../../../support/sameRules.js';

const RETRY_MS = 1000;

/** What was there before us: rules of an earlier run, of kubelet and of others. */
const LEFTOVERS = `*filter
:KUBE-FIREWALL - [0:0]
:OTHERS - [0:0]
-A KUBE-FIREWALL -m comment --comment "kubelet's own" -m mark --mark 0x8000/0x8000 -j DROP
-A INPUT -j OTHERS
-I INPUT -j KUBE-FIREWALL
COMMIT
*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-OLDOLDOLDOLDOLDO - [0:0]
:KUBE-SEP-OLDOLDOLDOLDOLDO - [0:0]
:KUBE-EXT-OLDOLDOLDOLDOLDO - [0:0]
-A KUBE-SEP-OLDOLDOLDOLDOLDO -m tcp -p tcp -j DNAT --to-destination 10.0.0.1:80
-A KUBE-SVC-OLDOLDOLDOLDOLDO -j KUBE-SEP-OLDOLDOLDOLDOLDO
-A KUBE-EXT-OLDOLDOLDOLDOLDO -j KUBE-SVC-OLDOLDOLDOLDOLDO
-A KUBE-SERVICES -d 10.96.0.1 -j KUBE-SVC-OLDOLDOLDOLDOLDO
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
COMMIT
`;

type Step =
  | { readonly type: 'change'; readonly change: Parameters<RoutingTable['apply']>[0][number] }
  | { readonly type: 'sync' }
  | { readonly type: 'flush' }
  | { readonly type: 'full' }
  | { readonly type: 'config'; readonly config: RuleOptions }
  | { readonly type: 'locked'; readonly after: number }
  | { readonly type: 'refuse'; readonly service: string | undefined };

const of = <T extends Step['type']>(type: T) => fc.constant({ type });
/** While penstock runs, what is said of the loopback addresses cannot change. */
const configChanges = fc
  .record({ config: configs, nodePortAddresses: fc.constantFrom([], ['192.168.0.0/24', '127.0.0.0/8']) })
  .map(({ config, nodePortAddresses }) => ({
    type: 'config' as const,
    config: { ...config, localhostNodePorts: true, nodePortAddresses },
  }));
const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 20, arbitrary: changes.map((change) => ({ type: 'change' as const, change })) },
  { weight: 12, arbitrary: of('sync') },
  { weight: 1, arbitrary: of('flush') },
  { weight: 1, arbitrary: of('full') },
  { weight: 1, arbitrary: configChanges },
  { weight: 1, arbitrary: fc.nat(3).map((after) => ({ type: 'locked' as const, after })) },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom(undefined, ...SERVICE_NAMES)
      .map((service) => ({ type: 'refuse' as const, service })),
  },
);

const scenarios = fc.record({
  family: fc.constantFrom<IpFamily[]>('IPv4', 'IPv6'),
  backend: fc.constantFrom('nft' as const, 'legacy' as const),
  leftovers: fc.boolean(),
  steps: fc.array(steps, { minLength: 5, maxLength: 60, size: 'max' }),
});

const FIRST_CONFIG: RuleOptions = {
  detectLocal: { type: 'NodeCIDR' },
  masqueradeAll: false,
  localhostNodePorts: true,
  nodePortAddresses: [],
};

class Run {
  readonly table = tableOf([]);
  readonly fake: FakeXtables;
  sync: FamilySync;
  config = FIRST_CONFIG;
  now = 0;

  constructor(fake: FakeXtables, sync: FamilySync) {
    this.fake = fake;
    this.sync = sync;
  }

  static async start(family: IpFamily, backend: 'nft' | 'legacy', leftovers: boolean): Promise<Run> {
    const fake = new FakeXtables({ family, backend });
    if (leftovers) fake.write(LEFTOVERS);
    const tool = await fake.open();
    const run: Run = new Run(
      fake,
      new FamilySync({ tool, retryMs: RETRY_MS, clock: { ...systemClock, now: () => run.now } }),
    );
    return run;
  }

  get settings(): RuleSettings {
    return settingsOf(this.fake.family, this.table, this.config);
  }

  /** The lock may be held: then this resolves without success, as in the agent. */
  async attempt(): Promise<void> {
    this.sync.take(this.table.commit().families[this.fake.family]);
    const locked = this.fake.lockedAfter !== undefined;
    try {
      await this.sync.sync(this.table.servicePorts(this.fake.family), this.settings);
    } catch (error) {
      const wasLock = error instanceof Error && error.message.includes('xtables lock');
      if (!locked || !wasLock) throw error;
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
      case 'flush':
        // As in the agent: verify() finds it and asks for a full sync.
        this.fake.flush();
        this.sync.requireFull();
        break;
      case 'full':
        this.sync.requireFull();
        break;
      case 'config':
        this.config = step.config;
        break;
      case 'locked':
        this.fake.lockedAfter = step.after;
        break;
      case 'refuse':
        this.fake.refuses = (rule) => step.service !== undefined && rule.includes(`ns/${step.service}:`);
        break;
    }
  }
}

t.test('the rules in the end are those of a first sync', async () => {
  await fc.assert(
    fc.asyncProperty(scenarios, async ({ family, backend, leftovers, steps }) => {
      const run = await Run.start(family, backend, leftovers);
      for (const step of steps) await run.step(step);
      run.fake.refuses = () => false;
      run.fake.lockedAfter = undefined;
      run.now += 2 ** 30;
      await run.attempt();
      same(run.sync.problems, []);
      same(run.fake.mistakes, []);

      const flushed = steps.some((step) => step.type === 'flush');
      const fresh = await Run.start(family, backend, leftovers && !flushed);
      await fresh.sync.sync(run.table.servicePorts(family), run.settings);
      sameRules(run.fake.dump(), fresh.fake.dump());
    }),
    { numRuns: 200 },
  );
});

t.test('one refused Service stops no other, is named, and comes back', async () => {
  await fc.assert(
    fc.asyncProperty(scenarios, fc.constantFrom(...SERVICE_NAMES), async (scenario, culprit) => {
      const { family, backend } = scenario;
      const run = await Run.start(family, backend, scenario.leftovers);
      const objects = scenario.steps.filter((step) => step.type === 'change');
      const half = objects.length >>> 1;
      for (const step of objects.slice(0, half)) await run.step(step);
      await run.attempt();

      run.fake.refuses = (rule) => rule.includes(`ns/${culprit}:`);
      for (const step of objects.slice(half)) await run.step(step);
      run.sync.requireFull();
      await run.attempt();
      const named = new Set(run.sync.problems.map((problem) => problem.subject));
      const refused = [...rulesOf(run.table, run.settings).entries()].some(
        ([key, { own, shared }]) => key.startsWith(`ns/${culprit}:`) && own.length + shared.length > 0,
      );
      same([...named], refused ? [`Service ns/${culprit}`] : []);
      // Its older rules as well: whatever bears its name is refused.
      same(ownRules(run.fake.dump(), culprit), []);
      same(run.fake.mistakes, []);

      run.fake.refuses = () => false;
      const expected = await Run.start(family, backend, scenario.leftovers);
      await expected.sync.sync(run.table.servicePorts(family), run.settings);
      sameRules(withoutService(run, culprit), withoutService(expected, culprit));

      run.now += RETRY_MS * 100;
      await run.attempt();
      same(run.sync.problems, []);
      sameRules(run.fake.dump(), expected.fake.dump());
    }),
    { numRuns: 150 },
  );
});

function ownRules(dump: Record<string, readonly string[]>, service: string): string[] {
  return Object.values(dump).flatMap((rules) => rules.filter((rule) => rule.includes(`ns/${service}:`)));
}

/** Without the rules and chains of the Service. */
function withoutService(run: Run, service: string): Record<string, readonly string[]> {
  const owned = new Set<string>();
  for (const [key, rendered] of run.sync.rules.entries()) {
    if (key.startsWith(`ns/${service}:`)) for (const { name } of rendered.own) owned.add(`nat ${name}`);
  }
  const others = Object.entries(run.fake.dump()).filter(([chain]) => !owned.has(chain));
  return Object.fromEntries(
    others.map(([chain, rules]) => [chain, rules.filter((rule) => !rule.includes(`ns/${service}:`))]),
  );
}

function same(found: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`found    ${a}\nexpected ${b}`);
}
