import t from 'tap';
import { Collected } from '../../../../src/dataplane/nftables/plan/Collected.js';
import { type AskedTable, readBack } from '../../../../src/dataplane/nftables/readBack.js';
import type { TableOutline } from '../../../../src/kernel/nftables/table/TableState.js';
import { endpoint, ip, port, service, slice, tableOf } from '../../../support/builders.js';

const table = tableOf([
  service({ clusterIPs: { IPv4: ip('10.96.0.1') }, ports: [port({ port: 80 })] }),
  slice([endpoint('10.244.1.1'), endpoint('10.244.1.2')]),
]);
table.commit();
const PORTS = [...table.servicePorts('IPv4').values()];

const STATE: TableOutline = {
  flags: 0,
  chains: new Map([
    ['nat-prerouting', 'nat 0 -110 1'],
    ['nat-output', 'nat 3 -110 1'],
    ['services', ''],
  ]),
  ruleCounts: new Map([
    ['nat-prerouting', 2],
    ['nat-output', 1],
    ['services', 1],
  ]),
};

/** A kernel that has all that is wanted, but for what `change` does to the elements of a set. */
function kernel(
  state: TableOutline | undefined = STATE,
  change: (set: string, elements: Map<string, string>) => void = () => {},
): AskedTable {
  const collected = new Collected();
  for (const each of PORTS) collected.add(each);
  return {
    family: 'IPv4',
    name: 'penstock',
    readOutline: async () => state,
    findElements: async ({ name }, keys) => {
      const { keys: all, values } = collected.sets.get(name as 'endpoints') ?? { keys: [], values: [] };
      const elements = new Map(all.map((key, i) => [key, values[i] ?? '']));
      change(name, elements);
      return keys.flatMap((key) => {
        const value = elements.get(key);
        return value === undefined ? [] : [{ key, value, counters: undefined }];
      });
    },
  };
}

t.test('all is there', async (t) => {
  t.equal(PORTS.length, 1);
  t.strictSame(await readBack(kernel(), PORTS), { asked: 3, wrong: '' });
});

t.test('an element that is missing, or other than wanted, is named as nft writes it', async (t) => {
  const without = kernel(STATE, (set, elements) => set === 'service-ips' && elements.clear());
  t.match((await readBack(without, PORTS)).wrong, /^service-ips lacks 10\.96\.0\.1 \. tcp \. 80/);
  const other = kernel(STATE, (set, elements) => {
    if (set === 'endpoints') for (const key of elements.keys()) elements.set(key, '\n\0\0\x01\0\x50\0\0');
  });
  t.match(
    (await readBack(other, PORTS)).wrong,
    /^endpoints has 10\.96\.0\.1 .* : 10\.0\.0\.1 \. 80, wanted is 10\.96\.0\.1 .* : 10\.244\.1\.1 \. 8080$/,
  );
});

t.test('elements serve nobody when no packet comes to them', async (t) => {
  const chains = (changed: readonly (readonly [string, string | undefined])[]) => {
    const now = new Map(STATE.chains);
    for (const [name, hook] of changed) {
      if (hook === undefined) now.delete(name);
      else now.set(name, hook);
    }
    return { ...STATE, chains: now };
  };
  const cases: readonly (readonly [TableOutline | undefined, string])[] = [
    [{ ...STATE, flags: 1 }, 'table penstock is dormant: no packet sees it'],
    [chains([['nat-output', undefined]]), 'chain nat-output is missing'],
    [chains([['nat-prerouting', '']]), 'chain nat-prerouting has no hook: no packet comes to it'],
    [
      { ...STATE, ruleCounts: new Map([...STATE.ruleCounts, ['services', 0]]) },
      'chain services has no rules',
    ],
  ];
  for (const [state, wrong] of cases) t.strictSame(await readBack(kernel(state), PORTS), { asked: 0, wrong });
  const none: AskedTable = { ...kernel(), readOutline: async () => undefined };
  t.strictSame(await readBack(none, PORTS), { asked: 0, wrong: 'there is no table penstock' });
});
