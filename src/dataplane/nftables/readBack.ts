/** A few service ports as the kernel has them, element by element: quick however large the table is. */
import { DORMANT } from '../../kernel/nftables/constants.js';
import type { ReadElement } from '../../kernel/nftables/elements.js';
import { printElement } from '../../kernel/nftables/elements.js';
import type { SetSpec } from '../../kernel/nftables/SetSpec.js';
import type { TableOutline } from '../../kernel/nftables/table/TableState.js';
import type { IpFamily } from '../../net/ip.js';
import type { ServicePort } from '../../routing/ServicePort.js';
import type { ReadBack } from '../ReadBack.js';
import { tableSets } from './desired/sets.js';
import { Collected } from './plan/Collected.js';

/** Chains that packets enter by, and the one they lead to. Without a rule in one of these the elements serve nobody. */
const WAYS_IN = ['nat-prerouting', 'nat-output'] as const;
const SERVICES = 'services';
/** Elements of one set: a Service with weights may have 100,000. */
const MOST_OF_A_SET = 64;
/** Sizes of sets do not matter to who reads them. */
const ANY_SIZES = { 'service-ips': 0, 'node-ports': 0, endpoints: 0, 'node-port-endpoints': 0 };

/** What is needed of the kernel's table. */
export interface AskedTable {
  readonly family: IpFamily;
  readonly name: string;
  readOutline(): Promise<TableOutline | undefined>;
  /** Those of the keys that are there. */
  findElements(set: SetSpec, keys: readonly string[]): Promise<readonly ReadElement[]>;
}

/** `ports` are of the table's family. Rejects with NetlinkError. */
export async function readBack(table: AskedTable, ports: readonly ServicePort[]): Promise<ReadBack> {
  const outline = await table.readOutline();
  const wrong = outline === undefined ? `there is no table ${table.name}` : wayIn(outline, table.name);
  if (wrong !== '') return { asked: 0, wrong };
  const collected = new Collected();
  for (const port of ports) collected.add(port);
  const sets: Readonly<Record<string, SetSpec>> = tableSets(table.family, {
    sizes: ANY_SIZES,
    counters: false,
  });
  let asked = 0;
  for (const [name, wanted] of collected.sets) {
    const set = sets[name];
    // The kernel does not find a range by its ends.
    if (set === undefined || set.kind === 'interval') continue;
    const keys = wanted.keys.slice(0, MOST_OF_A_SET);
    const found = new Map<string, string>();
    for (const { key, value } of await table.findElements(set, keys)) found.set(key, value);
    for (const [i, key] of keys.entries()) {
      const [is, value] = [found.get(key), wanted.values[i]];
      asked++;
      if (is === undefined) return { asked, wrong: `${name} lacks ${printElement(set, key, value)}` };
      if (is !== (value ?? '')) {
        const has = printElement(set, key, is);
        return { asked, wrong: `${name} has ${has}, wanted is ${printElement(set, key, value)}` };
      }
    }
  }
  return { asked, wrong: '' };
}

function wayIn(outline: TableOutline, name: string): string {
  if ((outline.flags & DORMANT) !== 0) return `table ${name} is dormant: no packet sees it`;
  for (const chain of WAYS_IN) {
    const hook = outline.chains.get(chain);
    if (hook === undefined) return `chain ${chain} is missing`;
    if (hook === '') return `chain ${chain} has no hook: no packet comes to it`;
  }
  const empty = [...WAYS_IN, SERVICES].find((chain) => (outline.ruleCounts.get(chain) ?? 0) === 0);
  return empty === undefined ? '' : `chain ${empty} has no rules`;
}
