/** Cleanup removes what penstock or kube-proxy wrote, and nothing else. */
import fc from 'fast-check';
import t from 'tap';
import { FamilySync } from '../../../../../src/dataplane/iptables/FamilySync.js';
import { planCleanup } from '../../../../../src/dataplane/iptables/plan/planCleanup.js';
import { services, slices } from '../../../../support/arbitraries.js';
import { endpoint, service, slice, tableOf } from '../../../../support/builders.js';
import { FakeXtables } from '../../../../support/FakeXtables.js';
import { settingsOf } from '../../../../support/renderTable.js';
import { sameRules } from '../../../../support/sameRules.js';

/** Rules of others, before and after ours in the chains that we share with them. */
const OTHERS = `*filter
:OTHERS - [0:0]
:KUBEVIRT - [0:0]
-A INPUT -j OTHERS
-A FORWARD -j DROP
COMMIT
*nat
:CNI-HOSTPORT - [0:0]
-A PREROUTING -j CNI-HOSTPORT
COMMIT
`;

async function synced(fake: FakeXtables, objects: Parameters<typeof tableOf>[0]): Promise<void> {
  const table = tableOf(objects);
  const sync = new FamilySync({ tool: await fake.open(), retryMs: 1000 });
  sync.take(table.commit().families.IPv4);
  await sync.sync(table.servicePorts('IPv4'), settingsOf('IPv4', table));
}

function cleanup(fake: FakeXtables, limit = 1500): string {
  const saved = { mangle: fake.save('mangle'), filter: fake.save('filter'), nat: fake.save('nat') };
  const text = planCleanup(saved, limit).toString();
  if (text !== '') fake.write(text);
  return text;
}

t.test('after any sync, in sections of any size', async () => {
  const worlds = fc.record({
    services: fc.uniqueArray(services, { maxLength: 3, size: 'max', selector: (s) => s.name }),
    slices: fc.uniqueArray(slices, { maxLength: 6, size: 'max', selector: (s) => s.name }),
  });
  await fc.assert(
    fc.asyncProperty(worlds, fc.constantFrom(1, 4, 1500), async (world, limit) => {
      const fake = new FakeXtables();
      fake.write(OTHERS);
      const before = fake.dump();
      await synced(fake, [...world.services, ...world.slices]);
      cleanup(fake, limit);
      sameRules(fake.dump(), before);
    }),
    { numRuns: 100 },
  );
});

t.test('twice: the second time there is nothing to do', async (t) => {
  const fake = new FakeXtables();
  await synced(fake, [service(), slice([endpoint('10.244.0.1')])]);
  t.not(cleanup(fake), '');
  t.equal(cleanup(fake), '');
});

t.test('jumps that are there twice go twice', async () => {
  const fake = new FakeXtables();
  const before = fake.dump();
  await synced(fake, []);
  fake.write(
    '*nat\n-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES\nCOMMIT\n',
  );
  cleanup(fake);
  sameRules(fake.dump(), before);
});

t.test("KUBE-FIREWALL stays where it is also another's", async (t) => {
  const cases: readonly [string, string][] = [
    ['kubelet is here', '*mangle\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n'],
    [
      'a foreign rule is in it',
      '*filter\n:KUBE-FIREWALL - [0:0]\n-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP\nCOMMIT\n',
    ],
  ];
  for (const [name, input] of cases) {
    const fake = new FakeXtables();
    fake.write(input);
    await synced(fake, []);
    cleanup(fake);
    const { 'filter KUBE-FIREWALL': firewall, 'filter INPUT': jumps } = fake.dump();
    t.ok(firewall, name);
    t.same(jumps, ['-j KUBE-FIREWALL'], name);
  }
});

t.test('the chain in which rules were tried goes: with a full sync, and with a cleanup', async (t) => {
  const left = '*filter\n:KUBE-PENSTOCK-PROBE - [0:0]\nCOMMIT\n*nat\n:KUBE-PENSTOCK-PROBE - [0:0]\nCOMMIT\n';
  const isLeft = (fake: FakeXtables) => Object.keys(fake.dump()).some((name) => name.includes('PROBE'));
  const fake = new FakeXtables();
  fake.write(left);
  await synced(fake, [service(), slice([endpoint('10.244.0.1')])]);
  t.notOk(isLeft(fake));
  fake.write(left);
  cleanup(fake);
  t.notOk(isLeft(fake));
});
